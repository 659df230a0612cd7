//! Requests under way that carry what is lent, and the wait for their end when
//! a window closes.
//!
//! A window's end cuts its connections, and Chromium sends a request anew on a
//! fresh connection when a reused one breaks before the answer: with the headers
//! that it was given, unpaused. So the egress keeps the endpoints barred until
//! each such request has its answer or has failed. To know that without the
//! page's help, requests that carry something are paused again at the response.
//!
//! Some requests are never paused, such as the browser's look whether a service
//! worker's script has changed. They carry what is in the jar, so a jar is emptied
//! several times, one after the other: once Chromium's network service, which sends
//! requests and keeps the jar, has turned that often, it has come to the bars with
//! what it had begun before.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde_json::json;

use super::{Call, Hub, Output};
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

/// Longest wait for requests under way when a window closes.
const DRAIN: Duration = Duration::from_secs(3);

/// How often a jar is emptied in a drain. What was begun before the first time is
/// at its connection within a few turns: of the cookies, of a connection that was
/// cut, of the one that is tried after it.
const ROUNDS: u32 = 8;

/// Longest wait of a response for word of what it sets.
const HEADERS: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Flights {
    /// By the number of the pause, or of the socket.
    carrying: HashMap<String, Flight>,
    drains: Vec<Drain>,
    /// Closed leases of which the jar holds nothing any more.
    emptied: HashSet<DelegationId>,
    /// Closed leases whose drains are told.
    over: HashSet<DelegationId>,
    /// Paused requests to endpoints that are barred for now.
    held: Vec<String>,
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
struct Drain {
    token: u64,
    delegation: DelegationId,
    deadline: BootTime,
    /// What Chromium has yet to answer in this round of emptying the jar.
    asked: usize,
    /// Rounds that follow.
    rounds: u32,
    /// The jar holds nothing of it any more.
    emptied: bool,
    told: bool,
}

#[derive(Debug)]
struct Held {
    pause: String,
    deadline: BootTime,
}

impl Flights {
    pub(super) fn deadline(&self) -> Option<BootTime> {
        let drains = self.drains.iter().filter(|drain| !drain.told);
        let responses = self.responses.values().map(|held| held.deadline);
        drains.map(|drain| drain.deadline).chain(responses).min()
    }

    fn carries(&self, delegation: DelegationId) -> bool {
        self.carrying
            .values()
            .any(|flight| flight.lent.contains(&delegation))
    }
}

impl Hub {
    /// Asks for [`Output::Drained`] once nothing of a closed lease is under way
    /// any more. Its endpoints must be barred and its connections cut by now.
    pub fn drain(&mut self, delegation: DelegationId, token: u64, now: Now) {
        self.flights.drains.push(Drain {
            token,
            delegation,
            deadline: now.boot.saturating_add(DRAIN),
            asked: 0,
            rounds: ROUNDS,
            emptied: false,
            told: false,
        });
        self.deny_holds(Some(delegation), now);
        self.empty_jar(token);
        let going_on = self
            .tenant
            .as_ref()
            .is_some_and(|tenant| tenant.leases.any_alive(now));
        if !going_on {
            // The session ends: nobody would be told later.
            self.tell_closed(delegation, now);
        }
    }

    /// One round of emptying the jar. Where nothing is in it, one answer tells that
    /// Chromium has done all that it was asked before the drain began.
    fn empty_jar(&mut self, token: u64) {
        let drains = &self.flights.drains;
        let Some(at) = drains.iter().position(|drain| drain.token == token) else {
            return;
        };
        let delegation = drains.get(at).map(|drain| drain.delegation);
        let commands = delegation.map_or(0, |id| self.empty_jar_of(id, token));
        if commands == 0 {
            self.ask("Browser.getVersion", json!({}), None, Call::Emptied(token));
        }
        if let Some(drain) = self.flights.drains.get_mut(at) {
            drain.asked = commands.max(1);
            drain.rounds = if commands == 0 {
                0
            } else {
                drain.rounds.saturating_sub(1)
            };
        }
    }

    /// Chromium has answered one command of a round.
    pub(super) fn emptied(&mut self, token: u64, now: Now) {
        let mut drains = self.flights.drains.iter_mut();
        let Some(drain) = drains.find(|drain| drain.token == token) else {
            return;
        };
        drain.asked = drain.asked.saturating_sub(1);
        if drain.asked > 0 {
            return;
        }
        if drain.rounds > 0 {
            self.empty_jar(token);
            return;
        }
        drain.emptied = true;
        self.flights.emptied.insert(drain.delegation);
        self.check_drains(now);
    }

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
                let over = lease.closed(now).is_some();
                let may = lease.is_open(now) || over && !self.flights.emptied.contains(&id);
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

    /// Whether a request goes where a closing window bars the way for now; it
    /// is then decided once the bar is lifted.
    pub(super) fn hold_back(&mut self, action: &RequestAction, params: &str) -> bool {
        let drains = &self.flights.drains;
        let barred = self.is_reached(action, |lease| {
            let mut own = drains.iter().filter(|d| d.delegation == lease.delegation);
            own.any(|drain| !drain.told)
        });
        if barred {
            self.flights.held.push(params.to_owned());
        }
        barred
    }

    /// The same for a window that is closed and whose drain has yet to begin: the jar
    /// still holds what it lent, which would go along.
    pub(super) fn hold_back_early(
        &mut self,
        action: &RequestAction,
        params: &str,
        now: Now,
    ) -> bool {
        let over = &self.flights.over;
        let barred = self.is_reached(action, |lease| {
            lease.closed(now).is_some() && !over.contains(&lease.delegation)
        });
        if barred {
            self.flights.held.push(params.to_owned());
        }
        barred
    }

    /// Whether what one of these leases lends can go where the request goes.
    fn is_reached(&self, action: &RequestAction, of: impl Fn(&Lease) -> bool) -> bool {
        let (Some(tenant), Some(host), Some(port)) = (
            &self.tenant,
            action.url.host(),
            action.url.port_or_known_default(),
        ) else {
            return false;
        };
        let host = host.to_owned();
        tenant
            .leases
            .find(|lease| (of(lease) && lease.reaches(&host, port)).then_some(()))
            .is_some()
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
        self.check_drains(now);
    }

    fn check_drains(&mut self, now: Now) {
        let mut told = Vec::new();
        let mut drains = std::mem::take(&mut self.flights.drains);
        for drain in &mut drains {
            let late = now.boot >= drain.deadline;
            if late {
                let delegation = drain.delegation;
                self.flights
                    .carrying
                    .retain(|_, flight| !(flight.unsure && flight.lent.contains(&delegation)));
            }
            let whole = drain.emptied && !self.flights.carries(drain.delegation);
            if whole || late && !drain.told {
                drain.told = true;
                self.flights.over.insert(drain.delegation);
                told.push(drain.delegation);
                let token = drain.token;
                self.out.push_back(Output::Drained { token, whole });
            }
            drain.deadline = if whole { BootTime(0) } else { drain.deadline };
        }
        drains.retain(|drain| drain.deadline != BootTime(0));
        self.flights.drains = drains;
        if !told.is_empty() {
            for params in std::mem::take(&mut self.flights.held) {
                self.decide(&params, super::intercept::Stage::Paused, now);
            }
        }
        // Not before: what a page reloads with is not to be taken for what is cut.
        for delegation in told {
            self.clean_up(delegation, now);
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
