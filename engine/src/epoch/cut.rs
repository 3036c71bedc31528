//! What a worker knows about epochs: which is open, where to cut, and the stamps.
//!
//! The stamp of an epoch is its processing time. Every decision that depends on processing time
//! reads the stamp, never a clock, so that the same cut gives the same result.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Order to end an epoch in some jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// The epoch that ends.
    pub epoch: u64,
    /// The epoch that begins.
    pub next: u64,
    /// Stamp of the one that begins, milliseconds.
    pub next_stamp_ms: i64,
    /// Jobs whose sources cut; the others keep their epoch open.
    pub jobs: Arc<[Arc<str>]>,
}

/// Epochs as one worker sees them.
#[derive(Debug, Default)]
pub(crate) struct EpochTable {
    stamps: BTreeMap<u64, i64>,
    /// Per job, the cuts ordered so far that its checkpoint operator has not passed.
    cuts: BTreeMap<Arc<str>, Vec<(u64, u64)>>,
}

impl EpochTable {
    /// Sets the stamp of the epoch that is open when the worker starts.
    pub(crate) fn open(&mut self, epoch: u64, stamp_ms: i64) {
        self.stamps.insert(epoch, stamp_ms);
    }

    pub(crate) fn order(&mut self, cut: &Cut) {
        self.stamps.insert(cut.next, cut.next_stamp_ms);
        for job in cut.jobs.iter() {
            self.cuts.entry(job.clone()).or_default().push((cut.epoch, cut.next));
        }
    }

    /// The first cut of `job` at or after `epoch`: `(epoch, next)`.
    pub(crate) fn cut_from(&self, job: &str, epoch: u64) -> Option<(u64, u64)> {
        self.cuts.get(job)?.iter().copied().find(|(cut, _)| *cut >= epoch)
    }

    /// Takes the cuts of `job` that lie before `frontier` (all of them if it is `None`).
    pub(crate) fn passed(&mut self, job: &str, frontier: Option<u64>) -> Vec<u64> {
        let Some(cuts) = self.cuts.get_mut(job) else { return Vec::new() };
        let is_passed = |epoch: u64| frontier.is_none_or(|frontier| epoch < frontier);
        let count = cuts.iter().take_while(|(epoch, _)| is_passed(*epoch)).count();
        cuts.drain(..count).map(|(epoch, _)| epoch).collect()
    }

    /// The stamp that held when `epoch` was open: its own, or the last one before it.
    pub(crate) fn stamp(&self, epoch: u64) -> i64 {
        self.stamps.range(..=epoch).next_back().map_or(0, |(_, stamp)| *stamp)
    }

    /// Forgets stamps of epochs that nothing can ask for any more.
    pub(crate) fn forget_before(&mut self, epoch: u64) {
        if let Some((&keep, _)) = self.stamps.range(..=epoch).next_back() {
            self.stamps = self.stamps.split_off(&keep);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_without_stamp_takes_the_one_before() {
        let mut table = EpochTable::default();
        table.open(1, 100);
        let job: Arc<str> = "j".into();
        let jobs: Arc<[Arc<str>]> = vec![job.clone()].into();
        table.order(&Cut { epoch: 1, next: 2, next_stamp_ms: 200, jobs: jobs.clone() });
        table.order(&Cut { epoch: 4, next: 5, next_stamp_ms: 500, jobs });
        assert_eq!((table.stamp(1), table.stamp(3), table.stamp(9)), (100, 200, 500));
        assert_eq!(table.cut_from("j", 2), Some((4, 5)));
        assert_eq!(table.passed("j", Some(4)), [1]);
        assert_eq!(table.passed("j", None), [4]);
        table.forget_before(3);
        assert_eq!((table.stamp(3), table.stamp(1)), (200, 0));
    }
}
