//! What a page or its agent may do with the machine around it: nothing of the
//! host's, of a person's, or of another session's is within reach, and nothing
//! that asks keeps the page waiting.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    stage::{self, Cookie, Lender},
    support::{
        canary::{self, Canary},
        cdp::Page,
    },
};

const PAGE: &str = "<title>devices</title><textarea></textarea><link rel=icon href='data:,'>";

/// What a page tries: a name, what it needs, and an expression whose value shows
/// that it got through. What fails is kept out; so is what this browser has not.
const FROM_THE_PAGE: &[(&str, &str, &str)] = &[
    (
        "clipboard, read",
        "navigator.clipboard",
        "navigator.clipboard.readText()",
    ),
    (
        "clipboard, read all kinds",
        "navigator.clipboard",
        "navigator.clipboard.read()",
    ),
    (
        "clipboard, paste by script",
        "document.execCommand",
        "document.execCommand('paste') || Promise.reject(new DOMException('no', 'NotAllowedError'))",
    ),
    (
        "camera",
        "navigator.mediaDevices",
        "navigator.mediaDevices.getUserMedia({ video: true })",
    ),
    (
        "microphone",
        "navigator.mediaDevices",
        "navigator.mediaDevices.getUserMedia({ audio: true })",
    ),
    (
        "screen",
        "navigator.mediaDevices",
        "navigator.mediaDevices.getDisplayMedia({ video: true })",
    ),
    (
        "names of cameras and microphones",
        "navigator.mediaDevices",
        "navigator.mediaDevices.enumerateDevices().then((all) => all.some((one) => one.label) || Promise.reject(new DOMException('no', 'NotAllowedError')))",
    ),
    (
        "location",
        "navigator.geolocation",
        "new Promise((done, failed) => navigator.geolocation.getCurrentPosition(done, () => failed(new DOMException('no', 'NotAllowedError'))))",
    ),
    (
        "notification",
        "window.Notification",
        "Notification.requestPermission().then((is) => is === 'granted' || Promise.reject(new DOMException(is, 'NotAllowedError')))",
    ),
    (
        "USB",
        "navigator.usb",
        "navigator.usb.requestDevice({ filters: [] })",
    ),
    (
        "HID",
        "navigator.hid",
        "navigator.hid.requestDevice({ filters: [] }).then((all) => all.length || Promise.reject(new DOMException('no', 'NotFoundError')))",
    ),
    (
        "serial port",
        "navigator.serial",
        "navigator.serial.requestPort()",
    ),
    (
        "Bluetooth",
        "navigator.bluetooth",
        "navigator.bluetooth.requestDevice({ acceptAllDevices: true })",
    ),
    (
        "MIDI",
        "navigator.requestMIDIAccess",
        "navigator.requestMIDIAccess({ sysex: true })",
    ),
    (
        "fonts",
        "window.queryLocalFonts",
        "queryLocalFonts().then((all) => all.length || Promise.reject(new DOMException('none', 'NotFoundError')))",
    ),
    (
        "payment",
        "window.PaymentRequest",
        "new PaymentRequest([{ supportedMethods: 'https://pay.test/way' }], { total: { label: 'all', amount: { currency: 'EUR', value: '1' } } }).show()",
    ),
    (
        "passkey, made",
        "navigator.credentials",
        "navigator.credentials.create({ publicKey: { challenge: new Uint8Array(16), rp: { name: 'desk' }, user: { id: new Uint8Array(16), name: 'desk', displayName: 'desk' }, pubKeyCredParams: [{ type: 'public-key', alg: -7 }], timeout: 1000 }, signal: AbortSignal.timeout(1000) })",
    ),
    (
        "passkey, used",
        "navigator.credentials",
        "navigator.credentials.get({ publicKey: { challenge: new Uint8Array(16), timeout: 1000 }, signal: AbortSignal.timeout(1000) })",
    ),
    (
        "file, picked",
        "window.showOpenFilePicker",
        "showOpenFilePicker()",
    ),
    (
        "folder, picked",
        "window.showDirectoryPicker",
        "showDirectoryPicker()",
    ),
    (
        "file, saved",
        "window.showSaveFilePicker",
        "showSaveFilePicker()",
    ),
    (
        "whether somebody is there",
        "window.IdleDetector",
        "IdleDetector.requestPermission().then((is) => is === 'granted' || Promise.reject(new DOMException(is, 'NotAllowedError')))",
    ),
    (
        "page of the browser",
        "window.open",
        "(() => { const other = open('chrome://version'); return (other && other.location.href !== 'about:blank') || Promise.reject(new DOMException('no', 'NotAllowedError')); })()",
    ),
    (
        "file of the machine",
        "window.open",
        "(() => { const other = open('file:///etc/hosts'); return (other && other.location.href !== 'about:blank') || Promise.reject(new DOMException('no', 'NotAllowedError')); })()",
    ),
];

