//! Cells with real browsers of both kinds. As root they get users of their own;
//! otherwise what needs root is not asked.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail the test"
)]

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hallpass::{
    browser::{
        cell::{Cell, CellSpec},
        discover::{Browser, discover_among},
    },
    model::id::CellId,
};
use serde_json::{Value, json};
use uuid::Uuid;

#[path = "cell/containment.rs"]
mod containment;
#[path = "cell/endings.rs"]
mod endings;
#[path = "cell/launcher.rs"]
mod launcher;
#[path = "cell/launching.rs"]
mod launching;

const LAUNCHER: &str = env!("CARGO_BIN_EXE_hallpass");
const PATIENCE: Duration = Duration::from_mins(1);

/// A data folder that users of cells can pass, and a port that refuses.
struct Place {
    data: tempfile::TempDir,
    deny: TcpListener,
}

impl Place {
    fn new() -> Self {
        Self::new_in(&std::env::temp_dir())
    }

    fn new_in(folder: &Path) -> Self {
        let data = tempfile::tempdir_in(folder).unwrap();
        fs::set_permissions(data.path(), mode(0o711)).unwrap();
        Self {
            data,
            deny: TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap(),
        }
    }

    fn spec(&self, browser: &Browser) -> CellSpec {
        let mut spec = CellSpec::new(
            CellId::from_uuid(Uuid::now_v7()),
            browser.clone(),
            self.data.path(),
            self.deny.local_addr().unwrap().port(),
            Vec::new(),
        )
        .unwrap();
        spec.launcher = PathBuf::from(LAUNCHER);
        spec.timeout = PATIENCE;
        spec
    }

    /// No cell's folder is left.
    fn assert_empty(&self) {
        let cells = self.data.path().join("cells");
        let left: Vec<_> = fs::read_dir(cells).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn mode(bits: u32) -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(bits)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// The browsers of this machine, one of each kind.
async fn browsers() -> Vec<Browser> {
    let mut found = Vec::new();
    for name in ["chromium-headless-shell", "chromium"] {
        let path = Path::new("/usr/bin").join(name);
        found.push(
            discover_among(Some(&path), None, "".as_ref())
                .await
                .unwrap(),
        );
    }
    found
}

/// A page in a context of its own, and its session.
struct Page {
    cell: Cell,
    session: String,
    id: u64,
}

impl Page {
    async fn open(cell: Cell, proxy: Option<u16>) -> Self {
        let mut page = Self {
            cell,
            session: String::new(),
            id: 1,
        };
        let mut context = json!({ "disposeOnDetach": true });
        if let Some(port) = proxy {
            context["proxyServer"] = format!("http://127.0.0.1:{port}").into();
            context["proxyBypassList"] = "<-loopback>".into();
        }
        let context = page.ask(None, "Target.createBrowserContext", context).await;
        let target = json!({
            "url": "about:blank",
            "browserContextId": context["browserContextId"],
        });
        let target = page.ask(None, "Target.createTarget", target).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.ask(None, "Target.attachToTarget", attach).await;
        attached["sessionId"]
            .as_str()
            .unwrap()
            .clone_into(&mut page.session);
        page
    }

    async fn ask(&mut self, session: Option<&str>, method: &str, params: Value) -> Value {
        self.id += 1;
        tokio::time::timeout(PATIENCE, self.cell.ask(self.id, session, method, &params))
            .await
            .unwrap()
            .unwrap()
    }

    async fn evaluate(&mut self, script: &str) -> Value {
        let session = self.session.clone();
        let params = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true
        });
        let answer = self.ask(Some(&session), "Runtime.evaluate", params).await;
        answer["result"]["value"].clone()
    }

    /// The error of a navigation, or none.
    async fn go(&mut self, url: &str) -> Option<String> {
        let session = self.session.clone();
        let answer = self
            .ask(Some(&session), "Page.navigate", json!({ "url": url }))
            .await;
        answer["errorText"].as_str().map(str::to_owned)
    }

    async fn end(self) {
        self.cell.process.kill().await.unwrap();
    }
}

/// Answers any request, as site or as proxy, with one page; counts connections.
struct Site {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Site {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        // Ends with the test process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                count.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 4096]);
                    let _ = stream.write_all(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 18\r\nConnection: close\r\n\r\n<title>met</title>",
                    );
                });
            }
        });
        Self { port, connections }
    }

    fn count(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
