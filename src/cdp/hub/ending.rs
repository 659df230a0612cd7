//! What becomes of pages and storage when a window closes and the session goes on:
//! what was shown and kept with the lent session must not outlive it.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};

use super::{Call, Hub, targets::Target};
use crate::{
    broker::lease::Lease,
    cdp::envelope,
    model::{
        action::{Refusal, Rule},
        id::DelegationId,
        origin::Origin,
        time::{BootTime, Now},
    },
};

/// Origins that are remembered of one window.
const MOST_ORIGINS: usize = 256;

/// The event by which clients are told; no browser has it.
const WINDOW_CLOSED: &str = "Hallpass.windowClosed";

/// How long a page may take to leave before it is closed.
const LEAVE: Duration = Duration::from_secs(3);

/// What Chromium says of a navigation that replaced nothing.
const ABORTED: &str = "net::ERR_ABORTED";

/// What is left to do for windows that closed.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// Origins that were reached with what a delegation lends.
    touched: HashMap<DelegationId, BTreeSet<Origin>>,
    leaving: Vec<Leaving>,
}

/// Pages on their way to the notice.
#[derive(Debug)]
struct Leaving {
    delegation: DelegationId,
    pages: BTreeSet<Arc<str>>,
    deadline: BootTime,
}

impl Endings {
    pub(super) fn note(&mut self, delegation: DelegationId, origin: Origin) {
        let origins = self.touched.entry(delegation).or_default();
        if origins.len() < MOST_ORIGINS {
            origins.insert(origin);
        }
    }

    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.leaving.iter().map(|leaving| leaving.deadline).min()
    }
}

impl Hub {
    /// Whether pages are being replaced by a notice. What clients ask for in the
    /// meantime would collide with that; it is not taken from them until then.
    pub fn is_leaving(&self) -> bool {
        !self.endings.leaving.is_empty()
    }

    /// Replaces pages on the origins of a closed window by a notice, clears what
    /// those origins keep in the browser, and then tells the clients. What another
    /// open window lends to is left alone.
    pub(super) fn clean_up(&mut self, delegation: DelegationId, now: Now) {
        let touched = self.endings.touched.remove(&delegation).unwrap_or_default();
        let Some(tenant) = &self.tenant else {
            return;
        };
        let over: BTreeSet<Origin> = touched
            .into_iter()
            .filter(|origin| {
                let lent_still = |lease: &Arc<Lease>| {
                    (lease.is_open(now)
                        && !lease.cookies.is_empty()
                        && lease.scope.covers_origin(origin))
                    .then_some(())
                };
                tenant.leases.find(lent_still).is_none()
            })
            .collect();
        self.clear_storage(&over);
        let pages = self.leave_pages(&over);
        if pages.is_empty() {
            self.tell_closed(delegation, now);
        } else {
            self.endings.leaving.push(Leaving {
                delegation,
                pages,
                deadline: now.boot.saturating_add(LEAVE),
            });
        }
    }

    /// Tells the clients that a window is closed, and why.
    pub(super) fn tell_closed(&mut self, delegation: DelegationId, now: Now) {
        let closed = self.tenant.as_ref().and_then(|tenant| {
            tenant.leases.find(|lease| {
                (lease.delegation == delegation)
                    .then(|| lease.closed(now))
                    .flatten()
            })
        });
        let mut refusal = Refusal::new(Rule::WindowClosed, "further use of it");
        refusal.delegation = Some(delegation);
        refusal.closed = closed;
        let params = json!({
            "delegation": delegation,
            "reason": closed,
            "message": refusal.to_string(),
        });
        for client in self.clients.keys().copied().collect::<Vec<_>>() {
            let event = envelope::event(WINDOW_CLOSED, &params, None);
            self.send(client, WINDOW_CLOSED, event, now);
        }
    }

