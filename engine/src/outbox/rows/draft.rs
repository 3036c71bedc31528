//! Rows whose value is written where it stays: in their block.
//!
//! The length of a value stands before it and is known after it. So as many bytes are left free as
//! the longest value allowed would need for its length; where fewer are right, the value moves up. The
//! bytes are those of [`RowWriter::push`].
//!
//! Misuse: a value longer than was said may make the block larger than blocks are; that is a fault of
//! the program, and noticed.

use super::records::RowForm;
use super::{
    FLAG_KEY, FLAG_VALUE, FRONT_BYTES_MAX, RowWriter, VARINT_BYTES_MAX, length_of, push_part,
};

/// What takes two bytes as a varint.
const TWO_BYTES: std::ops::Range<u32> = 0x80..0x4000;

/// What is known of a row of key and value before its value is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft<'a> {
    /// Which topic or table of the sink.
    pub(crate) target: u16,
    /// Time of the record, milliseconds since 1970.
    pub(crate) time_ms: i64,
    /// Encoded key.
    pub(crate) key: &'a [u8],
    /// The value has no more bytes.
    pub(crate) value_bytes_max: usize,
}

impl Draft<'_> {
    /// Upper bound of the row's encoded bytes.
    #[inline]
    pub(crate) fn bytes_at_most(&self) -> usize {
        FRONT_BYTES_MAX + 2 * VARINT_BYTES_MAX + self.key.len() + self.value_bytes_max
    }
}

impl RowWriter {
    /// Appends a row whose value `write` appends, and answers how long that is. The caller asks
    /// [`RowWriter::has_room`] first.
    #[inline]
    pub(crate) fn push_draft(
        &mut self,
        draft: &Draft<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        self.bytes.reserve(draft.bytes_at_most());
        let length = match self.form {
            RowForm::Any => {
                self.push_front(FLAG_KEY | FLAG_VALUE, draft.target, draft.time_ms);
                push_part(&mut self.bytes, draft.key);
                self.push_value(length_of, draft.value_bytes_max, write)
            }
            RowForm::Records { .. } => self.push_record_draft(draft, write),
        };
        self.rows += 1;
        length
    }

    /// Lets `write` append a value and puts its length before it, as `written` makes it; answers how
    /// long it is.
    #[inline]
    pub(super) fn push_value(
        &mut self,
        written: impl Fn(usize) -> u32,
        bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> usize {
        let free = self.push_free(written(bytes_max));
        let at = self.bytes.len() - free;
        write(&mut self.bytes);
        let length = self.bytes.len() - at - free;
        assert!(length <= bytes_max, "a value is longer than was said");
        self.set_length(at, free, written(length));
        length
    }

    /// Appends as many bytes as a length of at most `most` takes; answers how many.
    #[inline]
    pub(super) fn push_free(&mut self, most: u32) -> usize {
        if TWO_BYTES.contains(&most) {
            self.bytes.extend_from_slice(&[0; 2]);
            return 2;
        }
        let (_, free) = varint(most);
        self.bytes.extend_from_slice(&[0; VARINT_BYTES_MAX][..free]);
        free
    }

    /// Writes a length into the `free` bytes at `at`.
    #[inline]
    pub(super) fn set_length(&mut self, at: usize, free: usize, length: u32) {
        // As it is with nearly all rows.
        if free == 2 && TWO_BYTES.contains(&length) {
            let [low, high, ..] = (length & 0x7f | (length & 0x3f80) << 1 | 0x80).to_le_bytes();
            self.bytes[at..at + 2].copy_from_slice(&[low, high]);
        } else {
            self.set_any_length(at, free, length);
        }
    }

    #[cold]
    fn set_any_length(&mut self, at: usize, free: usize, length: u32) {
        let (bytes, count) = varint(length);
        if count < free {
            self.bytes.copy_within(at + free.., at + count);
            self.bytes.truncate(self.bytes.len() - (free - count));
        }
        self.bytes[at..at + count].copy_from_slice(&bytes[..count]);
    }

    /// Takes the last row out again, which begins at `start` and has a value of so many bytes: the
    /// value.
    pub(crate) fn take_back(&mut self, start: usize, value: usize) -> Vec<u8> {
        // A record has the number of its headers behind its value.
        let behind = usize::from(self.form != RowForm::Any);
        let end = self.bytes.len() - behind;
        let value = self.bytes[end - value..end].to_vec();
        self.bytes.truncate(start);
        self.rows -= 1;
        value
    }
}

/// The bytes of a varint, and how many they are.
#[inline]
pub(super) fn varint(mut value: u32) -> ([u8; VARINT_BYTES_MAX], usize) {
    let (mut bytes, mut count) = ([0; VARINT_BYTES_MAX], 0);
    while value >= 0x80 {
        bytes[count] = value.to_le_bytes()[0] | 0x80;
        value >>= 7;
        count += 1;
    }
    bytes[count] = value.to_le_bytes()[0];
    (bytes, count + 1)
}

#[cfg(test)]
mod tests {
    use super::super::{Op, OutRow};
    use super::*;
    use proptest::prelude::*;

    fn pushed(target: u16, time_ms: i64, key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut writer = RowWriter::new();
        let (key, value) = (Some(key), Some(value));
        let op = Op::Insert;
        writer.push(&OutRow { target, topic: None, op, time_ms, key, value, headers: &[] });
        writer.into_bytes()
    }

    proptest! {
        #[test]
        fn a_draft_becomes_the_bytes_of_a_row(
            (target, time_ms, key) in (any::<u16>(), any::<i64>(), "[a-z]{0,200}"),
            length in prop_oneof![0..300_usize, 16_300..16_500_usize],
            more in prop_oneof![0..200_usize, 0..20_000_usize],
        ) {
            let (key, value) = (key.as_bytes(), vec![7; length]);
            let draft = Draft { target, time_ms, key, value_bytes_max: length + more };
            let mut writer = RowWriter::new();
            for _ in 0..2 {
                let before = writer.bytes().len();
                let said = writer.push_draft(&draft, |out| out.extend_from_slice(&value));
                let row = &writer.bytes()[before..];
                prop_assert_eq!((row, said), (&pushed(target, time_ms, key, &value)[..], length));
                prop_assert!(row.len() <= draft.bytes_at_most());
            }
            let first = writer.bytes().len() / 2;
            prop_assert_eq!(writer.take_back(first, length), value);
            prop_assert_eq!((writer.bytes().len(), writer.rows()), (first, 1));
        }
    }
}
