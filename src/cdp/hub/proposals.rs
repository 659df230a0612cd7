//! Hosts that pages load from or connect to, and that no window names. They are
//! refused; where a delegation says so, they are gathered and proposed to a person,
//! who would not know them by heart.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{Hub, Output};
use crate::{
    broker::lease::Lease,
    model::{
        action::{Destination, RequestAction},
        origin::Origin,
        time::{BootTime, Now},
    },
};

/// How long others are waited for after the first, so that a page's become one
/// question.
const GATHER: Duration = Duration::from_secs(2);

/// Most that are proposed in one session: a hostile page names many.
const MOST: usize = 64;

/// Hosts that a person may let pages have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    /// To load sub-resources from.
    pub load: BTreeSet<Origin>,
    /// To connect to.
    pub connect: BTreeSet<Origin>,
    /// Pages that wanted them.
    pub pages: BTreeSet<Origin>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    known: BTreeSet<(bool, Origin)>,
    gathering: Option<(BootTime, Proposal)>,
}

impl Proposals {
    pub(super) fn deadline(&self) -> Option<BootTime> {
        self.gathering.as_ref().map(|(until, _)| *until)
    }
}

impl Hub {
    /// Takes note of a refused request for what a page needs, once for each host.
    pub(super) fn missed(&mut self, action: &RequestAction, now: Now) {
        let loads = action.destination == Destination::Load;
        if !loads && action.destination != Destination::Connect {
            return;
        }
        let (Some(origin), Some(page)) = (Origin::of(&action.url), action.page.clone()) else {
            return;
        };
        let proposes = self.tenant.as_ref().is_some_and(|tenant| {
            let for_page = |lease: &Arc<Lease>| {
                let scope = &lease.scope;
                (lease.is_open(now) && scope.proposes() && scope.covers_origin(&page)).then_some(())
            };
            tenant.leases.find(for_page).is_some()
        });
        let proposals = &mut self.proposals;
        if !proposes
            || proposals.known.len() >= MOST
            || !proposals.known.insert((loads, origin.clone()))
        {
            return;
        }
        let (_, gathered) = proposals
            .gathering
            .get_or_insert_with(|| (now.boot.saturating_add(GATHER), Proposal::default()));
        gathered.pages.insert(page);
        if loads {
            gathered.load.insert(origin);
        } else {
            gathered.connect.insert(origin);
        }
    }

    pub(super) fn proposals_due(&mut self, now: Now) {
        let due = |(until, _): &mut (BootTime, Proposal)| now.boot >= *until;
        if let Some((_, proposal)) = self.proposals.gathering.take_if(due) {
            self.out.push_back(Output::Proposed(Box::new(proposal)));
        }
    }
}
