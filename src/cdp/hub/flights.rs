//! Requests under way that carry what is lent; their end is waited for when a
//! window closes.
//!
//! A window's end cuts its connections, and Chromium sends a request anew on a
//! fresh connection when a reused one breaks before the answer: with the headers
//! that it was given, unpaused. So the egress keeps the endpoints barred until
//! each such request has its answer or has failed. To know that without the
//! page's help, requests that carry something are paused again at the response.

use std::{collections::HashMap, time::Duration};

use serde_json::json;

use super::{Call, Hub};
use crate::{
    broker::lease::Lease,
    cdp::paused::Paused,
    model::{
        action::{Destination, RequestAction},
        cookie::{CookieUse, SiteContext},
        delegation::Delivery,
        id::DelegationId,
        origin::Origin,
        time::{BootTime, Now},
    },
};

/// Longest wait of a response for word of what it sets.
const HEADERS: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// By the number of the pause, or of the socket.
    carrying: HashMap<String, Flight>,
    /// Responses that wait, by network id.
    responses: HashMap<String, Held>,
    /// Cookies being taken out of the jar, by network id of who set them.
    clearing: HashMap<String, usize>,
}

#[derive(Debug)]
struct Flight {
    lent: Vec<DelegationId>,
    network: Option<String>,
    frame: Option<String>,
    /// Its end may never be told: its page is gone, or it is a socket's handshake,
    /// which dies with its document. Of both nothing is left once their connections
    /// are cut and the jar is empty.
    unsure: bool,
}

#[derive(Debug)]
struct Held {
    pause: String,
    deadline: BootTime,
}

impl Flights {
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.responses.values().map(|held| held.deadline).min()
    }

    pub(super) fn carries(&self, delegation: DelegationId) -> bool {
        self.carrying
            .values()
            .any(|flight| flight.lent.contains(&delegation))
    }

    /// Lets go of those of a lease whose end may never be told.
    pub(super) fn forget_unsure(&mut self, delegation: DelegationId) {
        self.carrying
            .retain(|_, flight| !(flight.unsure && flight.lent.contains(&delegation)));
    }
}

impl Hub {
    /// Leases whose cookies the request takes along, by the jar or (`wire`) by
    /// the header that it is given.
    pub(super) fn carried(
        &self,
        action: &RequestAction,
        wire: &[DelegationId],
        now: Now,
    ) -> Vec<DelegationId> {
        let mut lent = wire.to_vec();
        if let Some(tenant) = &self.tenant {
            tenant.leases.each(|lease| {
                let id = lease.delegation;
                let full = lease.closed(now).is_some() && !self.drains.is_emptied(id);
                let may = lease.is_open(now) || full;
                if may && !lent.contains(&id) && is_in_jar(lease, action, now) {
                    lent.push(id);
                }
            });
        }
        lent
    }

    /// A request that takes lent cookies along is let go.
    pub(super) fn took_off(&mut self, paused: &Paused<'_>, lent: Vec<DelegationId>) {
        let flight = Flight {
            lent,
            network: paused.network_id.as_deref().map(str::to_owned),
            frame: paused.frame_id.as_deref().map(str::to_owned),
            unsure: false,
        };
        let pause = paused.request_id.to_string();
        self.flights.carrying.insert(pause, flight);
    }

    /// `Fetch.requestPaused` at the response, or at its failure.
    pub(super) fn response_paused(&mut self, paused: &Paused<'_>, now: Now) {
        self.flights.carrying.remove(&*paused.request_id);
        self.check_drains(now);
        let network = paused.network_id.as_deref().unwrap_or_default();
        let expects = paused.response_status_code.is_some()
            && self.hops.get(network).is_some_and(|hops| !hops.is_empty());
        if expects || self.flights.clearing.contains_key(network) {
            let held = Held {
                pause: paused.request_id.to_string(),
                deadline: now.boot.saturating_add(HEADERS),
            };
            self.flights.responses.insert(network.to_owned(), held);
        } else {
            self.land(&paused.request_id);
        }
    }

