//! A view: a snapshot of the tables of all spaces, and over them what was not folded yet.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use fjall::{Guard, Readable as _, Snapshot};

use super::delta::Write;
use super::layer::{Layer, Unfolded};
use super::spaces::Spaces;
use super::{failed, scan_start};
use crate::state::backend::{Entry, StateError, StateView, Visitor};

/// A snapshot over all spaces. As long as it lives, fjall keeps what it may still read, deltas that
/// were folded since included: either side alone is whole, and both together say the same.
pub(super) struct FjallView {
    snapshot: Snapshot,
    spaces: Arc<Spaces>,
    pub(super) unfolded: Unfolded,
    /// Made when a space is first read.
    layers: RefCell<BTreeMap<String, Arc<Layer>>>,
}

impl FjallView {
    pub(super) fn new(snapshot: Snapshot, spaces: Arc<Spaces>) -> Result<Self, StateError> {
        let unfolded = match &spaces.deltas {
            Some(keyspace) => Unfolded::read(&snapshot, keyspace)?,
            None => Unfolded::default(),
        };
        Ok(Self { snapshot, spaces, unfolded, layers: RefCell::default() })
    }

    fn layer(&self, space: &str) -> Result<Arc<Layer>, StateError> {
        if let Some(layer) = self.layers.borrow().get(space) {
            return Ok(layer.clone());
        }
        let layer = Arc::new(self.unfolded.layer(space)?);
        self.layers.borrow_mut().insert(space.to_owned(), layer.clone());
        Ok(layer)
    }
}

impl StateView for FjallView {
    fn get(&self, space: &str, key: &[u8]) -> Result<Option<Vec<u8>>, StateError> {
        let Some(keyspace) = self.spaces.named.get(space) else { return Ok(None) };
        if let Some(value) = self.layer(space)?.find(key) {
            return Ok(value.map(<[u8]>::to_vec));
        }
        let value = self.snapshot.get(keyspace, key).map_err(failed("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn visit(
        &self,
        space: &str,
        prefix: &[u8],
        after: &[u8],
        limit: usize,
        visitor: Visitor<'_>,
    ) -> Result<usize, StateError> {
        let Some(keyspace) = self.spaces.named.get(space) else { return Ok(0) };
        if limit == 0 || (after > prefix && !after.starts_with(prefix)) {
            // The latter is behind all keys with the prefix.
            return Ok(0);
        }
        let layer = self.layer(space)?;
        let over = layer.writes(layer.range(prefix, after));
        let range = (scan_start(prefix, after), Bound::Unbounded);
        let tables = self.snapshot.range::<&[u8], _>(keyspace, range);
        let mut visited = 0;
        merge(tables, over, Ord::cmp, &mut |key, value| {
            if !key.starts_with(prefix) {
                return ControlFlow::Break(());
            }
            visitor(key, value);
            visited += 1;
            if visited < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(visited)
    }

    fn last(&self, space: &str, prefix: &[u8], limit: usize) -> Result<Vec<Entry>, StateError> {
        let Some(keyspace) = self.spaces.named.get(space) else { return Ok(Vec::new()) };
        if limit == 0 {
            return Ok(Vec::new());
        }
        let layer = self.layer(space)?;
        let over = layer.writes(layer.range(prefix, b"")).rev();
        let tables = self.snapshot.prefix(keyspace, prefix).rev();
        let mut entries = Vec::new();
        merge(tables, over, |one, other| other.cmp(one), &mut |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
            if entries.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        entries.reverse();
        Ok(entries)
    }
}

/// Shows the entries of tables with a layer over them, until `show` has enough. Both come in the
/// order that `order` says.
fn merge<'a>(
    tables: impl Iterator<Item = Guard>,
    over: impl Iterator<Item = Write<'a>>,
    order: impl Fn(&[u8], &[u8]) -> Ordering,
    show: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> Result<(), StateError> {
    let mut over = over.peekable();
    for guard in tables {
        let (key, value) = guard.into_inner().map_err(failed("read"))?;
        let before = |other: &[u8]| order(other, &key) == Ordering::Less;
        if show_writes(&mut over, &before, show).is_break() {
            return Ok(());
        }
        let hidden = over.next_if(|(other, _)| *other == &*key);
        let shown = hidden.map_or(Some(&*value), |(_, value)| value);
        if shown.is_some_and(|value| show(&key, value).is_break()) {
            return Ok(());
        }
    }
    match show_writes(&mut over, &|_| true, show) {
        // It has enough, or there is no more.
        ControlFlow::Break(()) | ControlFlow::Continue(()) => Ok(()),
    }
}

/// Shows the puts at the front, as far as `is_next` says.
fn show_writes<'a>(
    over: &mut Peekable<impl Iterator<Item = Write<'a>>>,
    is_next: &dyn Fn(&[u8]) -> bool,
    show: &mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    while let Some((key, value)) = over.next_if(|(key, _)| is_next(key)) {
        if let Some(value) = value {
            show(key, value)?;
        }
    }
    ControlFlow::Continue(())
}
