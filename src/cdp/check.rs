//! Argument checks for commands that are safe only for some arguments, and the
//! rewriting of those that must speak of the session's own things only.

mod headers;

use serde_json::{Map, Value, json};
use url::Url;

use super::redact::IsLent;
use crate::{broker::lease::Leases, model::time::Now};

/// What a command is checked against.
pub struct Around<'a> {
    /// What is lent to the session.
    pub leases: &'a Leases,
    /// Now.
    pub now: Now,
    /// The folder that downloads go to.
    pub downloads: &'a str,
    /// The context used where the client names none.
    pub context: &'a str,
    /// Whether a context is the session's.
    pub owns_context: &'a dyn Fn(&str) -> bool,
    /// Whether a page is the session's.
    pub owns_page: &'a dyn Fn(&str) -> bool,
    /// Whether the client was told of a window.
    pub owns_window: &'a dyn Fn(i64) -> bool,
    /// Whether a cookie name is lent.
    pub lent: IsLent<'a>,
    /// Whether a site, not a proxy, asked for a password in a paused request.
    pub asked_by_site: &'a dyn Fn(&str) -> bool,
    /// The file on disk behind a path that the upload API gave.
    pub upload: &'a dyn Fn(&str) -> Option<String>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

/// What comes of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum Checked {
    /// Pass it on with the arguments as they are now.
    Forward,
    /// Answer it here.
    Answer(Value),
    /// Refuse it, in words for the client.
    Refuse(String),
}

use Checked::{Answer, Forward, Refuse};

/// Checks a command, rewriting `params` in place. `None`: no check is written
/// for it, so it is refused.
pub fn check(
    method: &str,
    params: &mut Map<String, Value>,
    around: &Around<'_>,
) -> Option<Checked> {
    let checked = match method {
        "Page.navigate" => navigate(params),
        "Browser.setPermission" | "Browser.grantPermissions" | "Browser.resetPermissions" => {
            own_context(params, around).unwrap_or_else(|| permission(params, around))
        }
        "Browser.setDownloadBehavior" | "Page.setDownloadBehavior" => {
            download_behavior(method, params, around)
        }
        "Browser.cancelDownload" | "Storage.getCookies" => {
            own_context(params, around).unwrap_or(Forward)
        }
        "Browser.getWindowForTarget"
        | "Browser.getWindowBounds"
        | "Browser.setWindowBounds"
        | "Browser.setContentsSize" => window(method, params, around),
        "Browser.setDockTile" => Answer(json!({})),
        "Extensions.getExtensions" => Answer(json!({"extensions": []})),
        "SystemInfo.getProcessInfo" => {
            Answer(json!({"processInfo": [{"type": "browser", "id": 1, "cpuTime": 0.0}]}))
        }
        "Schema.getDomains" => Answer(json!({"domains": []})),
        "Security.setIgnoreCertificateErrors" => match params.get("ignore") {
            Some(Value::Bool(false)) => Answer(json!({})),
            _ => Refuse("certificate errors are never ignored".into()),
        },
        "Storage.setCookies" => {
            own_context(params, around).unwrap_or_else(|| set_cookies(params, around))
        }
        "Network.setCookies" => set_cookies(params, around),
        "Network.setCookie" => set_cookie(params, around),
        "Storage.clearCookies" => {
            own_context(params, around).unwrap_or_else(|| clear_cookies(around))
        }
        "Network.clearBrowserCookies" => clear_cookies(around),
        "Network.deleteCookies" | "Page.deleteCookie" => {
            let name = params.get("name").or_else(|| params.get("cookieName"));
            match name.and_then(Value::as_str) {
                Some(name) if (around.lent)(name) => lent_cookie(name),
                Some(_) => Forward,
                None => Refuse("a cookie name is expected".into()),
            }
        }
        "Network.setExtraHTTPHeaders" => headers::extra(params.get("headers")),
        "Network.loadNetworkResource" => in_scope(params.get("url"), around),
        "Fetch.enable" => match params.get("patterns") {
            None | Some(Value::Array(_)) => Forward,
            Some(_) => Refuse("`patterns` is expected to be a list".into()),
        },
        "Fetch.continueRequest" => headers::request(params),
        "Fetch.continueWithAuth" => answer_challenge(params, around),
        "Fetch.fulfillRequest" | "Fetch.continueResponse" => headers::response(params),
        "Page.createIsolatedWorld" => {
            // Both spellings: the protocol's own has a slip of the pen in it.
            params.remove("grantUniveralAccess");
            params.remove("grantUniversalAccess");
            Forward
        }
        "Page.setPrerenderingAllowed" => match params.get("isAllowed") {
            Some(Value::Bool(false)) => Forward,
            _ => Refuse("prerendering stays off: its requests would not be seen one by one".into()),
        },
        "Input.dispatchDragEvent" => dragged(params.get("data")),
        "Input.dispatchKeyEvent" => match params.get("commands") {
            Some(Value::Array(commands)) if commands.iter().any(is_clipboard_command) => Refuse(
                "clipboard commands are not available: the clipboard is not the session's own"
                    .into(),
            ),
            _ => Forward,
        },
        "DOM.setFileInputFiles" => uploads(params, around),
        "Storage.clearDataForOrigin" | "Storage.clearDataForStorageKey" => {
            let types = params
                .get("storageTypes")
                .and_then(Value::as_str)
                .unwrap_or("all");
            let cookies = types
                .split(',')
                .any(|kind| matches!(kind.trim(), "all" | "cookies"));
            if cookies && any_lent(around) {
                Refuse("that would clear lent cookies; name other storage types".into())
            } else {
                in_scope_key(params, around)
            }
        }
        "Network.getCookies"
        | "Network.getAllCookies"
        | "Fetch.disable"
        | "IO.close"
        | "Page.close"
        | "Emulation.setVirtualTimePolicy"
        | "FileSystem.getDirectory" => Forward,
        _ if is_storage(method) => in_scope_key(params, around),
        _ => return None,
    };
    Some(checked)
}

