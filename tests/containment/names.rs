//! Names resolved count as contacts: whoever looks a name up has told something
//! to the one who answers for it. These tests run in a network and with a
//! resolver's configuration of their own, and count every name that the browser,
//! the system's resolver or the broker asks for.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    ARRIVE, LENT, SETTLE, assert_tried,
    dns::{self, Dns},
    far::Far,
    go_home,
    rings::{Ringed, Rings},
    route,
    rows::ROWS,
    stage::{self, Lender},
    support::{canary::Canary, cdp::Cdp, tools},
    try_all,
};

/// The name in scope that a name server is asked for.
const HOME: &str = "home.site.test";
/// Where the rows lead.
const BELOW: &str = "far.test";
/// Ways that rows do not have, for they are about a name and no more.
const NAMES_ALONE: &[(&str, &str)] = &[
    (
        "dns-prefetch",
        "document.head.insertAdjacentHTML('beforeend', `<link rel=dns-prefetch href='//{host}/'>`)",
    ),
    (
        "dns-prefetch-control",
        "document.body.insertAdjacentHTML('beforeend', `<meta http-equiv=x-dns-prefetch-control content=on><a href='http://{host}/'>x</a>`)",
    ),
    (
        "stun",
        "const r=new RTCPeerConnection({iceServers:[{urls:'stun:{host}'}]});r.createDataChannel('x');r.createOffer().then(o=>r.setLocalDescription(o));(window.keep??=[]).push(r)",
    ),
    (
        "turn-tcp",
        "const r=new RTCPeerConnection({iceServers:[{urls:'turn:{host}?transport=tcp',username:'a',credential:'b'}]});r.createDataChannel('x');r.createOffer().then(o=>r.setLocalDescription(o));(window.keep??=[]).push(r)",
    ),
    (
        "webtransport-name",
        "new WebTransport('https://{host}/').closed.catch(()=>{})",
    ),
];
/// Tells the process that has names of its own.
const INSIDE: &str = "NAMES_OF_THEIR_OWN";
/// Brings loopback up and puts the files over the system's, for what it becomes.
const ENTER: &str = r#"
folder=$1
shift
mount -t sysfs sysfs "$folder/sys"
echo 0x9 > "$folder/sys/class/net/lo/flags"
umount "$folder/sys"
for file in resolv.conf nsswitch.conf hosts; do
    [ ! -e "/etc/$file" ] || mount --bind "$folder/$file" "/etc/$file"
done
exec "$@"
"#;

