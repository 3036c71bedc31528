//! When leaders are looked for, and when it is told that one is missing for long.
//!
//! A search begins as soon as a partition has no leader, and after growing pauses while that stays so:
//! a cluster in trouble is not asked without end. The pauses are short again once nobody has refused for
//! as long as the last one.

use engine::clock::Moment;
use engine::error::Fault;

use super::finder::{Finder, Found, Search};
use crate::kafka::wire::failure::Failure;

/// First and greatest pause between two searches.
const PAUSE_MS: (u64, u64) = (50, 1_000);
/// How long a partition may be without leader until that is told, and how often.
const TOLD_EVERY_MS: u64 = 10_000;

/// The search under way, if there is one, and what came of those before.
#[derive(Debug)]
pub(super) struct Searches {
    finder: Finder,
    under_way: bool,
    /// Tick before which none begins, and the pause after the next one.
    at: u64,
    pause_ms: u64,
    /// Tick at which it is told that a leader is missing.
    told_at: Option<u64>,
    /// What last went wrong.
    failure: Option<Failure>,
}

impl Searches {
    pub(super) fn new(finder: Finder) -> Self {
        let pause_ms = PAUSE_MS.0;
        Self { finder, under_way: false, at: 0, pause_ms, told_at: None, failure: None }
    }

    /// What a search has found, once.
    pub(super) fn found(&mut self) -> Option<Result<Found, Failure>> {
        let found = self.finder.found();
        self.under_way &= found.is_none();
        found
    }

    /// Begins one if it is time.
    pub(super) fn begin(&mut self, now: Moment, search: impl FnOnce() -> Search) {
        if !self.under_way && now.reached(self.at) {
            self.under_way = self.finder.search(search());
            self.later(now);
        }
    }

    /// A leader has refused: the next search begins later than it would have.
    pub(super) fn later(&mut self, now: Moment) {
        self.at = now.tick_after_ms(self.pause_ms);
        self.pause_ms = (2 * self.pause_ms).min(PAUSE_MS.1);
    }

    /// Every partition has a leader.
    pub(super) fn not_needed(&mut self, now: Moment) {
        // Unless one that was found has just refused.
        if now.reached(self.at) {
            (self.told_at, self.pause_ms) = (None, PAUSE_MS.0);
        }
    }

    /// Why a leader may be missing.
    pub(super) fn failed(&mut self, failure: Failure) {
        self.failure = Some(failure);
    }

    /// The fault that the partition of this name is without leader, when it is time to tell it.
    pub(super) fn in_vain(&mut self, now: Moment, name: impl FnOnce() -> String) -> Option<Fault> {
        let told_at = *self.told_at.get_or_insert(now.tick_after_ms(TOLD_EVERY_MS));
        if !now.reached(told_at) {
            return None;
        }
        self.told_at = Some(now.tick_after_ms(TOLD_EVERY_MS));
        let what = format!("could not reach a leader of kafka partition \"{}\"", name());
        Some(Fault::later(what).with_hint(match self.failure.take() {
            Some(failure) => failure.to_string(),
            None => "the cluster has elected none; are enough brokers up?".to_owned(),
        }))
    }
}
