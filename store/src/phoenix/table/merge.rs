//! The rows of all salt buckets of one table, merged into the order of their keys without salt.
//!
//! A table without salt is one bucket with an empty prefix. Rows are read in chunks; after a failed
//! read there are no more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::vec::IntoIter;

use engine::state::backend::{Entry, StateError, StateView};

use super::super::row_key::unsalted;
use super::CHUNK;

/// Rows read at a time from a bucket, however many buckets there are.
const BUCKET_CHUNK_MIN: usize = 16;

/// The merge; the view is handed in with every step and MUST be the same one.
pub(super) struct Merge {
    space: Arc<str>,
    salt_buckets: u16,
    buckets: Vec<Bucket>,
    /// The next row of every bucket that has one.
    heads: BinaryHeap<Head>,
    /// Buckets whose next row is still to be brought among the heads.
    waiting: Vec<usize>,
}

struct Bucket {
    prefix: Vec<u8>,
    rows: IntoIter<Entry>,
    /// Where reading goes on when `rows` is used up; `None` at the bucket's end.
    more_after: Option<Vec<u8>>,
}

struct Head {
    entry: Entry,
    bucket: usize,
    salt_buckets: u16,
}

impl Merge {
    pub(super) fn new(space: &Arc<str>, salt_buckets: u16) -> Self {
        let prefixes: Vec<Vec<u8>> = match salt_buckets {
            0 => vec![Vec::new()],
            buckets => (0..=u8::MAX).take(usize::from(buckets)).map(|salt| vec![salt]).collect(),
        };
        let bucket =
            |prefix| Bucket { prefix, rows: Vec::new().into_iter(), more_after: Some(Vec::new()) };
        Self {
            space: space.clone(),
            salt_buckets,
            waiting: (0..prefixes.len()).collect(),
            buckets: prefixes.into_iter().map(bucket).collect(),
            heads: BinaryHeap::new(),
        }
    }

    pub(super) fn next(&mut self, view: &dyn StateView) -> Option<Result<Entry, StateError>> {
        if let Err(error) = self.fill(view) {
            self.heads.clear();
            self.waiting.clear();
            return Some(Err(error));
        }
        let head = self.heads.pop()?;
        self.waiting.push(head.bucket);
        Some(Ok(head.entry))
    }

    fn fill(&mut self, view: &dyn StateView) -> Result<(), StateError> {
        let chunk = (CHUNK / self.buckets.len()).max(BUCKET_CHUNK_MIN);
        while let Some(index) = self.waiting.pop() {
            let bucket = self.buckets.get_mut(index).expect("an index of a bucket");
            if let Some(entry) = bucket.next(view, &self.space, chunk)? {
                let salt_buckets = self.salt_buckets;
                self.heads.push(Head { entry, bucket: index, salt_buckets });
            }
        }
        Ok(())
    }
}

impl Bucket {
    fn next(
        &mut self,
        view: &dyn StateView,
        space: &str,
        chunk: usize,
    ) -> Result<Option<Entry>, StateError> {
        if self.rows.len() == 0
            && let Some(after) = self.more_after.take()
        {
            let rows = view.scan(space, &self.prefix, &after, chunk)?;
            if rows.len() == chunk {
                self.more_after = rows.last().map(|(key, _)| key.clone());
            }
            self.rows = rows.into_iter();
        }
        Ok(self.rows.next())
    }
}

impl Head {
    fn key(&self) -> (&[u8], usize) {
        (unsalted(&self.entry.0, self.salt_buckets), self.bucket)
    }
}

/// The least key is the greatest head: the heap gives its greatest first.
impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
