//! The second system that an agent runs into: a page that goes where no open window
//! reaches. It is refused, and becomes a question to a person.

use super::{Hub, Output};
use crate::{
    cdp::paused::Paused,
    model::{
        action::{Destination, Refusal, RequestAction, Rule, redacted_url},
        origin::Origin,
        time::Now,
    },
    trace::record::{Actor, Event},
};

/// Other systems that are told of in one session: a hostile page names many.
const MOST: usize = 8;

/// Where a page went, and what led there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encounter {
    /// The other system.
    pub origin: Origin,
    /// Its address, without query values.
    pub url: String,
    /// The page that led there, without query values.
    pub page: Option<String>,
    /// The agent's last command to that page before.
    pub cause: Option<String>,
}

impl Hub {
    /// Takes note of a refused request that opens a page, once for each system.
    pub(super) fn ran_into(
        &mut self,
        paused: &Paused<'_>,
        action: &RequestAction,
        refusal: &Refusal,
        now: Now,
    ) {
        if refusal.rule == Rule::OriginOutOfScope {
            self.missed(action, now);
        }
        let opens_page = action.destination == Destination::Page;
        let elsewhere = matches!(
            refusal.rule,
            Rule::OriginOutOfScope | Rule::NavigationOutOfScope
        );
        let Some(origin) = Origin::of(&action.url).filter(|_| opens_page && elsewhere) else {
            return;
        };
        let open = self
            .tenant
            .as_ref()
            .is_some_and(|tenant| tenant.leases.any_alive(now));
        if !open || self.encountered.len() >= MOST || self.encountered.contains(&origin) {
            return;
        }
        let frame = paused.frame_id.as_deref().unwrap_or_default();
        let encounter = Encounter {
            origin: origin.clone(),
            url: redacted_url(&action.url),
            page: self
                .page_of_frame(frame)
                .filter(|page| Origin::of(page).is_some())
                .map(redacted_url),
            cause: self.last_act(frame),
        };
        let event = Event::SecondSystem {
            origin: origin.clone(),
            what: action.summary(),
            page: encounter.page.clone(),
            cause: encounter.cause.clone(),
        };
        if self.record(Actor::Page, event, now).is_ok() {
            self.encountered.insert(origin);
            self.out
                .push_back(Output::SecondSystem(Box::new(encounter)));
        }
    }
}
