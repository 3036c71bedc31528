//! The ways a batch comes to be: from a source's bytes, from a decoder, from an operator, from
//! rows of another batch.

use std::sync::Arc;

use super::buffer::{Budget, Buffer};
use super::order::Order;
use super::row::Row;
use super::schema::{Kind, Schema};
use super::{Batch, Cell, Head, NO_TIME, Region, Slice};

/// What a row carries beside its columns.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// Event time in milliseconds, or [`NO_TIME`].
    pub time: i64,
    /// Order value.
    pub order: Order,
    /// Watermark of its own partition that it came after, if it did.
    pub behind: Option<i64>,
}

impl Stamp {
    /// The stamp of `row`, for rows made from it.
    #[inline]
    pub fn of(row: Row<'_>) -> Self {
        Self { time: row.time(), order: row.order(), behind: row.behind() }
    }
}

/// Builds a batch row by row. Slices are relative to the first byte of the row under construction.
#[derive(Debug)]
pub struct BatchBuilder {
    schema: Arc<Schema>,
    body: Vec<u8>,
    extra: Vec<u8>,
    /// Set when the body belongs to another batch and rows only point into it.
    shared: Option<Arc<Buffer>>,
    heads: Vec<Head>,
    cells: Vec<Cell>,
    behind: Option<Vec<i64>>,
    row: Region,
    /// Cells of the current row that are not set yet.
    unset: usize,
}

impl BatchBuilder {
    /// A builder that collects bytes of its own.
    pub fn new(schema: &Arc<Schema>) -> Self {
        Self {
            schema: schema.clone(),
            body: Vec::new(),
            extra: Vec::new(),
            shared: None,
            heads: Vec::new(),
            cells: Vec::new(),
            behind: None,
            row: Region::default(),
            unset: 0,
        }
    }

    /// A builder whose rows are rows of `input` seen differently: no body byte is copied.
    pub fn over(schema: &Arc<Schema>, input: &Batch) -> Self {
        let mut builder = Self::new(schema);
        builder.shared = Some(input.body.clone());
        builder
    }

    /// A builder that takes the memory of about so many rows and bytes at once: an eighth more, because
    /// one row too many would double it.
    pub fn expecting(schema: &Arc<Schema>, rows: usize, bytes: usize) -> Self {
        let mut builder = Self::new(schema);
        builder.reserve(rows + rows / 8);
        builder.body.reserve(bytes + bytes / 8);
        builder
    }

    /// Takes the memory of so many rows at once, for what is known of them beforehand.
    pub fn reserve(&mut self, rows: usize) {
        self.heads.reserve(rows);
        self.cells.reserve(rows * self.width());
    }

    fn width(&self) -> usize {
        self.schema.columns.len()
    }

    /// Takes the memory of so many bytes beside the body at once.
    pub(crate) fn reserve_extra(&mut self, bytes: usize) {
        self.extra.reserve(bytes);
    }

    /// Number of finished rows.
    pub fn len(&self) -> usize {
        self.heads.len()
    }

    /// Whether no row is finished.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Bytes collected so far.
    pub fn bytes(&self) -> usize {
        self.body.len() + self.extra.len()
    }

    /// Begins a row over the body of `row`; only for builders made by [`BatchBuilder::over`].
    pub fn begin_over(&mut self, row: Row<'_>) {
        self.begin_bytes_over(row);
        self.begin_cells();
    }

    /// Likewise, for a row whose cells come all at once, with [`BatchBuilder::end_with`].
    #[inline]
    pub fn begin_bytes_over(&mut self, row: Row<'_>) {
        assert!(self.shared.is_some(), "a row over another needs a builder made by over()");
        self.row.body = row.body_place();
        self.row.extra = (narrow(self.extra.len()), 0);
    }

    /// The schema of its rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Begins a row with bytes of its own; append them to [`BatchBuilder::body`].
    pub fn begin(&mut self) {
        self.begin_bytes();
        self.begin_cells();
    }

    fn begin_bytes(&mut self) {
        assert!(self.shared.is_none(), "a builder over another batch adds no body bytes");
        self.row.body = (narrow(self.body.len()), 0);
        self.row.extra = (narrow(self.extra.len()), 0);
    }

    fn begin_cells(&mut self) {
        self.unset = self.width();
        self.cells.resize(self.cells.len() + self.unset, Cell::Unset);
    }

