//! Who caused a request: its own site, or another. A lent cookie goes along
//! where a browser would have sent it, so this must be known as a browser knows
//! it.
//!
//! A paused request does not say. `Network.requestWillBeSent`, on a session of
//! ours on the target, does; it may come a moment later, from another process
//! of the browser. A request whose cookies depend on it waits for it, for
//! [`PATIENCE`] at most, and is then taken to be another site's.

use std::{borrow::Cow, collections::HashMap, sync::Arc, time::Duration};

use serde::Deserialize;
use url::Url;

use super::{
    Hub,
    intercept::network_id,
    targets::{Target, Told},
};
use crate::{
    cdp::paused::Paused,
    model::{
        action::{Destination, is_safe_method},
        cookie::SiteContext,
        origin::Origin,
        time::{BootTime, Now},
    },
};

/// How long a request waits for the browser to say who caused it: far longer than
/// a busy machine takes, since what is lent is left out after it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests whose causes are remembered.
const MOST_CAUSES: usize = 8192;

/// What the browser said of requests, and who waits for it to say.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// By request, for the URL that it is at: a redirect is another's doing.
    known: HashMap<String, Said>,
    /// Requests that a client has changed, and where it has sent them.
    rewritten: HashMap<String, Option<String>>,
    waiting: HashMap<String, (BootTime, Vec<String>)>,
}

/// Whether the browser has said who caused a request.
enum Word {
    NotYet,
    /// It has spoken, and does not say.
    Silent,
    Said(SiteContext),
}

/// What the browser said of a request.
#[derive(Debug)]
struct Said {
    url: String,
    cause: Option<SiteContext>,
    /// The target that makes it.
    target: Option<Arc<str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WillBeSent<'a> {
    #[serde(borrow)]
    request_id: Cow<'a, str>,
    #[serde(borrow, default, rename = "documentURL")]
    document_url: Option<Cow<'a, str>>,
    #[serde(borrow)]
    request: Sent<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent<'a> {
    #[serde(borrow)]
    url: Cow<'a, str>,
    #[serde(default)]
    is_same_site: Option<bool>,
}

impl Causes {
    /// A request is over.
    pub(super) fn forget(&mut self, request: &str) {
        self.known.remove(request);
        self.rewritten.remove(request);
    }

    /// A client has changed a request, and perhaps sent it elsewhere. The browser
    /// speaks of the place before only, and may do so later than the client.
    pub(super) fn rewritten(&mut self, request: &str, url: Option<&Url>) {
        if self.rewritten.len() >= MOST_CAUSES {
            self.rewritten.clear();
        }
        let url = url.map(|url| {
            let mut url = url.clone();
            url.set_fragment(None);
            url.to_string()
        });
        self.rewritten.insert(request.to_owned(), url);
    }

    /// Whether a client has changed a request.
    pub(super) fn is_rewritten(&self, request: &str) -> bool {
        self.rewritten.contains_key(request)
    }

    /// What the browser said of who caused a request that is at `url` now.
    fn said(&self, request: &str, url: &str) -> Word {
        let Some(said) = self.known.get(request) else {
            return Word::NotYet;
        };
        let word = said.cause.map_or(Word::Silent, Word::Said);
        if said.url == url {
            return word;
        }
        let sent_there = self.rewritten.get(request);
        if sent_there.is_none_or(|sent| sent.as_deref() != Some(url)) {
            return Word::NotYet;
        }
        match (Url::parse(&said.url), Url::parse(url)) {
            (Ok(before), Ok(after)) if is_same_site(&before, &after) => word,
            _ => Word::Said(SiteContext::CrossSite),
        }
    }

    /// Waits for word of a request.
    pub(super) fn wait(&mut self, request: &str, params: &str, now: Now) {
        self.waiting
            .entry(request.to_owned())
            .or_insert_with(|| (now.boot.saturating_add(PATIENCE), Vec::new()))
            .1
            .push(params.to_owned());
    }

    /// When the first that waits has waited long enough.
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.waiting.values().map(|(deadline, _)| *deadline).min()
    }

    fn late(&mut self, now: Now) -> Vec<String> {
        let late: Vec<String> = self
            .waiting
            .iter()
            .filter(|(_, (deadline, _))| now.boot >= *deadline)
            .map(|(request, _)| request.clone())
            .collect();
        late.iter()
            .filter_map(|request| self.waiting.remove(request))
            .flat_map(|(_, params)| params)
            .collect()
    }
}