/// What an agent asks for, and is refused.
fn from_the_agent() -> Vec<(&'static str, Value)> {
    let granted = |names: &[&str]| json!({ "permissions": names });
    vec![
        ("Browser.grantPermissions", granted(&["clipboardReadWrite"])),
        (
            "Browser.grantPermissions",
            granted(&["clipboardSanitizedWrite"]),
        ),
        ("Browser.grantPermissions", granted(&["videoCapture"])),
        ("Browser.grantPermissions", granted(&["audioCapture"])),
        ("Browser.grantPermissions", granted(&["displayCapture"])),
        ("Browser.grantPermissions", granted(&["localFonts"])),
        ("Browser.grantPermissions", granted(&["localNetworkAccess"])),
        (
            "Browser.setPermission",
            json!({ "permission": { "name": "camera" }, "setting": "granted" }),
        ),
        (
            "Browser.setPermission",
            json!({ "permission": { "name": "midi", "sysex": true }, "setting": "granted" }),
        ),
        ("DeviceAccess.enable", json!({})),
        ("WebAuthn.enable", json!({})),
        (
            "WebAuthn.addVirtualAuthenticator",
            json!({ "options": { "protocol": "ctap2", "transport": "internal" } }),
        ),
        (
            "BluetoothEmulation.enable",
            json!({ "state": "powered-on", "leSupported": true }),
        ),
        ("SmartCardEmulation.enable", json!({})),
        ("Cast.enable", json!({})),
        (
            "PWA.install",
            json!({ "manifestId": "https://desk.test/app" }),
        ),
        ("Autofill.trigger", json!({ "fieldId": 1 })),
    ]
}

async fn devices(browser: &Path) {
    let site = Canary::start(|_| canary::html(PAGE)).await;
    let broker = stage::broker(browser);
    let cookie = Cookie::new("sid", "s3ss10n-near-n0-device", "localhost");
    let lender = Lender::new(&broker, &[cookie]).await;
    // Passkeys are for names, not for addresses.
    let origin = site.origin().replace("127.0.0.1", "localhost");
    let scope = json!({ "origins": [origin], "methods": ["GET"] });
    let delegation = lender.lend(&origin, "wire", &["sid"], &scope).await;
    let (session, cdp) = lender.start(&[&delegation]).await;
    let page = cdp.open(&format!("{origin}/")).await;
    page.until("document.title == 'devices'").await;

    let mut through = Vec::new();
    let mut there = 0;
    for (name, needs, attempt) in FROM_THE_PAGE {
        let look = format!(
            "(async () => {{
                if (!({needs})) return 'not there';
                const attempt = (async () => {attempt})();
                const outcome = attempt.then((value) => `through: ${{value}}`, (error) => `kept out: ${{error.name}}`);
                const patience = new Promise((done) => setTimeout(done, 2000, 'kept out: no answer'));
                return await Promise.race([outcome, patience]);
            }})()"
        );
        let outcome = page.evaluate(&look).await;
        let outcome = outcome.as_str().unwrap();
        eprintln!("{name}: {outcome}");
        there += usize::from(outcome != "not there");
        // An attempt that is written wrong would be kept out by that.
        let is_kept_out = outcome == "not there"
            || (outcome.starts_with("kept out: ")
                && !outcome.ends_with("SyntaxError")
                && !outcome.ends_with("ReferenceError")
                && !outcome.ends_with("TypeError"));
        if !is_kept_out {
            through.push(format!("{name}: {outcome}"));
        }
    }
    assert!(through.is_empty(), "{}: {through:#?}", browser.display());
    assert!(there >= FROM_THE_PAGE.len() / 2, "only {there} were tried");

    for (method, params) in from_the_agent() {
        let answer = page.call(method, params.clone()).await;
        assert!(answer.is_err(), "{method} {params}: {answer:?}");
    }
    // What is the session's own goes on.
    page.ask(
        "Browser.grantPermissions",
        json!({ "permissions": ["geolocation"] }),
    )
    .await;
    let place = json!({ "latitude": 52.5, "longitude": 13.4, "accuracy": 10 });
    page.ask("Emulation.setGeolocationOverride", place).await;
    let here = "new Promise((done, failed) => navigator.geolocation.getCurrentPosition((at) => done(at.coords.latitude), (error) => failed(error.message)))";
    assert_eq!(page.evaluate(here).await, 52.5);
    schemes_of_others(&page, &site).await;
    let before = site.hits().len();
    let pdf = page.ask("Page.printToPDF", json!({})).await;
    // `%PDF-`
    assert!(pdf["data"].as_str().unwrap().starts_with("JVBERi0"));
    page.evaluate("print()").await;
    assert_eq!(page.evaluate("1 + 1").await, 2, "it waits for a dialog");
    assert_eq!(site.hits().len(), before, "printing asked for something");
    lender.operator.end_session(&session).await;
}

/// A site becomes nobody's handler, and no program of the machine is started.
async fn schemes_of_others(page: &Page, site: &Canary) {
    page.evaluate("navigator.registerProtocolHandler('web+desk', '/handled?%s')")
        .await;
    for address in ["web+desk:1", "mailto:desk@desk.test", "desk-app://open"] {
        let framed = format!(
            "{{ const frame = document.createElement('iframe'); frame.src = '{address}'; document.body.append(frame); }}"
        );
        page.evaluate(&framed).await;
        page.evaluate(&format!("location.href = '{address}'")).await;
        page.evaluate(&format!("void open('{address}')")).await;
        assert!(
            page.call("Page.navigate", json!({ "url": address }))
                .await
                .is_err(),
            "{address}"
        );
    }
    page.evaluate("fetch('/after').then((answer) => answer.text())")
        .await;
    assert_eq!(page.evaluate("document.title").await, "devices");
    let paths: Vec<String> = site.hits().into_iter().map(|hit| hit.path).collect();
    assert!(paths.contains(&"/after".to_owned()), "{paths:?}");
    assert!(!paths.iter().any(|path| path == "/handled"), "{paths:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_the_machine_is_within_reach() {
    for browser in stage::browsers() {
        devices(&browser).await;
    }
}
