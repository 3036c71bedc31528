//! One row of a batch, borrowed.

use super::order::Order;
use super::{Batch, Cell, Head};

/// Bytes that the processor fetches from memory at once.
const CACHE_LINE_BYTES: usize = 64;
/// Lines of a row's body that are touched: the processor itself goes on from there.
const TOUCHED_LINES: usize = 4;

/// A view of one row.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    batch: &'a Batch,
    index: usize,
}

impl<'a> Row<'a> {
    #[inline]
    pub(crate) fn new(batch: &'a Batch, index: usize) -> Self {
        Self { batch, index }
    }

    #[inline]
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// The batch this row is part of.
    #[inline]
    pub fn batch(&self) -> &'a Batch {
        self.batch
    }

    /// Bytes of slice column `column`; `None` where null. Panics if the column holds no slices.
    #[inline]
    pub fn bytes(&self, column: usize) -> Option<&'a [u8]> {
        let Cell::Slice(slice) = self.cells()[column] else { self.lacks("bytes", column) };
        if slice.is_null() { None } else { Some(self.range(slice.start, slice.length)) }
    }

    /// Integer of column `column`; `None` where null. Panics if the column holds no integers.
    #[inline]
    pub fn int(&self, column: usize) -> Option<i64> {
        let Cell::Int(value) = self.cells()[column] else { self.lacks("integers", column) };
        value
    }

    #[cold]
    fn lacks(&self, what: &str, column: usize) -> ! {
        panic!("column {column} of {} holds no {what}", self.batch.schema.name)
    }

    /// Event time in milliseconds, [`NO_TIME`](super::NO_TIME) if it has none.
    #[inline]
    pub fn time(&self) -> i64 {
        self.head().time
    }

    /// The order value.
    #[inline]
    pub fn order(&self) -> Order {
        self.head().order
    }

    /// The watermark of its own partition that this row came after; `None` for a row on time.
    #[inline]
    pub fn behind(&self) -> Option<i64> {
        let behind = self.batch.behind.as_ref()?[self.index];
        (behind != i64::MIN).then_some(behind)
    }

    #[inline]
    fn head(&self) -> &'a Head {
        &self.batch.heads[self.index]
    }

    /// Its cells, by column.
    #[inline]
    pub(crate) fn cells(&self) -> &'a [Cell] {
        let width = self.batch.schema.columns.len();
        let start = self.index * width;
        &self.batch.cells[start..start + width]
    }

    /// Start and length of the row's own bytes in the body.
    #[inline]
    pub(crate) fn body_place(&self) -> (u32, u32) {
        self.head().region.body
    }

    /// The row's own bytes in the body, without what the decoder added.
    #[inline]
    pub fn body(&self) -> &'a [u8] {
        let (start, length) = self.body_place();
        piece(self.batch.body.bytes(), start, length)
    }

    #[inline]
    pub(crate) fn extra(&self) -> &'a [u8] {
        let (start, length) = self.head().region.extra;
        piece(self.batch.extra.bytes(), start, length)
    }

    /// Reads a byte here and there at the beginning of the row's bytes and looks at its first cells, for
    /// the sake of reading them; they are mixed into one, which means nothing.
    pub(crate) fn touch(&self) -> u8 {
        let lines = self.body().iter().step_by(CACHE_LINE_BYTES).take(TOUCHED_LINES);
        let cells = self.cells();
        let ends = [cells.first(), cells.last()];
        let set = ends.into_iter().flatten().map(|cell| u8::from(*cell != Cell::Unset));
        let bytes = lines.chain(self.extra().first()).fold(0, |all, byte| all ^ byte);
        set.fold(bytes, |all, is_set| all ^ is_set)
    }

    /// A range of the row: body first, continued by extra. A slice never straddles the two.
    #[inline]
    fn range(&self, start: u32, length: u32) -> &'a [u8] {
        let (at, body) = self.head().region.body;
        if u64::from(start) + u64::from(length) <= u64::from(body) {
            return piece(self.batch.body.bytes(), at + start, length);
        }
        let beyond = start.checked_sub(body).expect("a slice lies in body or in extra");
        piece(self.extra(), beyond, length)
    }
}

#[inline]
fn piece(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    let start = start as usize;
    &bytes[start..start + length as usize]
}
