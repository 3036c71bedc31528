//! Encoders of side outputs: the record as it is, and in headers why it lies there.
//!
//! Dead letters carry `reason`, `partition` and `position`, refused rows carry `reason`. The value is
//! the record's bytes, so it can be fed again once its fault is mended.

use engine::batch::row::Row;
use engine::codec::Encoder;
use engine::operator::decode::{DEAD_PARTITION, DEAD_POSITION, DEAD_REASON, DEAD_VALUE};

/// Name of the header that says why.
pub const REASON: &str = "reason";

/// Encodes rows of [`engine::operator::decode::dead_schema`].
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter;

impl Encoder for DeadLetter {
    fn key(&self, _row: Row<'_>, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn value(&self, row: Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(row.bytes(DEAD_VALUE).unwrap_or_default());
    }

    fn headers(&self, row: Row<'_>, out: &mut Vec<(&'static str, Vec<u8>)>) {
        for (name, column) in [(REASON, DEAD_REASON), ("partition", DEAD_PARTITION)] {
            out.push((name, row.bytes(column).unwrap_or_default().to_vec()));
        }
        if let Some(position) = row.int(DEAD_POSITION) {
            out.push(("position", position.to_string().into_bytes()));
        }
    }
}

/// Encodes refused rows that still have their record's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Refused {
    /// Column of the record.
    pub value: usize,
    /// Why they are refused.
    pub reason: &'static str,
}

impl Encoder for Refused {
    fn key(&self, _row: Row<'_>, _out: &mut Vec<u8>) -> bool {
        false
    }

    fn value(&self, row: Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(row.bytes(self.value).unwrap_or_default());
    }

    fn headers(&self, _row: Row<'_>, out: &mut Vec<(&'static str, Vec<u8>)>) {
        out.push((REASON, self.reason.as_bytes().to_vec()));
    }
}
