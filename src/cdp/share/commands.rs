//! What a place says: passed on under a number of the router's where it speaks of
//! the place's own things, answered here where the router has done it for all, and
//! refused otherwise.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{Asked, Output, PlaceId, Router, What};
use crate::cdp::envelope::{self, Code, Command};

/// Why a command goes no further.
const NOT_OWN: &str = "no such thing in this session";
const NOT_SHARED: &str = "it concerns the whole browser, which others use too";

/// What is to become of a command.
enum Verdict {
    Pass(What),
    /// Done already, for all places.
    Done,
    Refuse(&'static str),
}

use Verdict::{Done, Pass, Refuse};

impl Router {
    /// Takes one command of a place's hub.
    pub fn handle_place(&mut self, id: PlaceId, bytes: &[u8]) {
        let command: Command<'_> = match serde_json::from_slice(bytes) {
            Ok(command) => command,
            Err(error) => {
                tracing::error!(%error, "dropped a command of a session that cannot be parsed");
                return;
            }
        };
        if self
            .places
            .get(&id)
            .is_none_or(|place| place.leaving.is_some())
        {
            return;
        }
        let method = &*command.method;
        let params = || -> Map<String, Value> {
            let text = command.params.map_or("{}", |params| params.get());
            serde_json::from_str(text).unwrap_or_default()
        };
        let verdict = match command.session.as_deref() {
            Some(session) if self.sessions.get(session) != Some(&id) => Refuse(NOT_OWN),
            Some(_) if is_of_page(method) => Pass(What::Plain),
            Some(_) => self.of_page(id, method, &params()),
            None => self.of_browser(id, method, &params()),
        };
        let number = command.id.unsigned_abs();
        let session = command.session.as_deref();
        match verdict {
            Pass(what) => {
                if let (What::CreateContext(_), Some(place)) = (&what, self.places.get_mut(&id)) {
                    place.creating += 1;
                }
                let number = self.number(Asked {
                    from: Some((id, number)),
                    what,
                });
                let message = envelope::command(number.into(), method, command.params, session);
                self.out.push_back(Output::Browser {
                    message,
                    from: Some(id),
                });
            }
            Done => self.tell(id, envelope::reply(command.id, json!({}), session)),
            Refuse(why) => {
                tracing::warn!(method, place = id, why, "refused a command of a session");
                let why = format!("Hallpass refused {method}: {why} (rule `shared-cell`)");
                let code = Code::Server;
                let refusal = envelope::refusal(Some(command.id), code, &why, session);
                self.tell(id, refusal);
            }
        }
    }

    pub(super) fn tell(&mut self, place: PlaceId, message: Vec<u8>) {
        self.out.push_back(Output::Place {
            place,
            message: Bytes::from(message),
        });
    }

    /// On a page's session, what reaches beyond the page.
    fn of_page(&self, id: PlaceId, method: &str, params: &Map<String, Value>) -> Verdict {
        match method {
            "Target.setAutoAttach" => Pass(What::Plain),
            "Target.detachFromTarget" => self.own_session(id, params),
            _ => Refuse(NOT_SHARED),
        }
    }

    /// On the root session. What is not named here is not passed on.
    fn of_browser(&mut self, id: PlaceId, method: &str, params: &Map<String, Value>) -> Verdict {
        let get = |key: &str| params.get(key);
        let own_context = self.is_own(&self.contexts, get("browserContextId"), id);
        let own_target = self.is_own(&self.targets, get("targetId"), id);
        match method {
            "Fetch.enable" | "Target.setDiscoverTargets" | "Target.setAutoAttach" => Done,
            "Fetch.continueRequest" | "Fetch.failRequest" | "Fetch.fulfillRequest" => {
                let pause = get("requestId").and_then(Value::as_str).unwrap_or_default();
                if self.paused.get(pause) == Some(&id) {
                    self.paused.remove(pause);
                    Pass(What::Plain)
                } else {
                    Refuse(NOT_OWN)
                }
            }
            "Target.createBrowserContext" => {
                let setup = self.places.get(&id).map(|place| &place.setup);
                let proxy = get("proxyServer").and_then(Value::as_str);
                let known = ["disposeOnDetach", "proxyServer", "proxyBypassList"];
                let whole = params.keys().all(|key| known.contains(&key.as_str()))
                    && get("disposeOnDetach") == Some(&Value::Bool(true))
                    && get("proxyBypassList").and_then(Value::as_str) == Some("<-loopback>");
                if whole && proxy.is_some() && proxy == setup.map(|setup| setup.proxy.as_str()) {
                    Pass(What::CreateContext(id))
                } else {
                    Refuse("a context must use the session's own way out")
                }
            }
            "Target.disposeBrowserContext" if own_context => {
                let context = get("browserContextId").and_then(Value::as_str);
                Pass(What::Dispose(context.unwrap_or_default().into()))
            }
            "Target.createTarget" if own_context => Pass(What::Plain),
            "Target.attachToTarget" if own_target => Pass(What::Attach(id)),
            "Target.closeTarget" | "Target.activateTarget" if own_target => Pass(What::Plain),
            "Target.detachFromTarget" => self.own_session(id, params),
            "Browser.getVersion" | "Browser.getGlobalPrivacyControl" => Pass(What::Plain),
            "Browser.setDownloadBehavior" if own_context => {
                let setup = self.places.get(&id).map(|place| &place.setup);
                let own_folder = get("downloadPath").is_none_or(|path| {
                    path.as_str() == setup.map(|setup| setup.downloads.as_str())
                });
                // Told to the root session of all: nobody may turn it off.
                let told = get("eventsEnabled") == Some(&Value::Bool(true));
                if own_folder && told {
                    Pass(What::Plain)
                } else {
                    Refuse(NOT_SHARED)
                }
            }
            "Browser.cancelDownload"
            | "Browser.setPermission"
            | "Browser.grantPermissions"
            | "Browser.resetPermissions"
            | "Storage.getCookies"
            | "Storage.setCookies"
            | "Storage.clearCookies"
                if own_context =>
            {
                Pass(What::Plain)
            }
            _ if is_by_name(method) => Refuse(NOT_OWN),
            _ => Refuse(NOT_SHARED),
        }
    }

    fn own_session(&self, id: PlaceId, params: &Map<String, Value>) -> Verdict {
        if self.is_own(&self.sessions, params.get("sessionId"), id) {
            Pass(What::Plain)
        } else {
            Refuse(NOT_OWN)
        }
    }
}

/// What on a page's session can only be of that page. The rest of the `Target`,
/// `Browser` and cookie commands name other things, on whichever session.
fn is_of_page(method: &str) -> bool {
    let elsewhere = [
        "Target.",
        "Browser.",
        "Tracing.",
        "SystemInfo.",
        "Tethering.",
    ];
    !elsewhere.iter().any(|domain| method.starts_with(domain))
        && !matches!(
            method,
            "Storage.getCookies" | "Storage.setCookies" | "Storage.clearCookies"
        )
}

/// Refused for the name in its arguments, not for what it is.
fn is_by_name(method: &str) -> bool {
    ["Target.", "Browser.", "Storage."]
        .iter()
        .any(|domain| method.starts_with(domain))
}