    /// The growing body of the current row; what is appended belongs to it.
    pub fn body(&mut self) -> &mut Vec<u8> {
        &mut self.body
    }

    /// Appends `bytes` to the row under construction and returns their place.
    pub fn append(&mut self, bytes: &[u8]) -> Slice {
        if self.shared.is_some() {
            return self.append_extra(bytes);
        }
        let start = narrow(self.body.len()) - self.row.body.0;
        self.body.extend_from_slice(bytes);
        Slice { start, length: narrow(bytes.len()) }
    }

    /// Bytes of the current row's body so far.
    pub fn row_length(&self) -> u32 {
        if self.shared.is_some() {
            self.row.body.1
        } else {
            narrow(self.body.len()) - self.row.body.0
        }
    }

    fn append_extra(&mut self, bytes: &[u8]) -> Slice {
        let start = self.row.body.1 + (narrow(self.extra.len()) - self.row.extra.0);
        self.extra.extend_from_slice(bytes);
        Slice { start, length: narrow(bytes.len()) }
    }

    /// Lets `write` append to the row's added bytes and returns their place.
    pub fn append_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Slice {
        let shared = self.shared.is_some();
        let (target, base) = if shared {
            (&mut self.extra, self.row.extra.0)
        } else {
            (&mut self.body, self.row.body.0)
        };
        let before = target.len();
        write(target);
        let length = narrow(target.len() - before);
        let offset = narrow(before) - base;
        Slice { start: if shared { self.row.body.1 + offset } else { offset }, length }
    }

    /// Sets slice column `column` of the current row. Each column is set exactly once per row.
    #[inline]
    pub fn slice(&mut self, column: usize, slice: Slice) {
        debug_assert_eq!(self.schema.columns[column].1, Kind::Slice, "of {}", self.schema.name);
        self.set(column, Cell::Slice(slice));
    }

    /// Sets integer column `column` of the current row. Each column is set exactly once per row.
    #[inline]
    pub fn int(&mut self, column: usize, value: Option<i64>) {
        debug_assert_eq!(self.schema.columns[column].1, Kind::Int, "of {}", self.schema.name);
        self.set(column, Cell::Int(value));
    }

    #[inline]
    fn set(&mut self, column: usize, cell: Cell) {
        let start = self.cells.len() - self.width();
        let place = &mut self.cells[start..][column];
        self.unset -= usize::from(*place == Cell::Unset);
        *place = cell;
    }

    /// Ends the row, setting all of its columns.
    #[inline]
    pub fn end_with(&mut self, cells: &[Cell], stamp: Stamp) {
        assert_eq!(cells.len(), self.width(), "cells of a row of {}", self.schema.name);
        let columns = || cells.iter().zip(&self.schema.columns);
        debug_assert!(columns().all(|(cell, (_, kind))| cell.is(*kind)), "of {}", self.schema.name);
        self.cells.extend_from_slice(cells);
        self.end(stamp);
    }

    /// Ends the row.
    pub fn end(&mut self, stamp: Stamp) {
        if self.shared.is_none() {
            self.row.body.1 = narrow(self.body.len()) - self.row.body.0;
        }
        self.row.extra.1 = narrow(self.extra.len()) - self.row.extra.0;
        assert_eq!(self.unset, 0, "columns of a row of {} were not set", self.schema.name);
        debug_assert_eq!(self.cells.len(), (self.len() + 1) * self.width(), "a row has its cells");
        self.heads.push(Head { region: self.row, order: stamp.order, time: stamp.time });
        self.push_behind(stamp.behind);
    }

    fn push_behind(&mut self, behind: Option<i64>) {
        match (&mut self.behind, behind) {
            (None, None) => {}
            (Some(all), behind) => all.push(behind.unwrap_or(i64::MIN)),
            (None, Some(behind)) => {
                let mut all = vec![i64::MIN; self.heads.len() - 1];
                all.push(behind);
                self.behind = Some(all);
            }
        }
    }

    /// Copies a row of a batch with the same schema: one copy of its region.
    pub fn copy(&mut self, row: Row<'_>) {
        let schema = row.batch().schema();
        let same = Arc::ptr_eq(&self.schema, schema) || self.schema.columns == schema.columns;
        assert!(same, "schemas {} and {} differ", self.schema.name, schema.name);
        self.begin_bytes();
        self.body.extend_from_slice(row.body());
        self.body.extend_from_slice(row.extra());
        self.cells.extend_from_slice(row.cells());
        self.end(Stamp::of(row));
    }