    /// Chromium says how a page left. One that went nowhere, because the page broke it
    /// off or what came was a download, still shows what was lent: it is sent once
    /// more, and then closed.
    pub(super) fn page_answered(
        &mut self,
        page: &Arc<str>,
        again: bool,
        result: Option<&Value>,
        now: Now,
    ) {
        let error = result.map(|result| result.get("errorText").and_then(Value::as_str));
        let went = error.is_some_and(|error| error != Some(ABORTED));
        if !went && !again && self.send_away(page, true) {
            return;
        }
        if !went {
            self.close_page(page);
        }
        self.page_left(page, now);
    }

    fn close_page(&mut self, page: &str) {
        let params = json!({"targetId": page});
        self.ask("Target.closeTarget", params, None, Call::Ignored);
    }

    /// A page shows the notice, or is gone.
    pub(super) fn page_left(&mut self, page: &str, now: Now) {
        for leaving in &mut self.endings.leaving {
            leaving.pages.remove(page);
        }
        self.tell_left(now);
    }

    /// Closes pages that do not leave.
    pub(super) fn leaving_late(&mut self, now: Now) {
        let mut late = BTreeSet::new();
        for leaving in &mut self.endings.leaving {
            if now.boot >= leaving.deadline {
                late.append(&mut leaving.pages);
            }
        }
        for page in late {
            self.close_page(&page);
        }
        self.tell_left(now);
    }

    fn tell_left(&mut self, now: Now) {
        let (left, leaving): (Vec<_>, _) = std::mem::take(&mut self.endings.leaving)
            .into_iter()
            .partition(|leaving| leaving.pages.is_empty());
        self.endings.leaving = leaving;
        for Leaving { delegation, .. } in left {
            self.tell_closed(delegation, now);
        }
    }

    /// Cookies that sites set meanwhile, storage, caches, service workers; the
    /// memory of the pages goes with them.
    fn clear_storage(&mut self, over: &BTreeSet<Origin>) {
        if over.is_empty() {
            return;
        }
        // One page of each context speaks for it.
        let mut speakers: HashMap<String, super::CdpSession> = HashMap::new();
        for target in self.targets.values().filter(|target| target.kind == "page") {
            let context = target.info.get("browserContextId");
            if let (Some(session), Some(context)) =
                (&target.broker, context.and_then(serde_json::Value::as_str))
            {
                speakers.insert(context.to_owned(), session.clone());
            }
        }
        for session in speakers.values() {
            for origin in over {
                let params = json!({"origin": origin, "storageTypes": "all"});
                self.ask(
                    "Storage.clearDataForOrigin",
                    params,
                    Some(session),
                    Call::Ignored,
                );
            }
            self.ask(
                "Network.clearBrowserCache",
                json!({}),
                Some(session),
                Call::Ignored,
            );
        }
    }

    /// Sends away what shows one of these; answers the pages that are on their way
    /// now. Of frames nobody waits.
    fn leave_pages(&mut self, over: &BTreeSet<Origin>) -> BTreeSet<Arc<str>> {
        let is_over = |target: &Target| {
            let origin = target.url.as_ref().and_then(Origin::of);
            origin.is_some_and(|origin| over.contains(&origin))
        };
        let shown = self.targets.iter().filter(|(_, target)| is_over(target));
        let shown: Vec<Arc<str>> = shown.map(|(id, _)| id.clone()).collect();
        let mut pages = BTreeSet::new();
        for id in shown {
            if self.send_away(&id, false) {
                pages.insert(id);
            }
        }
        pages
    }

    /// Sends a page or frame where it is already; that request is decided and
    /// refused. Answers whether it is a page, whose answer will come.
    fn send_away(&mut self, id: &Arc<str>, again: bool) -> bool {
        let Some(target) = self.targets.get(id) else {
            return false;
        };
        let (Some(session), Some(url)) = (target.broker.clone(), &target.url) else {
            return false;
        };
        let call = match target.kind.as_str() {
            "page" => Call::Left {
                page: id.clone(),
                again,
            },
            "iframe" => Call::Ignored,
            _ => return false,
        };
        let waits = matches!(call, Call::Left { .. });
        let mut url = url.clone();
        url.set_fragment(None);
        let params = json!({"url": url, "frameId": id});
        self.ask("Page.navigate", params, Some(&session), call);
        waits
    }
}
