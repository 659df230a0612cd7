//! Chromium says everything in one line: who makes it say more than can be read
//! makes all others wait. The router asks it something now and then, and ends who
//! fills the line when the answer does not come.

use std::time::Duration;

use serde_json::json;

use super::{Output, PlaceId, Router, What};
use crate::model::time::{BootTime, Now};

/// What a message costs Chromium besides its length.
const EACH: usize = 2 << 10;

/// Bytes after which Chromium is asked again.
const ASK_AFTER: usize = 1 << 20;

/// How long its answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes meanwhile that make a place the one that fills the line.
const FLOOD: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Line {
    /// Bytes that were heard since it was asked last.
    heard: usize,
    /// By when it is to have answered.
    asked: Option<BootTime>,
}

impl Router {
    /// Takes note of what was heard for a place.
    pub(super) fn heard(&mut self, id: PlaceId, bytes: usize, now: Now) {
        let cost = bytes + EACH;
        if let Some(place) = self.places.get_mut(&id) {
            place.heard += cost;
        }
        self.line.heard += cost;
        if self.line.asked.is_none() && self.line.heard > ASK_AFTER {
            self.count_anew(now);
            self.ask("Browser.getVersion", json!({}), None, What::Answers);
        }
    }

    fn count_anew(&mut self, now: Now) {
        self.line.heard = 0;
        self.line.asked = Some(now.boot.saturating_add(PATIENCE));
        for place in self.places.values_mut() {
            place.heard = 0;
        }
    }

    /// Chromium has answered.
    pub(super) fn answers(&mut self) {
        self.line.asked = None;
    }

    pub(super) fn line_deadline(&self) -> Option<BootTime> {
        self.line.asked
    }

    /// Ends who fills the line, if the answer is late. A machine that is slow
    /// without that is nobody's doing.
    pub(super) fn line_late(&mut self, now: Now) {
        if self.line.asked.is_none_or(|by| now.boot < by) {
            return;
        }
        self.line.asked = Some(now.boot.saturating_add(PATIENCE));
        let all = self.line.heard;
        let loudest = self.places.iter().max_by_key(|(_, place)| place.heard);
        let Some((&place, at)) = loudest else {
            return;
        };
        if at.heard > FLOOD && at.heard > all / 2 && at.leaving.is_none() {
            let why = "it made the browser say more than can be read, and others share it";
            self.out.push_back(Output::End { place, why });
            self.count_anew(now);
        }
    }
}
