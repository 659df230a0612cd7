//! How much of the processor the cells get beside the broker.
//!
//! Each cell is a session, and Linux shares the processor out by sessions first
//! (`sched(7)`, the autogroup feature): beside fifty busy cells the broker would
//! have one part in fifty-one, and a window that a person takes back would close
//! when its turn comes. So the cells of a process weigh together about as much as
//! one session: a single cell stands back behind nobody, one of fifty far.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::browser::process::{Mark, start_of};

/// What a session weighs by its nice value, from 0 on: `sched_prio_to_weight` in
/// the kernel's `kernel/sched/core.c`.
const WEIGHTS: [usize; 20] = [
    1024, 820, 655, 526, 423, 335, 272, 215, 172, 137, 110, 87, 70, 56, 45, 36, 29, 23, 18, 15,
];

/// This process's cells: the number of their first process and when it began, and
/// the nice value that they were given.
static CELLS: Mutex<BTreeMap<(i32, u64), Option<usize>>> = Mutex::new(BTreeMap::new());

/// A cell's part while it lives.
#[derive(Debug)]
pub(super) struct Share((i32, u64));

impl Share {
    /// Counts a cell that is in a session of its own by now, and gives all of
    /// them what they have from here on.
    pub(super) fn of(mark: &Mark) -> Option<Self> {
        let leader = mark.leader?;
        let mut cells = cells();
        cells.insert(leader, None);
        divide(&mut cells);
        Some(Self(leader))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut cells = cells();
        cells.remove(&self.0);
        divide(&mut cells);
    }
}

fn divide(cells: &mut BTreeMap<(i32, u64), Option<usize>>) {
    let nice = nice_among(cells.len());
    let mut behind: Vec<_> = cells
        .iter_mut()
        .filter(|(_, given)| **given != Some(nice))
        .collect();
    // The newest first: who is not root may set ten in a second, and what is left
    // over is set with the next change.
    behind.sort_unstable_by_key(|((_, start), _)| Reverse(*start));
    for ((pid, start), given) in behind {
        // The number may have become a stranger's. A kernel that does not group
        // by sessions has no such file: there the processes' own value counts.
        if !start_of(*pid).is_ok_and(|begun| begun == *start) {
            continue;
        }
        match fs::write(format!("/proc/{pid}/autogroup"), nice.to_string()) {
            Ok(()) => *given = Some(nice),
            Err(error) => tracing::debug!(pid, %error, "a cell keeps its part of the processor"),
        }
    }
}

/// The smallest nice value with which so many cells weigh no more than one session.
fn nice_among(cells: usize) -> usize {
    let light = |weight: &usize| weight * cells <= WEIGHTS[0];
    WEIGHTS
        .iter()
        .position(light)
        .unwrap_or(WEIGHTS.len().saturating_sub(1))
}

fn cells() -> MutexGuard<'static, BTreeMap<(i32, u64), Option<usize>>> {
    CELLS.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_cells_weigh_no_more_than_one_session_as_far_as_that_goes() {
        for (cells, nice) in [
            (0, 0),
            (1, 0),
            (2, 4),
            (3, 5),
            (10, 11),
            (50, 18),
            (500, 19),
        ] {
            assert_eq!(nice_among(cells), nice, "{cells} cells");
        }
    }
}