/// Whether a page may be told to go there at all; the interceptor decides about
/// the rest.
pub fn navigable(url: Option<&Value>) -> Checked {
    let Some(text) = url.and_then(Value::as_str) else {
        return Refuse("a URL is expected".into());
    };
    if text.is_empty() {
        return Forward;
    }
    // What is no absolute URL is an error page in a browser, never a file.
    match Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https" | "data" | "blob")
                || url.as_str() == "about:blank" =>
        {
            Forward
        }
        Ok(url) => Refuse(format!(
            "pages cannot go to `{}:` addresses; http, https, data, blob and about:blank are possible",
            url.scheme()
        )),
        Err(_) => Refuse("Cannot navigate to invalid URL".into()),
    }
}

/// [`navigable`], and the address is written anew as it was understood.
pub fn navigate(params: &mut Map<String, Value>) -> Checked {
    let checked = navigable(params.get("url"));
    if checked == Forward {
        let url = params
            .get("url")
            .and_then(Value::as_str)
            .and_then(|text| Url::parse(text).ok());
        if let Some(url) = url {
            params.insert("url".into(), String::from(url).into());
        }
    }
    checked
}

/// A site's question for a password may be answered by the client with what it
/// has; a proxy's is never its to answer.
fn answer_challenge(params: &Map<String, Value>, around: &Around<'_>) -> Checked {
    let answer = params.get("authChallengeResponse");
    let kind = answer
        .and_then(|answer| answer.get("response"))
        .and_then(Value::as_str);
    let by_site = params
        .get("requestId")
        .and_then(Value::as_str)
        .is_some_and(around.asked_by_site);
    match kind {
        Some("Default" | "CancelAuth") => Forward,
        Some("ProvideCredentials") if by_site => Forward,
        Some("ProvideCredentials") => {
            Refuse("credentials are given to a site that asks for them, never to a proxy".into())
        }
        _ => Refuse(
            "`authChallengeResponse.response` is expected to be Default, CancelAuth or ProvideCredentials"
                .into(),
        ),
    }
}

