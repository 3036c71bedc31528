//! State by key: what is in use in a hash map, what was only loaded as stored bytes.
//!
//! After a restore every entry lies in the [`Run`] of its key group. The first access moves it into
//! the map, decoded; so a restore does not pay for keys that nobody asks for, and they take less
//! memory. What a caller sees is one map, whatever lies where.

use smallvec::SmallVec;

use super::run::Run;
use crate::hash::{Map, key_group};
use crate::limit::KEY_GROUPS;

/// A key beside its value: short ones, as most are, without a place of their own, so that finding one
/// does not go to memory once more to compare it.
type Key = SmallVec<[u8; 24]>;

/// The map. `V` is what `decode` makes of stored bytes.
pub(crate) struct KeyMap<V> {
    used: Map<Key, V>,
    /// By key group; empty if nothing was loaded.
    runs: Vec<Run>,
    /// Entries in runs.
    loaded: usize,
    /// The run that was pushed to last.
    filling: u16,
    decode: fn(&[u8]) -> V,
}

impl<V> KeyMap<V> {
    /// An empty map. `decode` MUST take every value that is loaded.
    pub(crate) fn new(decode: fn(&[u8]) -> V) -> Self {
        Self { used: Map::default(), runs: Vec::new(), loaded: 0, filling: 0, decode }
    }

    /// Takes back an entry; `group` is the key group of `key`. Answers its place among those of its
    /// group, unless it had to be taken in at once.
    pub(crate) fn load(&mut self, group: u16, key: &[u8], value: &[u8]) -> Option<u32> {
        if self.runs.is_empty() {
            self.runs.resize_with(usize::from(KEY_GROUPS), Run::default);
        }
        if group != self.filling {
            self.runs[usize::from(self.filling)].finish();
            self.filling = group;
        }
        let run = &mut self.runs[usize::from(group)];
        if let Ok(index) = u32::try_from(run.len())
            && run.push(key, value)
        {
            self.loaded += 1;
            return Some(index);
        }
        self.used.insert(Key::from_slice(key), (self.decode)(value));
        None
    }

    /// The key at a place that [`KeyMap::load`] answered, until it is asked for.
    pub(crate) fn loaded_key(&self, group: u16, index: u32) -> Option<&[u8]> {
        let run = self.runs.get(usize::from(group))?;
        run.key_left(usize::try_from(index).ok()?)
    }

    /// The value of `key`.
    pub(crate) fn get_mut(&mut self, key: &[u8]) -> Option<&mut V> {
        self.get_mut_telling(key, &mut |_key, _value| {})
    }

    /// Likewise; `brought` is shown what is not only loaded any more: this key, or several.
    pub(crate) fn get_mut_telling(
        &mut self,
        key: &[u8],
        brought: &mut dyn FnMut(&[u8], &V),
    ) -> Option<&mut V> {
        if self.loaded > 0 && !self.used.contains_key(key) {
            self.bring(key, brought);
        }
        self.used.get_mut(key)
    }

    /// Adds a key that [`KeyMap::get_mut`] did not find.
    pub(crate) fn insert(&mut self, key: &[u8], value: V) -> &mut V {
        self.used.entry(Key::from_slice(key)).insert_entry(value).into_mut()
    }

    /// Removes a key that [`KeyMap::get_mut`] found.
    pub(crate) fn remove(&mut self, key: &[u8]) {
        self.used.remove(key);
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.used.len() + self.loaded
    }

    /// Moves a loaded entry into the map.
    fn bring(&mut self, key: &[u8], brought: &mut dyn FnMut(&[u8], &V)) {
        let run = &mut self.runs[usize::from(key_group(key))];
        let Some(index) = run.find(key) else { return };
        let value = (self.decode)(run.entry(index).1);
        brought(key, &value);
        self.used.insert(Key::from_slice(key), value);
        run.take(index);
        self.loaded -= 1;
        if run.left() <= run.len() / 2 {
            self.dissolve(key_group(key), brought);
        }
    }

    /// Moves what is left of a run into the map: it would hold more bytes of the gone than of others.
    fn dissolve(&mut self, group: u16, brought: &mut dyn FnMut(&[u8], &V)) {
        let run = std::mem::take(&mut self.runs[usize::from(group)]);
        self.loaded -= run.left();
        for (key, value) in run.rest() {
            let value = (self.decode)(value);
            brought(key, &value);
            self.used.insert(Key::from_slice(key), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> u64 {
        u64::from_be_bytes(bytes.try_into().expect("eight bytes"))
    }

    fn loaded(keys: u64) -> KeyMap<u64> {
        let mut sorted: Vec<_> = (0..keys).map(|key| key.to_be_bytes()).collect();
        sorted.sort_by_key(|key| (key_group(key), *key));
        let mut map = KeyMap::new(number);
        for key in &sorted {
            assert!(map.load(key_group(key), key, key).is_some());
        }
        map
    }

    #[test]
    fn what_was_loaded_is_there_until_it_is_removed() {
        let mut map = loaded(5_000);
        assert_eq!(map.len(), 5_000);
        for key in (0..5_000_u64).rev() {
            let bytes = key.to_be_bytes();
            assert_eq!(map.get_mut(&bytes).copied(), Some(key));
            *map.get_mut(&bytes).expect("still there") += 1;
            assert_eq!(map.get_mut(&bytes).copied(), Some(key + 1));
            assert_eq!(map.get_mut(&(key + 5_000).to_be_bytes()), None);
            map.remove(&bytes);
            assert_eq!(map.get_mut(&bytes), None);
            assert_eq!(map.len() as u64, key);
        }
    }

    #[test]
    fn a_run_that_is_half_used_gives_its_bytes_back() {
        let mut map = loaded(5_000);
        for key in 0..4_000_u64 {
            assert!(map.get_mut(&key.to_be_bytes()).is_some());
        }
        let kept: usize = map.runs.iter().map(Run::len).sum();
        assert!(kept < 2_000, "{kept} entries lie in runs");
        assert_eq!(map.len(), 5_000);
        assert_eq!(
            (0..5_000_u64)
                .filter(|key| map.get_mut(&key.to_be_bytes()) == Some(&mut key.clone()))
                .count(),
            5_000
        );
    }

    #[test]
    fn entries_out_of_order_are_kept_too() {
        let mut map = KeyMap::new(number);
        let key = 7_u64.to_be_bytes();
        let group = key_group(&key);
        assert_eq!(map.load(group, &key, &1_u64.to_be_bytes()), Some(0));
        assert_eq!(map.load(group, &[0], &2_u64.to_be_bytes()), None);
        assert_eq!(map.loaded_key(group, 0), Some(&key[..]));
        assert_eq!((map.get_mut(&[0]).copied(), map.get_mut(&key).copied()), (Some(2), Some(1)));
        assert_eq!(map.loaded_key(group, 0), None, "it is in use");
    }
}
