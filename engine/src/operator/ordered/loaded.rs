//! Timers of keys that were only loaded: by time, where the key lies.
//!
//! Millions of devices have a timer at the same instant, the end of a day. A restore that put each
//! beside its key into a tree would compare keys to the last byte at every step; here a timer costs
//! four bytes, and the order of the keys is that in which they were loaded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::keys::Timer;
use crate::limit::KEY_GROUPS;
use crate::state::keys::KeyMap;

/// The index.
#[derive(Default)]
pub(super) struct LoadedTimers {
    /// By key group; empty if nothing was loaded. By time: the keys' places, in the order of the keys.
    /// The places of keys that have come into use since are passed over.
    places: Vec<BTreeMap<i64, VecDeque<u32>>>,
    /// The first timer of each group.
    heads: BTreeSet<(Timer, u16)>,
    /// More was loaded since the heads were found.
    is_open: bool,
}

impl LoadedTimers {
    /// Takes back a timer of the key at `index` of its group; keys come in their order.
    pub(super) fn load(&mut self, group: u16, at: i64, index: u32) {
        if self.places.is_empty() {
            self.places.resize_with(usize::from(KEY_GROUPS), BTreeMap::new);
        }
        self.is_open = true;
        self.places[usize::from(group)].entry(at).or_default().push_back(index);
    }

    /// The first one, by time and key, whose key is still not in use.
    pub(super) fn first<V>(&mut self, keys: &KeyMap<V>) -> Option<&Timer> {
        if self.is_open {
            self.is_open = false;
            self.heads.clear();
            (0..KEY_GROUPS).for_each(|group| self.find_head(group, keys));
        }
        while let Some(&(_, group)) = self.heads.first() {
            if self.has_head(group, keys) {
                break;
            }
            self.heads.pop_first();
            self.find_head(group, keys);
        }
        self.heads.first().map(|(timer, _)| timer)
    }

    /// Whether the first place of a group is still that of a loaded key.
    fn has_head<V>(&self, group: u16, keys: &KeyMap<V>) -> bool {
        let first = self.places[usize::from(group)].first_key_value();
        let index = first.and_then(|(_, places)| places.front());
        index.is_some_and(|index| keys.loaded_key(group, *index).is_some())
    }

    /// Passes over places that are not any more, and notes the head of the group, if there is one.
    fn find_head<V>(&mut self, group: u16, keys: &KeyMap<V>) {
        let places = &mut self.places[usize::from(group)];
        while let Some(mut first) = places.first_entry() {
            while let Some(index) = first.get().front() {
                if let Some(key) = keys.loaded_key(group, *index) {
                    self.heads.insert(((*first.key(), key.into()), group));
                    return;
                }
                first.get_mut().pop_front();
            }
            first.remove();
        }
    }
}