/// Whether this process has names of its own. If not, runs the test in one that
/// has, and passes its outcome on.
fn inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // There is no network to install them by inside.
    stage::browsers();
    let unshare = tools::find("unshare");
    assert!(
        unshare.is_some(),
        "`unshare` is missing: install util-linux"
    );
    let folder = TempDir::new().unwrap();
    let (address, _) = dns::ADDRESS;
    let resolver = format!("nameserver {address}\noptions ndots:1 timeout:2\n");
    for (name, text) in [
        ("resolv.conf", resolver.as_str()),
        (
            "nsswitch.conf",
            "passwd: files\ngroup: files\nhosts: files dns\n",
        ),
        ("hosts", "127.0.0.1 localhost\n"),
    ] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::create_dir(folder.path().join("sys")).unwrap();
    let done = Command::new("unshare")
        .args(["--mount", "--net", "--propagation", "private"])
        .args(["sh", "-euc", ENTER, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("names::{test}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&done.stdout);
    println!("{out}{}", String::from_utf8_lossy(&done.stderr));
    assert!(
        out.contains("running 1 test"),
        "this test needs a network and mounts of its own: run it as root or in \
         `unshare --map-root-user --mount --net`"
    );
    assert!(done.status.success(), "failed inside, see above");
    false
}

/// A page in scope, what is about names alone, a proxy that is one, and the rows.
async fn try_names(cdp: &Cdp, far: &Far, site: &Canary) {
    let page = cdp.open("about:blank").await;
    for host in [HOME, "home.localhost"] {
        go_home(&page, &format!("{}/home", site.origin_as(host))).await;
    }
    for (name, how) in NAMES_ALONE {
        let how = how.replace("{host}", &format!("{name}.{BELOW}"));
        page.try_evaluate(&format!("(() => {{ {how} }})()"))
            .await
            .ok();
    }
    assert_eq!(page.evaluate("keep.length").await, 2);
    let proxy = json!({ "proxyServer": format!("http://context-proxy.{BELOW}:3128") });
    let made = cdp.call(None, "Target.createBrowserContext", proxy).await;
    if let Ok(made) = made {
        let context = &made["browserContextId"];
        let url = format!("http://behind-a-proxy.{BELOW}/");
        let behind = json!({ "url": url, "browserContextId": context });
        cdp.call(None, "Target.createTarget", behind).await.ok();
    }
    try_all(cdp, far, site).await;
}

/// Both in scope, on this machine.
fn scope(site: &Canary) -> Value {
    let mut scope = stage::scope(site, &["home.localhost", HOME]);
    scope["addresses"] = json!(["127.0.0.1/32"]);
    scope
}

/// Rows whose names are among these.
fn rows_in(asked: &BTreeSet<String>) -> BTreeSet<&'static str> {
    let asked_for = |name: &&str| asked.contains(&format!("{name}.{BELOW}"));
    ROWS.iter().map(|row| row.0).filter(asked_for).collect()
}

/// All but the one in scope.
fn strays(asked: &BTreeSet<String>) -> Vec<&str> {
    let stray = |name: &&str| *name != HOME;
    asked.iter().map(String::as_str).filter(stray).collect()
}

#[tokio::test]
async fn names_are_asked_for_where_nothing_holds_them_back() {
    if !inside("names_are_asked_for_where_nothing_holds_them_back") {
        return;
    }
    let dns = Dns::start().await;
    for browser in stage::browsers() {
        dns.reset();
        let far = Far::start_below(BELOW, ROWS.len()).await;
        let site = Canary::start(route).await;
        let (_plain, cdp) = stage::plain(&browser, &[]).await;
        try_names(&cdp, &far, &site).await;
        let named = ROWS
            .iter()
            .filter(|row| row.3.contains("{url}") || row.3.contains("{host}"));
        let named: BTreeSet<&str> = named.map(|row| row.0).collect();
        let asked = dns
            .until(|asked| rows_in(asked).len() >= named.len(), SETTLE)
            .await;
        let rows = rows_in(&asked);
        let not: Vec<_> = named.difference(&rows).collect();
        let alone = NAMES_ALONE.iter().map(|(name, _)| *name);
        let alone = alone.chain(["context-proxy", "behind-a-proxy"]);
        let alone: Vec<_> = alone
            .filter(|name| asked.contains(&format!("{name}.{BELOW}")))
            .collect();
        println!(
            "{}: names of {} of {} rows are asked for, not {not:?}; besides, {alone:?}",
            browser.display(),
            rows.len(),
            named.len(),
        );
        assert!(rows.len() >= ARRIVE, "not {not:?}");
        assert!(alone.contains(&"context-proxy"), "{alone:?}");
        assert!(asked.contains(HOME));
    }
}

#[tokio::test]
async fn no_name_out_of_scope_is_asked_for() {
    if !inside("no_name_out_of_scope_is_asked_for") {
        return;
    }
    let dns = Dns::start().await;
    for browser in stage::browsers() {
        dns.reset();
        let far = Far::start_below(BELOW, ROWS.len()).await;
        let site = Canary::start(route).await;
        let broker = stage::broker(&browser);
        let lender = Lender::new(&broker, LENT).await;
        let origin = site.origin_as("home.localhost");
        let lent = lender
            .lend(&origin, "wire", &["session"], &scope(&site))
            .await;
        let (_session, cdp) = lender.start(&[&lent]).await;
        try_names(&cdp, &far, &site).await;
        let asked = dns.until(|asked| !strays(asked).is_empty(), SETTLE).await;
        assert_tried(&site, &far);
        // Zero counts only if names arrive at all.
        assert!(asked.contains(HOME), "{}", browser.display());
        assert_eq!(strays(&asked), [""; 0], "{}", browser.display());
    }
}

#[tokio::test]
async fn egress_and_cell_alone_ask_for_no_name_out_of_scope() {
    if !inside("egress_and_cell_alone_ask_for_no_name_out_of_scope") {
        return;
    }
    let dns = Dns::start().await;
    for rings in [Rings::Egress, Rings::Cell, Rings::EgressAndCell] {
        for browser in stage::browsers() {
            dns.reset();
            let far = Far::start_below(BELOW, ROWS.len()).await;
            let site = Canary::start(route).await;
            let ringed = Ringed::start(&browser, rings, &scope(&site)).await;
            try_names(&ringed.cdp, &far, &site).await;
            let asked = dns
                .until(|asked| rows_in(asked).len() >= ROWS.len(), SETTLE)
                .await;
            ringed.end().await;
            let rows = rows_in(&asked);
            let name = rings.name();
            println!("{name} alone: names of {} rows are asked for", rows.len());
            assert_tried(&site, &far);
            assert!(asked.contains(HOME), "{name}, {}", browser.display());
            let strays = strays(&asked);
            match rings {
                // Its proxy, which lets everything through, looks them up.
                Rings::Cell => assert!(rows.len() >= ARRIVE, "{rows:?}"),
                Rings::EgressAndCell => assert_eq!(strays, [""; 0], "{}", browser.display()),
                // What a browser beside its proxy looks up is its own choice.
                _ => println!("{strays:?}"),
            }
        }
    }
}
