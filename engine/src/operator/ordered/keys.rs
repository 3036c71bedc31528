//! All keys of an ordered operator, with their states, and all its timers by time and key.
//!
//! A timer is in one of three places: with a key in use it is in a tree; with a loaded one it is found
//! by an index into the bytes that the key lies in, until the key is asked for; and one that layout 1
//! wrote is an entry of its own until it is due.

use std::collections::BTreeSet;

use super::kept::{self, Kept};
use super::loaded::LoadedTimers;
use super::old_timers::OldTimers;
use crate::operator::keyed::Codec;
use crate::state::keys::KeyMap;

/// Time, and key.
pub(super) type Timer = (i64, Box<[u8]>);

/// Why loading cannot fail.
const BROKEN: &str = "state of this operator was written by it";

/// Keys and timers.
pub(super) struct Keys<S> {
    kept: KeyMap<Kept<S>>,
    /// Timers of keys in use.
    set: BTreeSet<Timer>,
    /// Timers of keys that were only loaded.
    loaded: LoadedTimers,
    old: OldTimers,
    /// Kept for its memory.
    old_state: Vec<u8>,
}

/// A timer whose turn has come.
pub(super) struct Due {
    pub(super) at: i64,
    pub(super) key: Box<[u8]>,
    /// It is an entry of its own in the checkpoint.
    pub(super) old: bool,
}

impl<S: Codec> Keys<S> {
    pub(super) fn new() -> Self {
        Self {
            kept: KeyMap::new(|value| Kept::decode(value).expect(BROKEN)),
            set: BTreeSet::new(),
            loaded: LoadedTimers::default(),
            old: OldTimers::default(),
            old_state: Vec::new(),
        }
    }

    /// Takes back a key; `group` is its key group.
    pub(super) fn load(&mut self, group: u16, key: &[u8], value: &[u8]) {
        let timers = || kept::timers_of(value).expect(BROKEN);
        match self.kept.load(group, key, value) {
            Some(index) => timers().for_each(|at| self.loaded.load(group, at, index)),
            None => self.set.extend(timers().map(|at| (at, key.into()))),
        }
    }

    /// Takes back the state of a key as layout 1 stored it.
    pub(super) fn load_old_state(&mut self, group: u16, key: &[u8], state: &[u8]) {
        let mut value = std::mem::take(&mut self.old_state);
        kept::old_state(state, &mut value);
        self.load(group, key, &value);
        self.old_state = value;
    }

    /// Takes back a timer as layout 1 stored it.
    pub(super) fn load_old_timer(&mut self, group: u16, stored: &[u8]) {
        assert!(self.old.load(group, stored), "{BROKEN}");
    }

    /// What is kept of `key`, if anything.
    pub(super) fn get_mut(&mut self, key: &[u8]) -> Option<&mut Kept<S>> {
        let Self { kept, set, .. } = self;
        kept.get_mut_telling(key, &mut |key, kept| {
            set.extend(kept.timers().iter().map(|at| (*at, key.into())));
        })
    }

    /// Adds a key that [`Keys::get_mut`] did not find.
    pub(super) fn insert(&mut self, key: &[u8]) -> &mut Kept<S> {
        self.kept.insert(key, Kept::new())
    }

    /// Removes a key with which nothing is kept any more.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.kept.remove(key);
    }

    /// Sets a timer of a key that is in use; false if it is set already.
    pub(super) fn set_timer(&mut self, key: &[u8], at: i64) -> bool {
        if self.old.contains(at, key) {
            return false;
        }
        let kept = self.kept.get_mut(key).expect("it is in use");
        kept.set_timer(at) && self.set.insert((at, key.into()))
    }

    /// Time of the first timer.
    pub(super) fn first_at(&mut self) -> Option<i64> {
        let loaded = self.loaded.first(&self.kept).map(|timer| timer.0);
        let set = self.set.first().map(|timer| timer.0);
        let old = self.old.first().map(|timer| timer.0);
        [loaded, set, old].into_iter().flatten().min()
    }

    /// Takes out the first timer, by time and key.
    pub(super) fn pop_first(&mut self) -> Option<Due> {
        let loaded = self.loaded.first(&self.kept);
        let own = loaded.into_iter().chain(self.set.first()).min();
        if let Some(old) = self.old.first()
            && own.is_none_or(|own| old < own)
        {
            let (at, key) = self.old.pop_first()?;
            return Some(Due { at, key, old: true });
        }
        let (at, key) = own?.clone();
        // Now the key is in use, and all its timers are in the tree.
        self.get_mut(&key).expect("a key with a timer is kept").end_timer(at);
        let timer = (at, key);
        assert!(self.set.remove(&timer), "a timer of a key in use is in the tree");
        Some(Due { at: timer.0, key: timer.1, old: false })
    }

    /// Keys and timers that take room of their own.
    pub(super) fn len(&self) -> usize {
        self.kept.len() + self.set.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests;