fn dragged(data: Option<&Value>) -> Checked {
    let list = |key: &str| match data.and_then(|data| data.get(key)) {
        None => Some(&[][..]),
        Some(Value::Array(list)) => Some(list.as_slice()),
        Some(_) => None,
    };
    let (Some(items), Some(files)) = (list("items"), list("files")) else {
        return Refuse("`data.items` and `data.files` are expected to be lists".into());
    };
    if !files.is_empty() {
        return Refuse("files of this machine cannot be dropped into a page".into());
    }
    let is_bad = |item: &&Value| {
        let text = |key: &str| item.get(key).and_then(Value::as_str);
        let links = text("mimeType").is_none_or(|kind| {
            kind.trim().eq_ignore_ascii_case("text/uri-list")
                || kind.to_ascii_lowercase().contains("downloadurl")
        });
        let addresses = text("data").unwrap_or_default().lines().map(str::trim);
        links
            && addresses
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .any(|line| navigable(Some(&line.into())) != Forward)
    };
    match items.iter().find(is_bad) {
        Some(_) => Refuse("only addresses that a page may go to can be dropped into it".into()),
        None => Forward,
    }
}

/// The one window of the virtual browser.
const WINDOW: i64 = 1;

/// Chromium is not asked for the window of a page: one that closes in that moment
/// ends the whole browser.
fn window(method: &str, params: &Map<String, Value>, around: &Around<'_>) -> Checked {
    let bounds = json!({
        "left": 0, "top": 0, "width": 1280, "height": 720, "windowState": "normal",
    });
    if method == "Browser.getWindowForTarget" {
        return match params.get("targetId") {
            Some(target) if !target.as_str().is_some_and(around.owns_page) => not_found("target"),
            _ => Answer(json!({"windowId": WINDOW, "bounds": bounds})),
        };
    }
    match params.get("windowId").and_then(Value::as_i64) {
        Some(WINDOW) if method == "Browser.getWindowBounds" => Answer(json!({"bounds": bounds})),
        Some(WINDOW) => Answer(json!({})),
        Some(window) if (around.owns_window)(window) => Forward,
        _ => not_found("window"),
    }
}

/// Puts the session's own context into `browserContextId`, or answers why not.
fn own_context(params: &mut Map<String, Value>, around: &Around<'_>) -> Option<Checked> {
    match params.get("browserContextId") {
        None | Some(Value::Null) => {
            params.insert("browserContextId".into(), around.context.into());
            None
        }
        Some(Value::String(context)) if (around.owns_context)(context) => None,
        Some(_) => Some(not_found("browser context")),
    }
}

fn permission(params: &Map<String, Value>, around: &Around<'_>) -> Checked {
    const HARMLESS: [&str; 11] = [
        "geolocation",
        "notifications",
        "sensors",
        "backgroundSync",
        "background-sync",
        "accelerometer",
        "gyroscope",
        "magnetometer",
        "storage-access",
        "persistent-storage",
        "durableStorage",
    ];
    let mut wanted = Vec::new();
    if let Some(name) = params
        .get("permission")
        .and_then(|p| p.get("name"))
        .and_then(Value::as_str)
    {
        let setting = params.get("setting").and_then(Value::as_str);
        if setting == Some("granted") {
            wanted.push(name);
        }
    }
    if let Some(list) = params.get("permissions").and_then(Value::as_array) {
        wanted.extend(list.iter().map(|name| name.as_str().unwrap_or("?")));
    }
    if let Some(name) = wanted.iter().find(|name| !HARMLESS.contains(name)) {
        return Refuse(format!(
            "the permission `{name}` cannot be granted in a lent session"
        ));
    }
    match params.get("origin") {
        None => Forward,
        Some(origin) => in_scope(Some(origin), around),
    }
}

fn download_behavior(
    method: &str,
    params: &mut Map<String, Value>,
    around: &Around<'_>,
) -> Checked {
    let browser = method.starts_with("Browser.");
    if browser {
        if let Some(refused) = own_context(params, around) {
            return refused;
        }
    }
    match params.get("behavior").and_then(Value::as_str) {
        Some("deny") => {
            params.remove("downloadPath");
        }
        Some("allow" | "allowAndName" | "default") => {
            // Names by id: a page cannot choose where in the folder it writes.
            params.insert(
                "behavior".into(),
                if browser { "allowAndName" } else { "allow" }.into(),
            );
            params.insert("downloadPath".into(), around.downloads.into());
        }
        _ => return Refuse("`behavior` is expected to be deny, allow or allowAndName".into()),
    }
    if browser {
        // Events go to whichever client asked; the browser must always tell.
        params.insert("eventsEnabled".into(), true.into());
    }
    Forward
}

