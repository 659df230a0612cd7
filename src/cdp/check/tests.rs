use super::*;
use crate::{
    cdp::table::{self, Kind, Verdict},
    model::time::{BootTime, Timestamp},
};

fn run(method: &str, params: Value) -> (Option<Checked>, Value) {
    let leases = Leases::default();
    let around = Around {
        leases: &leases,
        now: Now {
            wall: Timestamp(0),
            boot: BootTime(0),
        },
        downloads: "DOWNLOADS",
        context: "OWN",
        owns_context: &|context| context == "OWN",
        owns_page: &|page| page == "PAGE",
        owns_window: &|window| window == 1,
        lent: &|name| name == "sid",
    };
    let mut params = params.as_object().cloned().unwrap_or_default();
    let checked = check(method, &mut params, &around);
    (checked, params.into())
}

#[test]
fn every_checked_command_has_a_check() {
    for row in table::rows().filter(|row| row.kind == Kind::Method) {
        let here = matches!(row.verdict, Verdict::Check | Verdict::Rewrite);
        let elsewhere = row.name.starts_with("Target.")
            || matches!(
                row.name,
                "Browser.close" | "Runtime.runIfWaitingForDebugger" | "Page.navigateToHistoryEntry"
            );
        if here && !elsewhere {
            assert!(run(row.name, json!({})).0.is_some(), "{}", row.name);
        }
    }
    assert_eq!(run("Nothing.known", json!({})).0, None);
}

#[test]
fn dangerous_arguments_are_refused() {
    for (method, params) in [
        ("Page.navigate", json!({"url": "file:///etc/passwd"})),
        ("Page.navigate", json!({"url": "FILE:///etc/passwd"})),
        ("Page.navigate", json!({"url": "view-source:http://a.test"})),
        ("Page.navigate", json!({"url": "chrome://settings"})),
        ("Page.navigate", json!({"url": " \tchrome://settings"})),
        ("Page.navigate", json!({"url": "devtools://devtools/x"})),
        ("Page.navigate", json!({"url": "javascript:alert(1)"})),
        ("Page.navigate", json!({"url": "about:version"})),
        ("Page.navigate", json!({"url": ["file:///"]})),
        (
            "Browser.setDownloadBehavior",
            json!({"behavior": "allow", "browserContextId": "OTHER"}),
        ),
        (
            "Browser.grantPermissions",
            json!({"permissions": ["clipboardReadWrite"]}),
        ),
        (
            "Browser.setPermission",
            json!({"permission": {"name": "clipboard-read"}, "setting": "granted"}),
        ),
        ("Browser.getWindowForTarget", json!({"targetId": "OTHER"})),
        ("Browser.setWindowBounds", json!({"windowId": 2})),
        ("Storage.getCookies", json!({"browserContextId": "OTHER"})),
        (
            "Storage.setCookies",
            json!({"cookies": [{"name": "sid", "value": "x"}]}),
        ),
        ("Network.setCookie", json!({"name": "sid", "value": "x"})),
        ("Network.deleteCookies", json!({"name": "sid"})),
        (
            "Network.setExtraHTTPHeaders",
            json!({"headers": {"cookie": "a=b"}}),
        ),
        (
            "Network.setExtraHTTPHeaders",
            json!({"headers": {"Proxy-Authorization": "x"}}),
        ),
        (
            "Network.loadNetworkResource",
            json!({"url": "https://evil.test/"}),
        ),
        (
            "Fetch.continueRequest",
            json!({"url": "file:///etc/passwd"}),
        ),
        (
            "Security.setIgnoreCertificateErrors",
            json!({"ignore": true}),
        ),
        ("Page.setPrerenderingAllowed", json!({"isAllowed": true})),
        (
            "Input.dispatchDragEvent",
            json!({"data": {"files": ["/etc/passwd"]}}),
        ),
        ("Input.dispatchKeyEvent", json!({"commands": ["paste"]})),
        ("DOM.setFileInputFiles", json!({"files": ["/etc/passwd"]})),
        (
            "IndexedDB.deleteDatabase",
            json!({"storageKey": "https://evil.test/^0"}),
        ),
    ] {
        let (checked, _) = run(method, params.clone());
        assert!(
            matches!(checked, Some(Refuse(_))),
            "{method} {params} {checked:?}"
        );
    }
}

#[test]
fn arguments_are_brought_home() {
    let (_, params) = run("Storage.getCookies", json!({}));
    assert_eq!(params["browserContextId"], "OWN");
    let (_, params) = run(
        "Browser.setDownloadBehavior",
        json!({"behavior": "allow", "downloadPath": "/etc"}),
    );
    assert_eq!(params["downloadPath"], "DOWNLOADS");
    assert_eq!(params["behavior"], "allowAndName");
    let (_, params) = run(
        "Fetch.continueRequest",
        json!({"requestId": "1", "headers": [{"name": "Cookie", "value": "sid=[redacted]"}, {"name": "X-A", "value": "1"}]}),
    );
    assert_eq!(params["headers"], json!([{"name": "X-A", "value": "1"}]));
    let (_, params) = run(
        "Fetch.fulfillRequest",
        json!({"responseHeaders": [{"name": "SET-COOKIE", "value": "sid=x"}, {"name": "A", "value": "1"}], "binaryResponseHeaders": "U2V0LUNvb2tpZTogYT1i"}),
    );
    assert_eq!(
        params,
        json!({"responseHeaders": [{"name": "A", "value": "1"}]})
    );
    let (_, params) = run(
        "Page.createIsolatedWorld",
        json!({"frameId": "F", "grantUniveralAccess": true}),
    );
    assert_eq!(params, json!({"frameId": "F"}));
}

#[test]
fn ordinary_arguments_pass() {
    for (method, params) in [
        ("Page.navigate", json!({"url": "https://a.test/"})),
        ("Page.navigate", json!({"url": "about:blank"})),
        ("Page.navigate", json!({"url": ""})),
        ("Network.setCookie", json!({"name": "mine", "value": "x"})),
        (
            "Network.setExtraHTTPHeaders",
            json!({"headers": {"X-Mine": "1"}}),
        ),
        (
            "Browser.grantPermissions",
            json!({"permissions": ["geolocation"]}),
        ),
    ] {
        assert_eq!(run(method, params).0, Some(Forward), "{method}");
    }
}
