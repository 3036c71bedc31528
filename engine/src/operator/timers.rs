//! Timers by time and key: those set since the start in a tree, those loaded as stored bytes.
//!
//! Many devices have a timer at the same instant, the end of a day: a tree compares their keys to the
//! last byte at every step, which a restore of millions of them cannot afford. Loaded timers stay in
//! the [`Run`] of their key group, in whose order they are stored, and are merged with the tree when
//! they are due.

use std::collections::BTreeSet;

use crate::batch::order::{flip, unflip};
use crate::limit::KEY_GROUPS;
use crate::state::run::Run;

/// Time, and key.
pub(super) type Timer = (i64, Box<[u8]>);

/// All timers of an operator on one worker.
#[derive(Default)]
pub(super) struct Timers {
    set: BTreeSet<Timer>,
    /// By key group; empty if nothing was loaded.
    runs: Vec<Run>,
    /// The first timer of each run that has one, and the run.
    heads: BTreeSet<(Timer, u16)>,
    /// Timers in runs.
    loaded: usize,
    /// The run that was pushed to last.
    filling: u16,
}

/// The bytes by which a timer is stored: they sort as it does.
pub(super) fn stored(at: i64, key: &[u8]) -> Vec<u8> {
    [&flip(at).to_be_bytes(), key].concat()
}

fn parse(stored: &[u8]) -> Option<(i64, &[u8])> {
    let (at, key) = stored.split_first_chunk::<8>()?;
    Some((unflip(u64::from_be_bytes(*at)), key))
}

impl Timers {
    /// Takes back a timer; `group` is the key group of its key. False if `stored` is none.
    pub(super) fn load(&mut self, group: u16, stored: &[u8]) -> bool {
        let Some((at, key)) = parse(stored) else { return false };
        if self.runs.is_empty() {
            self.runs.resize_with(usize::from(KEY_GROUPS), Run::default);
        }
        if group != self.filling {
            self.runs[usize::from(self.filling)].finish();
            self.filling = group;
        }
        let run = &mut self.runs[usize::from(group)];
        if !run.push(stored, &[]) {
            self.set.insert((at, key.into()));
            return true;
        }
        self.loaded += 1;
        if run.len() == 1 {
            self.heads.insert(((at, key.into()), group));
        }
        true
    }

    /// Sets a timer of a key in `group`; false if it is set already.
    pub(super) fn insert(&mut self, group: u16, at: i64, key: &[u8]) -> bool {
        let loaded =
            self.loaded > 0 && self.runs[usize::from(group)].find(&stored(at, key)).is_some();
        !loaded && self.set.insert((at, key.into()))
    }

    /// Time of the first one.
    pub(super) fn first_at(&self) -> Option<i64> {
        let loaded = self.heads.first().map(|((at, _), _)| *at);
        let set = self.set.first().map(|(at, _)| *at);
        loaded.into_iter().chain(set).min()
    }

    /// Takes out the first one, by time and key.
    pub(super) fn pop_first(&mut self) -> Option<Timer> {
        let Some((loaded, _)) = self.heads.first() else { return self.set.pop_first() };
        if self.set.first().is_some_and(|set| set < loaded) {
            return self.set.pop_first();
        }
        let (timer, group) = self.heads.pop_first()?;
        let run = &mut self.runs[usize::from(group)];
        run.take(run.first().expect("its first one was a head"));
        self.loaded -= 1;
        match run.first() {
            Some(first) => {
                let (at, key) = parse(run.entry(first).0).expect("parsed when it was loaded");
                self.heads.insert(((at, key.into()), group));
            }
            None => *run = Run::default(),
        }
        Some(timer)
    }

    /// Number of timers.
    pub(super) fn len(&self) -> usize {
        self.set.len() + self.loaded
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::hash::key_group;

    proptest! {
        /// Loaded or set, each timer is there once and comes out by time and key.
        #[test]
        fn loaded_timers_are_timers(
            loaded: BTreeSet<(i64, u8)>,
            set in prop::collection::vec((-3_i64..3, any::<u8>()), 0..40),
            popped_first in 0_usize..40,
        ) {
            let timer = |&(at, key): &(i64, u8)| -> Timer { (at % 3, [key].into()) };
            let mut model: BTreeSet<Timer> = loaded.iter().map(timer).collect();
            let mut timers = Timers::default();
            let mut ordered: Vec<_> =
                model.iter().map(|(at, key)| (key_group(key), stored(*at, key))).collect();
            ordered.sort();
            for (group, stored) in ordered {
                prop_assert!(timers.load(group, &stored));
            }
            for _ in 0..popped_first {
                prop_assert_eq!(timers.first_at(), model.first().map(|(at, _)| *at));
                prop_assert_eq!(timers.pop_first(), model.pop_first());
            }
            for (at, key) in set.iter().map(timer) {
                let new = timers.insert(key_group(&key), at, &key);
                prop_assert_eq!(new, model.insert((at, key)));
                prop_assert_eq!(timers.len(), model.len());
            }
            while let Some(first) = model.pop_first() {
                prop_assert_eq!(timers.pop_first(), Some(first));
            }
            prop_assert_eq!((timers.pop_first(), timers.len()), (None, 0));
        }
    }

    #[test]
    fn bytes_that_are_no_timer_are_refused() {
        assert!(!Timers::default().load(0, b"short"));
    }
}
