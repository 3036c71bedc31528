//! What is not folded yet: the deltas of a snapshot, and those of one space as one sorted layer.
//!
//! A layer lies over the tables of its space: of a key that is in both, the layer says what it is,
//! also where it says that it is gone. Among deltas the newest one counts.

use std::collections::BTreeMap;
use std::ops::Range;

use fjall::{Keyspace, Readable as _, Slice, Snapshot};

use super::delta::{self, Delta, Write};
use super::failed;
use crate::state::backend::StateError;

/// The deltas of a snapshot, unread.
#[derive(Default)]
pub(super) struct Unfolded {
    /// Oldest first.
    pub(super) deltas: Vec<Found>,
}

/// One of them.
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) space: String,
    pub(super) bytes: Slice,
}

impl Unfolded {
    /// The deltas that lie in `keyspace`.
    pub(super) fn read(snapshot: &Snapshot, keyspace: &Keyspace) -> Result<Self, StateError> {
        let mut deltas = Vec::new();
        for guard in snapshot.iter(keyspace) {
            let (key, bytes) = guard.into_inner().map_err(failed("read"))?;
            let Some((number, space)) = delta::decode_key(&key) else {
                return Err(StateError::new("read", "the key of a delta is damaged"));
            };
            deltas.push(Found { number, space: space.to_owned(), bytes });
        }
        Ok(Self { deltas })
    }

    /// The layer of a space; an empty one where it has no deltas.
    pub(super) fn layer(&self, space: &str) -> Result<Layer, StateError> {
        let newest_first = self.deltas.iter().rev().filter(|found| found.space == space);
        newest_first.map(Found::decode).collect::<Result<_, _>>().map(Layer::of)
    }

    /// The layers of all spaces that have deltas.
    pub(super) fn layers(&self) -> Result<BTreeMap<&str, Layer>, StateError> {
        let mut by_space: BTreeMap<&str, Vec<Delta>> = BTreeMap::new();
        for found in self.deltas.iter().rev() {
            by_space.entry(&found.space).or_default().push(found.decode()?);
        }
        Ok(by_space.into_iter().map(|(space, deltas)| (space, Layer::of(deltas))).collect())
    }
}

impl Found {
    fn decode(&self) -> Result<Delta, StateError> {
        let damaged = || {
            let message = format!("delta {} of space {:?} is damaged", self.number, self.space);
            StateError::new("read", message)
        };
        Delta::decode(self.bytes.clone()).ok_or_else(damaged)
    }
}

/// Writes to one space, ascending, each key once.
#[derive(Default)]
pub(super) struct Layer {
    deltas: Vec<Delta>,
    /// Per write: which delta, and where in it.
    order: Vec<(usize, usize)>,
}

impl Layer {
    fn of(newest_first: Vec<Delta>) -> Self {
        let mut writes = Vec::with_capacity(newest_first.iter().map(Delta::len).sum());
        for (which, delta) in newest_first.iter().enumerate() {
            writes.extend((0..delta.len()).map(|at| (delta.write(at).0, which, at)));
        }
        // Stable, and made for what is already sorted in parts. The newest write of a key is first.
        writes.sort_by(|one, other| one.0.cmp(other.0));
        writes.dedup_by(|later, first| later.0 == first.0);
        let order = writes.into_iter().map(|(_, which, at)| (which, at)).collect();
        Self { deltas: newest_first, order }
    }

    fn at(&self, (which, at): (usize, usize)) -> Write<'_> {
        self.deltas[which].write(at)
    }

    /// What the layer says of a key: its value, that it is gone, or nothing.
    pub(super) fn find(&self, key: &[u8]) -> Option<Option<&[u8]>> {
        let place = self.order.binary_search_by(|place| self.at(*place).0.cmp(key)).ok()?;
        Some(self.at(self.order[place]).1)
    }

    /// Where the writes are whose key has the prefix and is greater than `after`.
    pub(super) fn range(&self, prefix: &[u8], after: &[u8]) -> Range<usize> {
        let is_before = |key: &[u8]| key < prefix || (!after.is_empty() && key <= after);
        let start = self.order.partition_point(|place| is_before(self.at(*place).0));
        let is_in = |key: &[u8]| key < prefix || key.starts_with(prefix);
        let end = self.order.partition_point(|place| is_in(self.at(*place).0));
        start..end.max(start)
    }

    /// The writes in a range, ascending.
    pub(super) fn writes(
        &self,
        range: Range<usize>,
    ) -> impl DoubleEndedIterator<Item = Write<'_>> + '_ {
        self.order[range].iter().map(|place| self.at(*place))
    }

    /// All writes, ascending.
    pub(super) fn all(&self) -> impl Iterator<Item = Write<'_>> + '_ {
        self.writes(0..self.order.len())
    }
}
