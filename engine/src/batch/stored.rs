//! A row as bytes: how buffered rows lie in the checkpoint.
//!
//! Layout: order (20), time (8), behind (8), then per column: slice = varint `length + 1` (0 =
//! null) and the bytes, integer = tag byte 0 (null) or 1 and 8 bytes. All numbers big-endian.

use std::sync::Arc;

use super::build::{BatchBuilder, Stamp};
use super::order::Order;
use super::row::Row;
use super::schema::{Kind, Schema};
use super::{Batch, Slice};

/// Bytes of order, time and behind.
const FIXED_BYTES: usize = Order::BYTES + 8 + 8;
/// Most bytes of a column beside those of its slice.
const COLUMN_BYTES: usize = 10;

/// Appends `row`.
pub fn encode(row: Row<'_>, out: &mut Vec<u8>) {
    let columns = row.batch().schema().columns.iter().enumerate();
    let slices = columns.map(|(column, (_, kind))| match kind {
        Kind::Slice => COLUMN_BYTES + row.bytes(column).map_or(0, <[u8]>::len),
        Kind::Int => COLUMN_BYTES,
    });
    // Once, instead of doubling on the way.
    out.reserve(FIXED_BYTES + slices.sum::<usize>());
    row.order().encode(out);
    out.extend_from_slice(&row.time().to_be_bytes());
    out.extend_from_slice(&row.behind().unwrap_or(i64::MIN).to_be_bytes());
    for (column, (_, kind)) in row.batch().schema().columns.iter().enumerate() {
        match kind {
            Kind::Slice => push_slice(out, row.bytes(column)),
            Kind::Int => push_int(out, row.int(column)),
        }
    }
}

fn push_slice(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    let Some(bytes) = bytes else { return out.push(0) };
    push_varint(out, bytes.len() as u64 + 1);
    out.extend_from_slice(bytes);
}

fn push_int(out: &mut Vec<u8>, value: Option<i64>) {
    let Some(value) = value else { return out.push(0) };
    out.push(1);
    out.extend_from_slice(&value.to_be_bytes());
}

/// Reads a row of `schema` as a batch of one; `None` if the bytes were not written by [`encode`].
pub fn decode(schema: &Arc<Schema>, bytes: &[u8]) -> Option<Batch> {
    let mut builder = BatchBuilder::new(schema);
    decode_into(bytes, &mut builder)?;
    builder.finish(None)
}

/// Reads a row into `builder`, which is of its schema; `None`, and a row that is not whole, if the
/// bytes were not written by [`encode`].
pub fn decode_into(bytes: &[u8], builder: &mut BatchBuilder) -> Option<()> {
    let schema = builder.schema().clone();
    let order = Order::decode(bytes)?;
    let mut rest = bytes.get(Order::BYTES..)?;
    let time = take_i64(&mut rest)?;
    let behind = take_i64(&mut rest)?;
    builder.begin();
    for (column, (_, kind)) in schema.columns.iter().enumerate() {
        match kind {
            Kind::Slice => {
                let slice = match take_varint(&mut rest)? {
                    0 => Slice::NULL,
                    length => {
                        let length = usize::try_from(length - 1).ok()?;
                        let (bytes, after) = rest.split_at_checked(length)?;
                        rest = after;
                        builder.append(bytes)
                    }
                };
                builder.slice(column, slice);
            }
            Kind::Int => {
                let (tag, after) = rest.split_first()?;
                rest = after;
                let value = if *tag == 0 { None } else { Some(take_i64(&mut rest)?) };
                builder.int(column, value);
            }
        }
    }
    builder.end(Stamp { time, order, behind: (behind != i64::MIN).then_some(behind) });
    Some(())
}

fn take_i64(bytes: &mut &[u8]) -> Option<i64> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(i64::from_be_bytes(*number))
}

/// Appends a little-endian base-128 number.
pub fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// Takes a number written by [`push_varint`] off the front.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_row_survives(text: Option<Vec<u8>>, number: Option<i64>, time: i64, behind in 0i64..9) {
            let schema = Schema::new("t", &[("text", Kind::Slice), ("number", Kind::Int)]);
            let mut builder = BatchBuilder::new(&schema);
            builder.begin();
            let slice = text.as_ref().map_or(Slice::NULL, |bytes| builder.append(bytes));
            builder.slice(0, slice);
            builder.int(1, number);
            let order = Order { peak: time, partition: 2, position: 9 };
            builder.end(Stamp { time, order, behind: (behind > 0).then_some(behind) });
            let batch = builder.finish(None).expect("one row");
            let mut bytes = Vec::new();
            encode(batch.row(0), &mut bytes);
            let back = decode(&schema, &bytes).expect("ours");
            let row = back.row(0);
            prop_assert_eq!((row.bytes(0), row.int(1)), (text.as_deref(), number));
            prop_assert_eq!((row.time(), row.order()), (time, order));
            prop_assert_eq!(row.behind(), (behind > 0).then_some(behind));
            for cut in 0..bytes.len() {
                prop_assert!(decode(&schema, &bytes[..cut]).is_none());
            }
        }
    }
}