    /// The batch, counted against `budget`; `None` if no row was added.
    pub fn finish(self, budget: Option<&Arc<Budget>>) -> Option<Batch> {
        if self.heads.is_empty() {
            return None;
        }
        Some(self.into_batch(budget))
    }

    fn into_batch(self, budget: Option<&Arc<Budget>>) -> Batch {
        let body = self.shared.unwrap_or_else(|| Arc::new(Buffer::new(self.body, budget.cloned())));
        Batch {
            schema: self.schema,
            body,
            extra: Arc::new(Buffer::new(self.extra, budget.cloned())),
            heads: self.heads,
            cells: self.cells,
            behind: self.behind,
        }
    }

    /// Finishes the batch if it has reached its target size and starts the next one.
    pub fn finish_if_full(&mut self, budget: Option<&Arc<Budget>>) -> Option<Batch> {
        let full = self.len() >= crate::limit::BATCH_ROWS_TARGET
            || self.bytes() >= crate::limit::BATCH_BYTES_TARGET;
        if !full {
            return None;
        }
        // The next batch will be as large: no growing from nothing.
        let next = Self::expecting(&self.schema, self.len(), self.body.len());
        std::mem::replace(self, next).finish(budget)
    }
}

/// Column of a raw batch that holds the record's key.
pub const RAW_KEY: usize = 0;
/// Column of a raw batch that holds the record's value; null is a tombstone.
pub const RAW_VALUE: usize = 1;

