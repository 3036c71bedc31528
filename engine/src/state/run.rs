//! Loaded entries of one key group as they were stored: bytes in key order, searched by halves.
//!
//! A restore of gigabytes is quick where an entry costs a copy and no more: no allocation, no hash,
//! no place in a tree, no decoding. What is asked for is taken out; the rest stays as it is, and is
//! smaller than in any map. Entries MUST be pushed in key order, as the loader brings them; one that
//! is not is refused and has to be kept elsewhere.

use std::cmp::Ordering;

/// The entries; those taken out leave their bytes behind until the run is dropped.
#[derive(Debug, Default)]
pub(crate) struct Run {
    /// Per entry: length of the key, key, value.
    bytes: Vec<u8>,
    /// Where each entry begins.
    starts: Vec<u32>,
    /// One bit per entry: taken out.
    gone: Vec<u64>,
    /// All before this one are gone.
    first: usize,
    left: usize,
}

impl Run {
    /// Appends an entry; false if its key is not greater than the last one's, or if it does not fit.
    pub(crate) fn push(&mut self, key: &[u8], value: &[u8]) -> bool {
        let Ok(key_length) = u16::try_from(key.len()) else { return false };
        let Ok(start) = u32::try_from(self.bytes.len()) else { return false };
        if self.starts.len().checked_sub(1).is_some_and(|last| self.entry(last).0 >= key) {
            return false;
        }
        self.bytes.extend_from_slice(&key_length.to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        if self.starts.len().is_multiple_of(64) {
            self.gone.push(0);
        }
        self.starts.push(start);
        self.left += 1;
        true
    }

    /// No more comes: gives back what was reserved for it.
    pub(crate) fn finish(&mut self) {
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.gone.shrink_to_fit();
    }

    /// Entries not taken out.
    pub(crate) fn left(&self) -> usize {
        self.left
    }

    /// Entries pushed.
    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Index of the entry with this key, unless it is gone.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (self.first, self.starts.len());
        while low < high {
            let middle = low.midpoint(high);
            match self.entry(middle).0.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return (!self.is_gone(middle)).then_some(middle),
            }
        }
        None
    }

    /// Index of the first entry that is not gone.
    pub(crate) fn first(&self) -> Option<usize> {
        (self.first < self.starts.len()).then_some(self.first)
    }

    /// Key and value of an entry.
    pub(crate) fn entry(&self, index: usize) -> (&[u8], &[u8]) {
        let place = |index: usize| self.starts.get(index).map(|start| *start as usize);
        let start = place(index).expect("an index of this run");
        let end = place(index + 1).unwrap_or(self.bytes.len());
        let entry = self.bytes.get(start..end).expect("starts ascend and lie in the bytes");
        let (length, rest) = entry.split_first_chunk::<2>().expect("begins with a length");
        rest.split_at(usize::from(u16::from_le_bytes(*length)))
    }

    /// The key of an entry that is not gone; `None` also where there never was one.
    pub(crate) fn key_left(&self, index: usize) -> Option<&[u8]> {
        (index < self.len() && !self.is_gone(index)).then(|| self.entry(index).0)
    }

    /// From now on the entry is gone.
    pub(crate) fn take(&mut self, index: usize) {
        debug_assert!(!self.is_gone(index), "an entry is taken once");
        self.gone[index / 64] |= 1 << (index % 64);
        self.left -= 1;
        while self.first < self.starts.len() && self.is_gone(self.first) {
            self.first += 1;
        }
    }

    /// Keys and values of the entries that are not gone, in order.
    pub(crate) fn rest(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let left = (self.first..self.starts.len()).filter(|index| !self.is_gone(*index));
        left.map(|index| self.entry(index))
    }

    fn is_gone(&self, index: usize) -> bool {
        self.gone[index / 64] & (1 << (index % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is taken out in whatever order, a run holds what a map would.
        #[test]
        fn a_run_is_a_map(
            entries: BTreeMap<Vec<u8>, Vec<u8>>,
            asked: Vec<prop::sample::Index>,
        ) {
            let mut run = Run::default();
            for (key, value) in &entries {
                prop_assert!(run.push(key, value));
            }
            run.finish();
            let keys: Vec<Vec<u8>> = entries.keys().cloned().collect();
            let mut model = entries;
            for index in asked.iter().filter(|_| !keys.is_empty()) {
                let key = index.get(&keys);
                let found = run.find(key);
                prop_assert_eq!(found.map(|at| run.entry(at).1), model.get(key).map(Vec::as_slice));
                if let Some(at) = found {
                    run.take(at);
                    model.remove(key);
                }
                prop_assert_eq!(run.left(), model.len());
                prop_assert_eq!(found.and_then(|at| run.key_left(at)), None);
                let first = run.first().map(|at| run.entry(at).0.to_vec());
                prop_assert_eq!(first.as_ref(), model.keys().next());
                let rest: Vec<&[u8]> = run.rest().map(|(key, _)| key).collect();
                prop_assert_eq!(rest, model.keys().collect::<Vec<_>>());
                prop_assert_eq!(run.find(b"\xff no such key"), None);
            }
        }
    }

    #[test]
    fn keys_that_do_not_ascend_are_refused() {
        let mut run = Run::default();
        assert!(run.push(b"b", b"1"));
        assert!(!run.push(b"b", b"2") && !run.push(b"a", b"3"));
        assert!(!run.push(&[b'c'; 70_000], b""), "longer than any stored key");
        assert_eq!(run.rest().collect::<Vec<_>>(), [(&b"b"[..], &b"1"[..])]);
    }
}
