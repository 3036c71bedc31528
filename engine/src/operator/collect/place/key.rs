//! The partition of a key, found once for rows that have it in common.
//!
//! Rows made from one record share its key: whoever makes them says so ([`KeyPartition`]). Where rows
//! come one by one, those of a key mostly come together ([`LastKey`]).

use crate::graph::plan::Partitioner;

/// The partition of one key, found once for all rows that are made with it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyPartition<'k> {
    key: &'k [u8],
    /// By which function and among how many it was found, if it was.
    by: Option<(Partitioner, u32)>,
    partition: u32,
}

impl<'k> KeyPartition<'k> {
    /// That of `key`, to be found.
    #[inline]
    pub(crate) fn new(key: &'k [u8]) -> Self {
        Self { key, by: None, partition: 0 }
    }

    /// The key.
    #[inline]
    pub(crate) fn key(&self) -> &'k [u8] {
        self.key
    }

    /// Which of so many it is.
    #[inline]
    pub(super) fn among(&mut self, partitioner: Partitioner, partitions: u32) -> usize {
        // A function that is taken for another one only because it is compiled to the same code finds
        // the same.
        let is_found = |(by, among)| among == partitions && std::ptr::fn_addr_eq(by, partitioner);
        if !self.by.is_some_and(is_found) {
            self.by = Some((partitioner, partitions));
            self.partition = partitioner(self.key, partitions);
        }
        usize::try_from(self.partition).expect("32 bits fit")
    }
}

/// The key asked for last, and its partition among so many: rows made from one come together.
#[derive(Default)]
pub(super) struct LastKey {
    key: Vec<u8>,
    /// Of no topic to begin with: it is never asked for.
    partitions: u32,
    partition: u32,
}

impl LastKey {
    /// Which of so many is that of `key`.
    #[inline]
    pub(super) fn partition(
        &mut self,
        partitioner: Partitioner,
        key: &[u8],
        partitions: u32,
    ) -> usize {
        if self.partitions != partitions || self.key != key {
            (self.partitions, self.partition) = (partitions, partitioner(key, partitions));
            self.key.clear();
            self.key.extend_from_slice(key);
        }
        usize::try_from(self.partition).expect("32 bits fit")
    }
}
