//! The wait, when a window closes, until nothing that it lent is under way.
//!
//! Some requests are never paused, such as the browser's look whether a service
//! worker's script has changed. They carry what is in the jar, so a jar is emptied
//! several times, one after the other: once Chromium's network service, which sends
//! requests and keeps the jar, has turned that often, it has come to the bars with
//! what it had begun before.

use std::{collections::HashSet, time::Duration};

use serde_json::json;

use super::{Call, Hub, Output, intercept::Stage};
use crate::{
    broker::lease::Lease,
    model::{
        action::RequestAction,
        id::DelegationId,
        time::{BootTime, Now},
    },
};

/// Longest wait for requests under way when a window closes.
const DRAIN: Duration = Duration::from_secs(3);

/// How often a jar is emptied in a drain. What was begun before the first time is
/// at its connection within a few turns: of the cookies, of a connection that was
/// cut, of the one that is tried after it.
const ROUNDS: u32 = 8;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Drains {
    under_way: Vec<Drain>,
    /// Leases of which the jar holds nothing any more.
    emptied: HashSet<DelegationId>,
    /// Leases whose drains are told.
    told: HashSet<DelegationId>,
    /// Paused requests to endpoints that are barred for now.
    held: Vec<String>,
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
}

impl Drains {
    pub(super) fn deadline(&self) -> Option<BootTime> {
        let waited_for = self
            .under_way
            .iter()
            .filter(|drain| !self.told.contains(&drain.delegation));
        waited_for.map(|drain| drain.deadline).min()
    }

    /// Whether the jar holds nothing of a closed lease any more.
    pub(super) fn is_emptied(&self, delegation: DelegationId) -> bool {
        self.emptied.contains(&delegation)
    }

    fn is_waited_for(&self, delegation: DelegationId) -> bool {
        let mut under_way = self.under_way.iter();
        under_way.any(|drain| drain.delegation == delegation) && !self.told.contains(&delegation)
    }
}

impl Hub {
    /// Asks for [`Output::Drained`] once nothing of a closed lease is under way
    /// any more. Its endpoints must be barred and its connections cut by now.
    pub fn drain(&mut self, delegation: DelegationId, token: u64, now: Now) {
        self.drains.under_way.push(Drain {
            token,
            delegation,
            deadline: now.boot.saturating_add(DRAIN),
            asked: 0,
            rounds: ROUNDS,
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
        let mut under_way = self.drains.under_way.iter();
        let Some(delegation) = under_way
            .find(|drain| drain.token == token)
            .map(|drain| drain.delegation)
        else {
            return;
        };
        let commands = self.empty_jar_of(delegation, token);
        if commands == 0 {
            self.ask("Browser.getVersion", json!({}), None, Call::Emptied(token));
        }
        let mut under_way = self.drains.under_way.iter_mut();
        if let Some(drain) = under_way.find(|drain| drain.token == token) {
            drain.asked = commands.max(1);
            drain.rounds = match commands {
                0 => 0,
                _ => drain.rounds.saturating_sub(1),
            };
        }
    }

    /// Chromium has answered one command of a round.
    pub(super) fn emptied(&mut self, token: u64, now: Now) {
        let mut under_way = self.drains.under_way.iter_mut();
        let Some(drain) = under_way.find(|drain| drain.token == token) else {
            return;
        };
        drain.asked = drain.asked.saturating_sub(1);
        match (drain.asked, drain.rounds) {
            (0, 0) => {
                self.drains.emptied.insert(drain.delegation);
                self.check_drains(now);
            }
            (0, _) => self.empty_jar(token),
            _ => {}
        }
    }

    /// Whether a request goes where a closing window bars the way for now.
    pub(super) fn is_barred(&self, action: &RequestAction) -> bool {
        self.is_reached(action, |lease| self.drains.is_waited_for(lease.delegation))
    }

    /// The same for a window that is closed, whether or not its drain has begun: the
    /// jar still holds what it lent, which would go along.
    pub(super) fn is_closing(&self, action: &RequestAction, now: Now) -> bool {
        self.is_reached(action, |lease| {
            lease.closed(now).is_some() && !self.drains.told.contains(&lease.delegation)
        })
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
        let reached = |lease: &Lease| of(lease) && lease.reaches(&host.to_owned(), port);
        tenant
            .leases
            .find(|lease| reached(lease).then_some(()))
            .is_some()
    }

    /// Has a request decided once the bars are lifted, and from the start: what was
    /// recorded or answered by then may have been under the window that closes.
    pub(super) fn hold_back(&mut self, params: &str) {
        self.drains.held.push(params.to_owned());
    }

    pub(super) fn check_drains(&mut self, now: Now) {
        let mut told = Vec::new();
        let mut under_way = std::mem::take(&mut self.drains.under_way);
        under_way.retain(|drain| {
            let delegation = drain.delegation;
            let late = now.boot >= drain.deadline;
            if late {
                self.flights.forget_unsure(delegation);
            }
            let whole = self.drains.is_emptied(delegation) && !self.flights.carries(delegation);
            if whole || late && !self.drains.told.contains(&delegation) {
                self.drains.told.insert(delegation);
                told.push(delegation);
                let token = drain.token;
                self.out.push_back(Output::Drained { token, whole });
            }
            !whole
        });
        self.drains.under_way = under_way;
        if !told.is_empty() {
            for params in std::mem::take(&mut self.drains.held) {
                self.decide(&params, Stage::Paused, now);
            }
        }
        // Not before: what a page reloads with is not to be taken for what is cut.
        for delegation in told {
            self.clean_up(delegation, now);
        }
    }
}