impl Hub {
    /// `Network.requestWillBeSent` on a session of ours.
    pub(super) fn will_be_sent(&mut self, session: &str, params: &str, now: Now) {
        let Ok(sent) = serde_json::from_str::<WillBeSent<'_>>(params) else {
            return;
        };
        let cause = sent
            .request
            .is_same_site
            .map(same_or_cross)
            .or_else(|| self.cause_by_worker(session, &sent));
        if self.causes.known.len() >= MOST_CAUSES {
            self.causes.known.clear();
        }
        let said = Said {
            url: sent.request.url.to_string(),
            cause,
            target: self.sessions.get(session).map(|at| at.target.clone()),
        };
        self.causes.known.insert(sent.request_id.to_string(), said);
        let waiting = self.causes.waiting.remove(&*sent.request_id);
        for params in waiting.map(|(_, params)| params).unwrap_or_default() {
            self.decide(&params, super::intercept::Stage::Paused, now);
        }
    }

    /// When [`Hub::handle_timeout`] is due next, on the boot clock.
    pub fn deadline(&self) -> Option<BootTime> {
        let (causes, flights) = (self.causes.deadline(), self.flights.deadline());
        let (holds, endings) = (self.holds_deadline(), self.endings.deadline());
        causes
            .into_iter()
            .chain(flights)
            .chain(self.drains.deadline())
            .chain(holds)
            .chain(endings)
            .chain(self.proposals.deadline())
            .min()
    }

    /// Decides what has waited long enough.
    pub fn handle_timeout(&mut self, now: Now) {
        for params in self.causes.late(now) {
            self.decide(&params, super::intercept::Stage::Waited, now);
        }
        self.flights_late(now);
        self.check_drains(now);
        self.holds_late(now);
        self.leaving_late(now);
        self.proposals_due(now);
    }

    /// Who caused a request, where that is known already.
    pub(super) fn cause(
        &self,
        paused: &Paused<'_>,
        url: &Url,
        destination: Destination,
    ) -> Option<SiteContext> {
        if destination == Destination::Page {
            return Some(self.cause_of_page(paused, url));
        }
        let known = paused
            .network_id
            .as_deref()
            .map(|id| self.causes.said(id, &paused.request.url));
        match known {
            // The browser has yet to speak.
            Some(Word::NotYet) => None,
            Some(Word::Said(cause)) => Some(cause),
            // It does not say of workers' scripts, nor of what is loaded ahead
            // of parsing.
            Some(Word::Silent) | None => Some(self.cause_by_referrer(paused, url)),
        }
    }

    /// Whether a request is of the session's own context, which alone is lent to:
    /// those that a client makes besides are strangers' to the sites. `None` where
    /// that is not known (yet).
    pub(super) fn is_of_own_context(&self, paused: &Paused<'_>) -> Option<bool> {
        let own = self.contexts.first()?;
        if !self.made_contexts {
            return Some(true);
        }
        let of_frame = paused
            .frame_id
            .as_deref()
            .and_then(|frame| self.targets.get(frame));
        let of_request = || {
            let said = self.causes.known.get(paused.network_id.as_deref()?)?;
            self.targets.get(said.target.as_ref()?)
        };
        let target = of_frame.or_else(of_request)?;
        let context = target.info.get("browserContextId")?.as_str()?;
        Some(context == &**own)
    }

    /// Where the page of a frame is now: its opener's place while it is blank.
    pub(super) fn page_of_frame(&self, frame: &str) -> Option<&Url> {
        let target = self.targets.get(frame)?;
        let blank = target
            .url
            .as_ref()
            .is_none_or(|url| url.scheme() == "about");
        if blank {
            self.targets.get(target.opener.as_ref()?)?.url.as_ref()
        } else {
            target.url.as_ref()
        }
    }

    /// The first request of a page that was told to go somewhere is the one.
    pub(super) fn follow_told(&mut self, paused: &Paused<'_>) {
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        if let Some(target) = self.targets.get_mut(frame) {
            if target.told == Told::Next {
                target.told = Told::By(network_id(paused).into());
            }
        }
    }

    /// As when a person types an address, nobody's site caused what the agent
    /// told the page to do.
    fn cause_of_page(&self, paused: &Paused<'_>, url: &Url) -> SiteContext {
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        let told = self
            .targets
            .get(frame)
            .is_some_and(|target| target.told == Told::By(network_id(paused).into()));
        match self.page_of_frame(frame).filter(|_| !told) {
            None => SiteContext::SameSite,
            Some(from) if is_same_site(from, url) => SiteContext::SameSite,
            Some(_) if is_safe_method(&paused.request.method) => SiteContext::CrossSiteTopLevelSafe,
            Some(_) => SiteContext::CrossSite,
        }
    }

    /// In the top frame no site lies above, so the referrer tells, or else the
    /// page's own place.
    fn cause_by_referrer(&self, paused: &Paused<'_>, url: &Url) -> SiteContext {
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        let top = self
            .targets
            .get(frame)
            .filter(|target| target.kind == "page");
        let from = paused
            .header("referer")
            .and_then(|text| Url::parse(text).ok());
        let from = from.as_ref().or_else(|| top?.url.as_ref());
        same_or_cross(top.is_some() && from.is_some_and(|from| is_same_site(from, url)))
    }

    /// A worker's requests are its script's. One that a frame of another site
    /// started has that site above it.
    fn cause_by_worker(&self, session: &str, sent: &WillBeSent<'_>) -> Option<SiteContext> {
        let attached = self.sessions.get(session)?;
        let target: &Target = self.targets.get(&attached.target)?;
        if !target.kind.ends_with("worker") {
            return None;
        }
        let script = Url::parse(sent.document_url.as_deref()?).ok()?;
        let url = Url::parse(&sent.request.url).ok()?;
        let above: Option<Arc<str>> = attached
            .parent
            .as_ref()
            .and_then(|parent| self.sessions.get(parent))
            .map(|parent| parent.target.clone());
        let below_top = match above.and_then(|above| self.targets.get(&above)) {
            Some(above) => above.kind != "iframe",
            None => true,
        };
        Some(same_or_cross(below_top && is_same_site(&script, &url)))
    }
}

fn is_same_site(one: &Url, other: &Url) -> bool {
    match (Origin::of(one), Origin::of(other)) {
        (Some(one), Some(other)) => one.site() == other.site(),
        _ => false,
    }
}

const fn same_or_cross(same: bool) -> SiteContext {
    if same {
        SiteContext::SameSite
    } else {
        SiteContext::CrossSite
    }
}
