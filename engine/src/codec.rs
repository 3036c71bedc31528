//! Decoder and encoder: the pure functions at both ends of the pipeline.

use std::sync::Arc;

use crate::batch::build::{BatchBuilder, RAW_KEY, RAW_VALUE, Stamp, raw_schema};
use crate::batch::row::Row;
use crate::batch::schema::Schema;
use crate::batch::{Batch, Slice};
use crate::counter::Counters;

/// A record that could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// Its row in the input batch.
    pub row: usize,
    /// Reason code, such as `not_object`.
    pub reason: &'static str,
}

/// What a decoder makes of one raw batch.
pub struct Decoded<'a> {
    /// Rows, over the input's bytes. Each MUST keep the order of its input row.
    pub rows: BatchBuilder,
    /// Records that failed, in input order.
    pub dead: Vec<Dead>,
    /// Counters of the decoder's own.
    pub counters: &'a mut Counters,
}

/// Bytes to rows. MUST be pure (scratch memory aside), return rows *and* faults, and never panic on
/// any bytes.
pub trait Decoder {
    /// Schema of the rows.
    fn schema(&self) -> &Arc<Schema>;
    /// Decodes all rows of a raw batch.
    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>);
}

/// Makes one decoder per worker.
pub type DecoderFactory = Arc<dyn Fn() -> Box<dyn Decoder> + Send + Sync>;

/// The decoder of records that go on as they were read, as raw rows ([`raw_schema`]).
pub struct AsRead {
    schema: Arc<Schema>,
}

impl Default for AsRead {
    fn default() -> Self {
        Self { schema: raw_schema() }
    }
}

impl Decoder for AsRead {
    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn decode(&mut self, input: &Batch, out: &mut Decoded<'_>) {
        for row in input.rows() {
            out.rows.begin_over(row);
            // A raw row begins with its value.
            let value = row.bytes(RAW_VALUE).map_or(Slice::NULL, |value| Slice {
                start: 0,
                length: u32::try_from(value.len()).expect("a record has at most 16 MiB"),
            });
            let key = row.bytes(RAW_KEY).map_or(Slice::NULL, |key| out.rows.append(key));
            out.rows.slice(RAW_KEY, key);
            out.rows.slice(RAW_VALUE, value);
            out.rows.end(Stamp::of(row));
        }
    }
}

/// Rows to bytes. MUST be pure, and total for the schema it accepted.
pub trait Encoder: Send + Sync {
    /// Appends the key's bytes; returns false if the record has no key.
    fn key(&self, row: Row<'_>, out: &mut Vec<u8>) -> bool;
    /// Appends the value's bytes.
    fn value(&self, row: Row<'_>, out: &mut Vec<u8>);
    /// The columns where key and value stand as they are, if that is all there is to it: then nothing
    /// is copied into scratch memory first, and the methods above and below are not called.
    fn verbatim(&self) -> Option<Verbatim> {
        None
    }
    /// Appends `(name, value)` headers; most records have none.
    fn headers(&self, row: Row<'_>, out: &mut Vec<(&'static str, Vec<u8>)>) {
        let _ = (row, out);
    }
}

/// The encoder of rows that are bytes already: key and value are slice columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verbatim {
    /// Column of the key.
    pub key: usize,
    /// Column of the value.
    pub value: usize,
}

impl Encoder for Verbatim {
    fn key(&self, row: Row<'_>, out: &mut Vec<u8>) -> bool {
        row.bytes(self.key).map(|bytes| out.extend_from_slice(bytes)).is_some()
    }

    fn value(&self, row: Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(row.bytes(self.value).unwrap_or_default());
    }

    fn verbatim(&self) -> Option<Verbatim> {
        Some(*self)
    }
}
