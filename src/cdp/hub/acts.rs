//! What an agent does in a page besides requests: the policies are asked about it
//! before it is done.

use serde_json::{Value, json};
use url::Url;

use super::{Call, Hub};
use crate::{
    model::{action::Refusal, time::Now},
    policy::{decide_act, question::Act},
    trace::record::{Actor, Event},
};

/// What a command does that policies may speak of.
pub(super) fn act_of(method: &str) -> Option<Act> {
    match method {
        "Runtime.evaluate"
        | "Runtime.callFunctionOn"
        | "Runtime.compileScript"
        | "Runtime.runScript"
        | "Debugger.evaluateOnCallFrame"
        | "Page.addScriptToEvaluateOnLoad"
        | "Page.addScriptToEvaluateOnNewDocument"
        | "Page.setDocumentContent" => Some(Act::Script),
        "DOM.setFileInputFiles" => Some(Act::Upload),
        _ => None,
    }
}

impl Hub {
    /// Asks about a command on a target of the session's own.
    pub(super) fn may_act(&self, act: Act, target: &str, now: Now) -> Result<(), Refusal> {
        match self.page_of_frame(target) {
            Some(page) => self.may_act_at(act, page, now),
            None => Ok(()),
        }
    }

    fn may_act_at(&self, act: Act, page: &Url, now: Now) -> Result<(), Refusal> {
        let Some(tenant) = &self.tenant else {
            return Ok(());
        };
        decide_act(act, page, &tenant.leases, &tenant.authority, now)
    }

    /// What is told of a download that no policy permits.
    pub(super) fn break_off_refused(&self, params: &mut Value) {
        let guid = params.get("guid").and_then(Value::as_str);
        if guid.is_some_and(|guid| self.refused_downloads.contains(guid)) {
            if let Some(state) = params.get_mut("state") {
                *state = "canceled".into();
            }
        }
    }

    /// A page gives a file; one that no policy permits is broken off.
    pub(super) fn download_begins(&mut self, params: &Value, now: Now) {
        let text = |key: &str| params.get(key).and_then(Value::as_str);
        let (Some(guid), Some(url)) = (text("guid"), text("url")) else {
            return;
        };
        // A `blob:` belongs to the page that made it.
        let url = url.strip_prefix("blob:").unwrap_or(url);
        let Ok(url) = Url::parse(url) else {
            return;
        };
        let Err(refusal) = self.may_act_at(Act::Download, &url, now) else {
            return;
        };
        // It may be whole before it is broken off, so it counts as broken off
        // from here on, whatever the browser says.
        self.refused_downloads.insert(guid.to_owned());
        // It is known in one of them.
        for context in self.contexts.clone() {
            let params = json!({"guid": guid, "browserContextId": context});
            self.ask("Browser.cancelDownload", params, None, Call::Ignored);
        }
        let event = Event::Command {
            connection: 0,
            method: "Browser.downloadWillBegin".to_owned(),
            target: None,
            verdict: "refuse".to_owned(),
            detail: refusal.to_string(),
        };
        self.record(Actor::Broker, event, now).ok();
    }
}
