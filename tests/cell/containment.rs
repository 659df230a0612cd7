//! What a cell cannot do.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hallpass::browser::{cell::Cell, cell_exec::Layer};

use super::{Page, Place, Site, browsers, mode};

#[tokio::test]
async fn only_the_listed_port_can_be_connected_to() {
    for browser in browsers().await {
        let (listed, other) = (Site::start(), Site::start());
        for (layer_on, expected) in [(true, 0), (false, 1)] {
            let place = Place::new();
            let mut spec = place.spec(&browser);
            spec.egress_ports = vec![listed.port];
            if !layer_on {
                spec.require.remove(&Layer::LandlockNetwork);
            }
            let cell = Cell::launch_with(spec, |plan| {
                if !layer_on {
                    plan.layers.remove(&Layer::LandlockNetwork);
                }
            })
            .await
            .unwrap();
            let mut page = Page::open(cell, Some(other.port)).await;
            let before = other.count();
            let error = page.go("http://site.test/").await;
            assert_eq!(error.is_some(), layer_on, "{error:?}");
            assert_eq!(other.count().min(before + 1) - before, expected);
            page.end().await;
        }
        let place = Place::new();
        let mut spec = place.spec(&browser);
        spec.egress_ports = vec![listed.port];
        let cell = Cell::launch(spec).await.unwrap();
        let mut page = Page::open(cell, Some(listed.port)).await;
        assert_eq!(page.go("http://site.test/").await, None);
        assert!(listed.count() > 0);
        page.end().await;
    }
}

/// Counts datagrams.
fn canary() -> (u16, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    std::thread::spawn(move || {
        while socket.recv_from(&mut [0; 2048]).is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    (port, count)
}

#[tokio::test]
async fn no_datagram_leaves_whatever_the_switches_say() {
    for browser in browsers().await {
        for layer_on in [true, false] {
            let place = Place::new();
            let (port, count) = canary();
            let mut spec = place.spec(&browser);
            spec.require.remove(&Layer::Syscalls);
            let cell = Cell::launch_with(spec, |plan| {
                // Without the switches that a browser may ignore.
                plan.arguments.retain(|switch| !switch.contains("webrtc"));
                for switch in &mut plan.arguments {
                    if switch.starts_with("--disable-features=") {
                        switch.push_str(",LocalNetworkAccessChecks,LocalNetworkAccessChecksWebRTC");
                    }
                }
                if !layer_on {
                    plan.layers.remove(&Layer::Syscalls);
                }
            })
            .await
            .unwrap();
            let mut page = Page::open(cell, None).await;
            let script = format!(
                "(async () => {{
                    const peer = new RTCPeerConnection({{
                        iceServers: [{{ urls: 'stun:127.0.0.1:{port}' }}]
                    }});
                    peer.createDataChannel('x');
                    const done = new Promise((resolve) => {{
                        peer.onicegatheringstatechange = () =>
                            peer.iceGatheringState === 'complete' && resolve();
                        setTimeout(resolve, 4000);
                    }});
                    await peer.setLocalDescription(await peer.createOffer());
                    await done;
                    return 'done';
                }})()"
            );
            assert_eq!(page.evaluate(&script).await, "done");
            page.end().await;
            let seen = count.load(Ordering::SeqCst);
            if layer_on {
                assert_eq!(seen, 0, "{browser:?}");
            } else {
                assert!(seen > 0, "the control sent nothing: {browser:?}");
            }
        }
    }
}

/// What a page shows once it has loaded, or after a while.
const SHOWN: &str = "new Promise((resolve) => {
    const show = () => resolve(document.documentElement.outerHTML);
    if (document.readyState === 'complete') show();
    addEventListener('load', show);
    setTimeout(show, 1000);
})";

#[tokio::test]
async fn files_outside_the_profile_cannot_be_read() {
    for browser in browsers().await {
        let place = Place::new();
        // Readable by every user of the machine: only Landlock is in the way.
        fs::set_permissions(place.data.path(), mode(0o755)).unwrap();
        let open = place.data.path().join("open.txt");
        fs::write(&open, "not for pages").unwrap();
        fs::set_permissions(&open, mode(0o644)).unwrap();
        let open = format!("file://{}", open.display());
        let folder = format!("file://{}/", place.data.path().display());

        let cell = Cell::launch(place.spec(&browser)).await.unwrap();
        let own = cell.process.folder().profile().join("tmp/own.txt");
        let mut page = Page::open(cell, None).await;
        for url in [
            "file:///etc/passwd",
            "file:///etc/shadow",
            "file:///dev/mem",
            &open,
        ] {
            let error = page.go(url).await;
            assert!(error.is_some(), "{url} was read");
        }
        // A folder is answered with a list: an empty one.
        page.go(&folder).await;
        let shown = page.evaluate(SHOWN).await;
        assert!(!shown.to_string().contains("open.txt"), "{shown}");
        // What is its own can be read: the refusals above are not for the scheme.
        fs::write(&own, "mine").unwrap();
        fs::set_permissions(&own, mode(0o644)).unwrap();
        assert_eq!(page.go(&format!("file://{}", own.display())).await, None);
        page.end().await;

        let mut spec = place.spec(&browser);
        spec.require.remove(&Layer::LandlockFiles);
        let cell = Cell::launch_with(spec, |plan| {
            plan.layers.remove(&Layer::LandlockFiles);
        })
        .await
        .unwrap();
        let mut page = Page::open(cell, None).await;
        assert_eq!(page.go(&open).await, None, "the control reads it");
        page.go(&folder).await;
        let shown = page.evaluate(SHOWN).await;
        assert!(shown.to_string().contains("open.txt"), "{shown}");
        page.end().await;
    }
}

#[tokio::test]
async fn nothing_but_the_browser_itself_is_executed() {
    for browser in browsers().await {
        let place = Place::new();
        let cell = Cell::launch(place.spec(&browser)).await.unwrap();
        let page = Page::open(cell, None).await;
        let living = page.cell.process.mark().living();
        assert!(living.len() > 2);
        for process in living {
            // A crash handler among them would write minidumps. A link that
            // cannot be read is of a process that has just ended.
            if let Ok(program) = fs::read_link(format!("/proc/{}/exe", process.pid)) {
                assert_eq!(program, browser.path);
            }
        }
        page.end().await;
    }
}
