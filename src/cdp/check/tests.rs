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
        asked_by_site: &|request| request == "SITE-ASKS",
        upload: &|path| (path == "/hallpass/uploads/1/a.txt").then(|| "REAL".to_owned()),
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
#[expect(clippy::too_many_lines, reason = "a table")]
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
        ("Page.navigate", json!({"url": "chrome://crash"})),
        ("Page.navigate", json!({"url": "about:crash"})),
        ("Page.navigate", json!({"url": "chrome-untrusted://x"})),
        ("Page.navigate", json!({"url": "isolated-app://x"})),
        (
            "Page.navigate",
            json!({"url": "filesystem:https://a.test/x"}),
        ),
        ("Page.navigate", json!({"url": "fi\nle:///etc/passwd"})),
        ("Page.navigate", json!({"url": "settings"})),
        ("Page.navigate", json!({})),
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
        ("Network.setCookie", json!({"name": " sid", "value": "x"})),
        ("Network.setCookie", json!({"name": "", "value": "sid=x"})),
        ("Network.setCookie", json!({"value": "x"})),
        (
            "Network.setCookies",
            json!({"cookies": [{"name": "a", "value": "b"}, {"name": "sid", "value": "x", "path": "/deep"}]}),
        ),
        ("Network.deleteCookies", json!({"name": "sid"})),
        ("Page.deleteCookie", json!({"cookieName": "sid"})),
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
            "DOM.setFileInputFiles",
            json!({"files": ["/hallpass/uploads/1/a.txt", "/hallpass/uploads/1/../../x"]}),
        ),
        ("DOM.setFileInputFiles", json!({"files": "REAL"})),
        ("DOM.setFileInputFiles", json!({"files": ["REAL"]})),
        (
            "Input.dispatchDragEvent",
            json!({"data": {"items": [{"mimeType": "text/uri-list", "data": "https://a.test/\r\nfile:///etc/passwd"}]}}),
        ),
        (
            "Input.dispatchDragEvent",
            json!({"data": {"items": [{"mimeType": "Text/URI-List", "data": "chrome://settings"}]}}),
        ),
        ("Input.dispatchDragEvent", json!({"data": {"files": {}}})),
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

#[test]
fn headers_are_one_header_each_and_never_a_credential() {
    let as_object = |name: &str, value: &str| json!({"headers": {name: value}});
    let as_list =
        |key: &str, name: &str, value: &str| json!({key: [{"name": name, "value": value}]});
    // What Chromium would parse as something else than was looked at.
    for (name, value) in [
        ("Set-Cookie ", "sid=x"),
        (" Set-Cookie", "sid=x"),
        ("Set-Cookie:a", "sid=x"),
        ("Set-Cookie\0", "sid=x"),
        ("X-A", "1\0Set-Cookie: sid=x"),
        ("X-A", "1\r\nSet-Cookie: sid=x"),
        ("X-A: 1\nSet-Cookie", "sid=x"),
        ("", "sid=x"),
        ("Sét-Cookie", "sid=x"),
    ] {
        for (method, params) in [
            ("Network.setExtraHTTPHeaders", as_object(name, value)),
            ("Fetch.continueRequest", as_list("headers", name, value)),
            (
                "Fetch.fulfillRequest",
                as_list("responseHeaders", name, value),
            ),
            (
                "Fetch.continueResponse",
                as_list("responseHeaders", name, value),
            ),
        ] {
            let (checked, _) = run(method, params);
            assert!(
                matches!(checked, Some(Refuse(_))),
                "{method} {name:?} {value:?}"
            );
        }
    }
    for method in ["Fetch.fulfillRequest", "Fetch.continueResponse"] {
        let (checked, _) = run(method, json!({"responsePhrase": "OK\0Set-Cookie: sid=x"}));
        assert!(matches!(checked, Some(Refuse(_))), "{method}");
        let (checked, _) = run(method, json!({"responseHeaders": "Set-Cookie: sid=x"}));
        assert!(matches!(checked, Some(Refuse(_))), "{method}");
    }
    for name in [
        "Cookie",
        "cookie",
        "COOKIE2",
        "Authorization",
        "Proxy-Authorization",
        "Proxy-Connection",
        "Host",
        "Origin",
        "Forwarded",
        "X-Forwarded-Host",
        "X-HTTP-Method-Override",
        "Sec-Fetch-Site",
        "Content-Length",
    ] {
        let (checked, _) = run("Network.setExtraHTTPHeaders", as_object(name, "x"));
        assert!(matches!(checked, Some(Refuse(_))), "{name}");
        let (checked, params) = run("Fetch.continueRequest", as_list("headers", name, "x"));
        assert_eq!(
            (checked, params),
            (Some(Forward), json!({"headers": []})),
            "{name}"
        );
    }
    for name in ["Set-Cookie", "SET-COOKIE", "Set-Cookie2", "Clear-Site-Data"] {
        for method in ["Fetch.fulfillRequest", "Fetch.continueResponse"] {
            let (checked, params) = run(method, as_list("responseHeaders", name, "x"));
            assert_eq!(
                (checked, params),
                (Some(Forward), json!({"responseHeaders": []})),
                "{method} {name}"
            );
        }
    }
    let kept = as_list(
        "responseHeaders",
        "Content-Type",
        "text/html; charset=utf-8",
    );
    assert_eq!(
        run("Fetch.fulfillRequest", kept.clone()),
        (Some(Forward), kept)
    );
    let kept = as_object("X-Trace", "a\tb é");
    assert_eq!(
        run("Network.setExtraHTTPHeaders", kept.clone()),
        (Some(Forward), kept)
    );
}

#[test]
fn only_a_sites_question_for_a_password_is_answered() {
    let answer = |request: &str, response: &str| {
        let params = json!({"requestId": request, "authChallengeResponse": {"response": response, "username": "u", "password": "p"}});
        run("Fetch.continueWithAuth", params).0
    };
    assert_eq!(answer("SITE-ASKS", "ProvideCredentials"), Some(Forward));
    assert_eq!(answer("SITE-ASKS", "CancelAuth"), Some(Forward));
    assert_eq!(answer("PROXY-ASKS", "Default"), Some(Forward));
    for (request, response) in [
        ("PROXY-ASKS", "ProvideCredentials"),
        ("", "ProvideCredentials"),
        ("SITE-ASKS", "Else"),
    ] {
        assert!(
            matches!(answer(request, response), Some(Refuse(_))),
            "{request} {response}"
        );
    }
}

#[test]
fn files_are_those_that_were_handed_in() {
    let (checked, params) = run(
        "DOM.setFileInputFiles",
        json!({"nodeId": 1, "files": ["/hallpass/uploads/1/a.txt"]}),
    );
    assert_eq!(checked, Some(Forward));
    assert_eq!(params, json!({"nodeId": 1, "files": ["REAL"]}));
    assert_eq!(
        run("DOM.setFileInputFiles", json!({"files": []})).0,
        Some(Forward)
    );
}

#[test]
fn addresses_are_written_anew_as_they_were_understood() {
    let (checked, params) = run("Page.navigate", json!({"url": " HTTPS://A.test:443\\x\n"}));
    assert_eq!(checked, Some(Forward));
    assert_eq!(params, json!({"url": "https://a.test/x"}));
}
