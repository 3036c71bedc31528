//! Decoder and encoder: the pure functions at both ends of the pipeline.

use std::sync::Arc;

use crate::batch::Batch;
use crate::batch::build::BatchBuilder;
use crate::batch::row::Row;
use crate::batch::schema::Schema;
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

/// Rows to bytes. MUST be pure, and total for the schema it accepted.
pub trait Encoder: Send + Sync {
    /// Appends the key's bytes; returns false if the record has no key.
    fn key(&self, row: Row<'_>, out: &mut Vec<u8>) -> bool;
    /// Appends the value's bytes.
    fn value(&self, row: Row<'_>, out: &mut Vec<u8>);
    /// Key and value where both stand in the row as they are: then nothing is copied into scratch
    /// memory first. An encoder that answers MUST answer for every row, like the methods above.
    fn in_place<'a>(&self, row: Row<'a>) -> Option<(Option<&'a [u8]>, &'a [u8])> {
        let _ = row;
        None
    }
    /// Appends `(name, value)` headers; most records have none.
    fn headers(&self, row: Row<'_>, out: &mut Vec<(&'static str, Vec<u8>)>) {
        let _ = (row, out);
    }
}

/// The encoder of rows that are bytes already: key and value are slice columns.
#[derive(Debug, Clone, Copy)]
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

    fn in_place<'a>(&self, row: Row<'a>) -> Option<(Option<&'a [u8]>, &'a [u8])> {
        Some((row.bytes(self.key), row.bytes(self.value).unwrap_or_default()))
    }
}