/// The schema of what sources read: key and value, both nullable.
pub fn raw_schema() -> Arc<Schema> {
    Schema::new("raw", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

/// Builds a raw batch of one partition.
#[derive(Debug)]
pub struct RawBuilder {
    inner: BatchBuilder,
    partition: u32,
}

impl RawBuilder {
    /// A builder for rows of the partition with this ordinal.
    pub fn new(schema: &Arc<Schema>, partition: u32) -> Self {
        Self { inner: BatchBuilder::new(schema), partition }
    }

    /// Likewise, with the memory of about so many rows and bytes.
    pub fn expecting(schema: &Arc<Schema>, partition: u32, rows: usize, bytes: usize) -> Self {
        Self { inner: BatchBuilder::expecting(schema, rows, bytes), partition }
    }

    /// Appends one record at `position`.
    pub fn push(&mut self, position: u64, key: Option<&[u8]>, value: Option<&[u8]>) {
        self.inner.begin();
        let value = value.map_or(Slice::NULL, |bytes| self.inner.append(bytes));
        let key = key.map_or(Slice::NULL, |bytes| self.inner.append(bytes));
        self.inner.slice(RAW_KEY, key);
        self.inner.slice(RAW_VALUE, value);
        let order = Order { peak: i64::MIN, partition: self.partition, position };
        self.inner.end(Stamp { time: NO_TIME, order, behind: None });
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.inner.len()
    }

    /// Whether there are no records.
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// Bytes collected.
    pub fn bytes(&self) -> usize {
        self.inner.bytes()
    }

    /// The batch; `None` if there are no records.
    pub fn finish(self) -> Option<Batch> {
        self.inner.finish(None)
    }
}

impl Batch {
    /// Some of its rows, by index, over the same bytes: only what points to these is copied.
    pub(crate) fn pick(&self, rows: &[u32]) -> Self {
        let width = self.schema.columns.len();
        let (mut heads, mut cells) =
            (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len() * width));
        for row in rows.iter().map(|row| self.row(*row as usize)) {
            heads.push(self.heads[row.index()]);
            cells.extend_from_slice(row.cells());
        }
        let behind = self.behind.as_ref();
        let behind = behind.map(|all| rows.iter().map(|row| all[*row as usize]).collect());
        let (schema, body, extra) = (self.schema.clone(), self.body.clone(), self.extra.clone());
        Self { schema, body, extra, heads, cells, behind }
    }

    /// A batch without rows: says nothing but that there are some elsewhere.
    pub(crate) fn empty(schema: &Arc<Schema>) -> Self {
        BatchBuilder::new(schema).into_batch(None)
    }

    /// Counts this batch's bytes against `budget`; the buffers must not be shared yet.
    pub fn counted(mut self, budget: &Arc<Budget>) -> Self {
        for buffer in [&mut self.body, &mut self.extra] {
            if let Some(buffer) = Arc::get_mut(buffer) {
                buffer.attach(budget);
            }
        }
        self
    }
}

fn narrow(length: usize) -> u32 {
    u32::try_from(length).expect("a batch stays under 4 GiB: rows are limited to 16 MiB each")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(position: u64) -> Stamp {
        Stamp { time: 5, order: Order { peak: 5, partition: 0, position }, behind: None }
    }

    #[test]
    fn a_decoder_points_into_the_body_and_adds_beside_it() {
        let raw = raw_schema();
        let mut builder = RawBuilder::new(&raw, 3);
        builder.push(7, Some(b"k"), Some(b"hello"));
        builder.push(8, None, Some(b"world"));
        let input = builder.finish().expect("two rows");
        let schema = Schema::new("t", &[("head", Kind::Slice), ("added", Kind::Slice)]);
        let mut builder = BatchBuilder::over(&schema, &input);
        for row in input.rows().skip(1) {
            builder.begin_over(row);
            builder.slice(0, Slice { start: 0, length: 2 });
            let added = builder.append(b"+x");
            builder.slice(1, added);
            builder.end(Stamp::of(row));
        }
        let batch = builder.finish(None).expect("one row");
        let row = batch.row(0);
        assert_eq!((row.bytes(0), row.bytes(1)), (Some(&b"wo"[..]), Some(&b"+x"[..])));
        assert_eq!((row.order().partition, row.order().position), (3, 8));
        // A copy joins body and extra and keeps every slice valid.
        let mut copier = BatchBuilder::new(&schema);
        copier.copy(row);
        let copy = copier.finish(None).expect("one row");
        assert_eq!(copy.row(0).bytes(1), Some(&b"+x"[..]));
        assert_eq!(copy.row(0).bytes(0), Some(&b"wo"[..]));
    }

    #[test]
    fn picked_rows_are_the_rows_over_the_same_bytes() {
        let schema = Schema::new("t", &[("text", Kind::Slice), ("number", Kind::Int)]);
        let mut builder = BatchBuilder::new(&schema);
        for (position, text) in (0..).zip(["a", "bcd", "", "ef"]) {
            builder.begin();
            let text = builder.append(text.as_bytes());
            builder.slice(0, text);
            builder.int(1, Some(i64::try_from(position).expect("small") * 7));
            builder.end(Stamp { behind: (position == 3).then_some(9), ..stamp(position) });
        }
        let batch = builder.finish(None).expect("four rows");
        let all = |row: Row<'_>| {
            let text = row.bytes(0).map(<[u8]>::to_vec);
            (text, row.int(1), row.time(), row.order(), row.behind())
        };
        for rows in [&[0, 1, 2, 3][..], &[1, 3], &[2], &[]] {
            let picked = batch.pick(rows);
            assert!(Arc::ptr_eq(&picked.body, &batch.body));
            let expected = rows.iter().map(|row| all(batch.row(*row as usize)));
            assert!(picked.rows().map(all).eq(expected), "{rows:?}");
        }
    }

    #[test]
    fn null_and_empty_differ() {
        let mut builder = RawBuilder::new(&raw_schema(), 0);
        builder.push(0, Some(b""), None);
        builder.push(1, None, Some(b""));
        let batch = builder.finish().expect("two rows");
        assert_eq!(batch.row(0).bytes(RAW_KEY), Some(&b""[..]));
        assert_eq!(batch.row(0).bytes(RAW_VALUE), None);
        assert_eq!(batch.row(1).bytes(RAW_KEY), None);
        assert_eq!(batch.row(1).bytes(RAW_VALUE), Some(&b""[..]));
    }

    #[test]
    fn behind_is_kept_only_where_it_occurs() {
        let mut builder = BatchBuilder::new(&Schema::new("t", &[]));
        for (position, behind) in [(0, None), (1, Some(9)), (2, None)] {
            builder.begin();
            builder.end(Stamp { behind, ..stamp(position) });
        }
        let batch = builder.finish(None).expect("three rows");
        let behind: Vec<_> = batch.rows().map(|row| row.behind()).collect();
        assert_eq!(behind, [None, Some(9), None]);
    }
}