    /// The headers of a response are known, and what they set is being undone
    /// by so many commands.
    pub(super) fn headers_known(&mut self, network: &str, commands: usize) {
        if commands > 0 {
            *self.flights.clearing.entry(network.to_owned()).or_default() += commands;
        } else if !self.flights.clearing.contains_key(network) {
            self.release_response(network);
        }
    }

    /// One of those commands is done.
    pub(super) fn cleared(&mut self, network: &str) {
        if let Some(left) = self.flights.clearing.get_mut(network) {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.flights.clearing.remove(network);
                self.release_response(network);
            }
        }
    }

    fn release_response(&mut self, network: &str) {
        let more = self.hops.get(network).is_some_and(|hops| !hops.is_empty());
        if more {
            return;
        }
        if let Some(held) = self.flights.responses.remove(network) {
            self.land(&held.pause);
        }
    }

    fn land(&mut self, pause: &str) {
        self.ask(
            "Fetch.continueRequest",
            json!({"requestId": pause}),
            None,
            Call::Ignored,
        );
    }

    /// The page says that a request is over.
    pub(super) fn request_over(&mut self, network: &str, now: Now) {
        let before = self.flights.carrying.len();
        self.flights
            .carrying
            .retain(|_, flight| flight.network.as_deref() != Some(network));
        if self.flights.carrying.len() != before {
            self.check_drains(now);
        }
    }

    /// A page opened a socket: its handshake took the jar's cookies along.
    pub(super) fn socket_opened(&mut self, session: &str, socket: &str, url: &str, now: Now) {
        let Ok(url) = url::Url::parse(url) else {
            return;
        };
        let mut action = RequestAction::new("GET", url, Destination::Connect);
        if let (Some(tenant), Some(host), Some(port)) = (
            &self.tenant,
            action.url.host(),
            action.url.port_or_known_default(),
        ) {
            // The interceptor does not see handshakes: the egress refuses them.
            if !tenant.leases.covers_endpoint(&host.to_owned(), port, now) {
                let target = self.sessions.get(session).map(|at| at.target.clone());
                let page = target.and_then(|target| self.page_of_frame(&target));
                action.page = page.and_then(Origin::of);
                self.missed(&action, now);
                return;
            }
        }
        let lent = self.carried(&action, &[], now);
        if !lent.is_empty() {
            let frame = self.sessions.get(session).map(|at| at.target.to_string());
            let flight = Flight {
                lent,
                network: Some(socket.to_owned()),
                frame,
                unsure: true,
            };
            self.flights
                .carrying
                .insert(format!("socket {socket}"), flight);
        }
    }

    /// A target is gone; what it asked for may never be told to be over.
    pub(super) fn lost(&mut self, target: &str) {
        let targets = &self.targets;
        for flight in self.flights.carrying.values_mut() {
            let lives = flight
                .frame
                .as_deref()
                .is_some_and(|frame| frame != target && targets.contains_key(frame));
            flight.unsure |= !lives;
        }
    }

    pub(super) fn flights_late(&mut self, now: Now) {
        let late: Vec<String> = self
            .flights
            .responses
            .iter()
            .filter(|(_, held)| now.boot >= held.deadline)
            .map(|(network, _)| network.clone())
            .collect();
        for network in late {
            tracing::debug!(network, "nothing was told of what a response sets");
            if let Some(held) = self.flights.responses.remove(&network) {
                self.land(&held.pause);
            }
        }
    }
}

/// Whether a browser might add a cookie that the lease lends by the jar; who
/// caused the request is left aside.
fn is_in_jar(lease: &Lease, action: &RequestAction, now: Now) -> bool {
    lease.cookies.iter().any(|cookie| {
        let mut attributes = cookie.attributes.clone();
        attributes.partition_key = None;
        cookie.delivery == Delivery::Jar
            && attributes.is_sent(&CookieUse {
                url: &action.url,
                site: SiteContext::SameSite,
                partition: None,
                at: now.wall,
            })
    })
}
