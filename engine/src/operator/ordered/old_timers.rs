//! Timers as layout 1 stored them: each an entry of its own, without value.
//!
//! They stay so until they are due: to write them with their keys would be a second load. Their bytes
//! stay in the [`Run`] of their key group, in whose order they are stored.

use std::collections::BTreeSet;

use super::keys::Timer;
use crate::batch::order::{flip, unflip};
use crate::hash::key_group;
use crate::limit::KEY_GROUPS;
use crate::state::run::Run;

/// The old timers of an operator on one worker.
#[derive(Default)]
pub(super) struct OldTimers {
    /// By key group; empty if nothing was loaded.
    runs: Vec<Run>,
    /// The first timer of each run that has one, and the run.
    heads: BTreeSet<(Timer, u16)>,
    left: usize,
}

/// The bytes by which a timer is stored: they sort as it does.
pub(super) fn stored(at: i64, key: &[u8]) -> Vec<u8> {
    [&flip(at).to_be_bytes(), key].concat()
}

fn parse(stored: &[u8]) -> Option<Timer> {
    let (at, key) = stored.split_first_chunk::<8>()?;
    Some((unflip(u64::from_be_bytes(*at)), key.into()))
}

impl OldTimers {
    /// Takes back a timer; `group` is the key group of its key. False if `stored` is none, or does not
    /// come in its order.
    pub(super) fn load(&mut self, group: u16, stored: &[u8]) -> bool {
        if self.runs.is_empty() {
            self.runs.resize_with(usize::from(KEY_GROUPS), Run::default);
        }
        let run = &mut self.runs[usize::from(group)];
        let Some(timer) = parse(stored).filter(|_| run.push(stored, &[])) else { return false };
        self.left += 1;
        if run.len() == 1 {
            self.heads.insert((timer, group));
        }
        true
    }

    /// Whether this timer is one of them.
    pub(super) fn contains(&self, at: i64, key: &[u8]) -> bool {
        let run = || &self.runs[usize::from(key_group(key))];
        self.left > 0 && run().find(&stored(at, key)).is_some()
    }

    /// The first one, by time and key.
    pub(super) fn first(&self) -> Option<&Timer> {
        self.heads.first().map(|(timer, _)| timer)
    }

    /// Takes it out.
    pub(super) fn pop_first(&mut self) -> Option<Timer> {
        let (timer, group) = self.heads.pop_first()?;
        let run = &mut self.runs[usize::from(group)];
        run.take(run.first().expect("its first one was a head"));
        self.left -= 1;
        match run.first() {
            Some(first) => {
                let first = parse(run.entry(first).0).expect("parsed when it was loaded");
                self.heads.insert((first, group));
            }
            None => *run = Run::default(),
        }
        Some(timer)
    }

    /// Number of timers.
    pub(super) fn len(&self) -> usize {
        self.left
    }
}
