//! The holds that wait in all running sessions, as people are shown them. What they
//! carry is kept nowhere else, and only while they wait.

use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

use crate::model::{hold::Hold, id::HoldId};

/// See the module.
#[derive(Debug, Default)]
pub struct Board(RwLock<BTreeMap<HoldId, Hold>>);

impl Board {
    /// All of them, the oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<Hold> {
        let holds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<Hold> = holds.values().cloned().collect();
        all.sort_by_key(|hold| hold.opened_at);
        all
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: HoldId) -> Option<Hold> {
        let holds = self.0.read().unwrap_or_else(PoisonError::into_inner);
        holds.get(&id).cloned()
    }

    pub(crate) fn put(&self, hold: Hold) {
        self.change(|holds| holds.insert(hold.id, hold));
    }

    pub(super) fn waits(&self, id: HoldId, waiting: bool) {
        self.change(|holds| {
            if let Some(hold) = holds.get_mut(&id) {
                hold.waiting = waiting;
            }
        });
    }

    pub(super) fn take(&self, id: HoldId) {
        self.change(|holds| holds.remove(&id));
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<HoldId, Hold>) -> T) -> T {
        change(&mut self.0.write().unwrap_or_else(PoisonError::into_inner))
    }
}