/// Files of the upload API, by the path it gave; nothing else of this machine.
fn uploads(params: &mut Map<String, Value>, around: &Around<'_>) -> Checked {
    let Some(Value::Array(files)) = params.get_mut("files") else {
        return Refuse("`files` is expected to be a list".into());
    };
    for file in files {
        match file.as_str().and_then(around.upload) {
            Some(real) => *file = real.into(),
            None => {
                return Refuse(
                    "only files handed to this session can be given to a page: POST the file to /v1/sessions/{id}/uploads and use the `path` that it answers (add `?path=` and the file's own absolute path, and that one is taken), or give the bytes through your client (Playwright does so by itself)"
                        .into(),
                );
            }
        }
    }
    Forward
}

fn set_cookies(params: &mut Map<String, Value>, around: &Around<'_>) -> Checked {
    let Some(Value::Array(cookies)) = params.get("cookies") else {
        return Refuse("`cookies` is expected to be a list".into());
    };
    for cookie in cookies {
        let refused = cookie.as_object().map(|cookie| set_cookie(cookie, around));
        match refused {
            Some(Forward) => {}
            Some(other) => return other,
            None => return Refuse("a cookie is expected to be an object".into()),
        }
    }
    Forward
}

fn set_cookie(cookie: &Map<String, Value>, around: &Around<'_>) -> Checked {
    let text = |key: &str| cookie.get(key).and_then(Value::as_str);
    match text("name").map(str::trim) {
        // A cookie without a name goes out as its value alone, where what
        // stands before `=` is a name to whoever reads it.
        Some("") => match text("value").unwrap_or_default().split_once('=') {
            Some((name, _)) if (around.lent)(name.trim()) => lent_cookie(name.trim()),
            _ => Forward,
        },
        Some(name) if (around.lent)(name) => lent_cookie(name),
        Some(_) => Forward,
        None => Refuse("a cookie name is expected".into()),
    }
}

fn clear_cookies(around: &Around<'_>) -> Checked {
    if any_lent(around) {
        Refuse("that would clear lent cookies; delete your own by name".into())
    } else {
        Forward
    }
}

fn any_lent(around: &Around<'_>) -> bool {
    around
        .leases
        .find(|lease| {
            lease
                .cookies
                .iter()
                .any(|cookie| cookie.delivery == crate::model::delegation::Delivery::Jar)
                .then_some(())
        })
        .is_some()
}

fn in_scope(url: Option<&Value>, around: &Around<'_>) -> Checked {
    let url = url
        .and_then(Value::as_str)
        .and_then(|text| Url::parse(text).ok());
    match url {
        Some(url) if around.leases.covers_page(&url, around.now) => Forward,
        _ => Refuse("that address is not in the scope of an open delegation".into()),
    }
}

/// Commands that name a storage key, origin or registration.
fn is_storage(method: &str) -> bool {
    [
        "CacheStorage.",
        "DOMStorage.",
        "IndexedDB.",
        "ServiceWorker.",
        "Storage.",
    ]
    .iter()
    .any(|domain| method.starts_with(domain))
}

fn in_scope_key(params: &Map<String, Value>, around: &Around<'_>) -> Checked {
    let nested = ["storageId", "bucket"]
        .iter()
        .filter_map(|key| params.get(*key)?.as_object());
    for map in std::iter::once(params).chain(nested) {
        for key in ["origin", "storageKey", "securityOrigin", "scopeURL"] {
            let Some(value) = map.get(key) else {
                continue;
            };
            // A storage key is an origin, then attributes after a caret.
            let origin = value.as_str().and_then(|text| text.split('^').next());
            let url = origin.and_then(|text| Url::parse(text).ok());
            if !url.is_some_and(|url| around.leases.covers_page(&url, around.now)) {
                return Refuse("that storage is not in the scope of an open delegation".into());
            }
        }
    }
    Forward
}

fn is_clipboard_command(command: &Value) -> bool {
    command.as_str().is_none_or(|name| {
        ["paste", "copy", "cut"]
            .iter()
            .any(|known| name.to_ascii_lowercase().contains(known))
    })
}

fn lent_cookie(name: &str) -> Checked {
    Refuse(format!(
        "the cookie `{name}` is lent: it can be used, not changed"
    ))
}

fn not_found(what: &str) -> Checked {
    Refuse(format!("no {what} with that id in this session"))
}

#[cfg(test)]
mod tests;
