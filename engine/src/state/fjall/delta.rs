//! Deltas: all that one commit writes to one space, as one entry of the store.
//!
//! A delta holds its writes in ascending order of their keys, each key once; one that would be longer
//! than [`BYTES_AIM`] is several, each with its own keys. Numbers are little-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version, 1 |
//! | | per write: length of the key u16; length of the value + 1, or 0 for a delete, u32; key; value |
//! | 4 each | per write: where it begins |
//! | 4 | number of writes |
//! | 4 | crc32c of all before |
//!
//! What is read is checked as a whole before any of it is used, so that a damaged delta is an error
//! and not half of an epoch.

use fjall::Slice;

use crate::state::backend::StateWrite;

/// Version of the layout above.
const VERSION: u8 = 1;
/// A delta of more bytes than this gets no further write: long enough that its bytes are what it
/// costs, and a commit of hundreds of megabytes need not be one piece of memory as well.
const BYTES_AIM: usize = 1 << 20;
/// Bytes before the key of a write.
const LENGTHS: usize = 6;

/// A value, or `None` for a delete.
pub(super) type Write<'a> = (&'a [u8], Option<&'a [u8]>);

/// The writes to one space, in the order in which they were made, as deltas.
pub(super) fn encode(mut writes: Vec<StateWrite>) -> Vec<Vec<u8>> {
    // Stable: of several writes of a key, the last one is behind the others.
    writes.sort_by(|one, other| one.key.cmp(&other.key));
    let mut deltas = Vec::new();
    let mut encoder = Encoder::default();
    for (at, write) in writes.iter().enumerate() {
        if writes.get(at + 1).is_some_and(|next| next.key == write.key) {
            continue;
        }
        encoder.push(write);
        if encoder.bytes.len() >= BYTES_AIM {
            deltas.push(std::mem::take(&mut encoder).finish());
        }
    }
    if !encoder.starts.is_empty() {
        deltas.push(encoder.finish());
    }
    deltas
}

#[derive(Default)]
struct Encoder {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

impl Encoder {
    fn push(&mut self, write: &StateWrite) {
        if self.bytes.is_empty() {
            self.bytes.push(VERSION);
        }
        let (value, length) = match &write.value {
            Some(value) => (value.as_slice(), value.len() + 1),
            None => (&[][..], 0),
        };
        let key_length = u16::try_from(write.key.len()).expect("`check` refuses longer keys");
        let length = u32::try_from(length).expect("fjall takes no value of 4 GiB");
        self.starts.push(u32::try_from(self.bytes.len()).expect("a delta is a few megabytes"));
        self.bytes.extend_from_slice(&key_length.to_le_bytes());
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend_from_slice(&write.key);
        self.bytes.extend_from_slice(value);
    }

    fn finish(mut self) -> Vec<u8> {
        self.bytes.reserve_exact(4 * self.starts.len() + 8);
        for start in &self.starts {
            self.bytes.extend_from_slice(&start.to_le_bytes());
        }
        let count = u32::try_from(self.starts.len()).expect("fewer than bytes");
        self.bytes.extend_from_slice(&count.to_le_bytes());
        let sum = crc32c::crc32c(&self.bytes);
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self.bytes
    }
}

/// A delta that was read and checked.
#[derive(Debug, Clone)]
pub(super) struct Delta {
    bytes: Slice,
    /// Where the first write would end if there were none: the places of the writes begin here.
    starts: usize,
    count: usize,
}

impl Delta {
    /// Checks the bytes; `None` if they are not what was written.
    pub(super) fn decode(bytes: Slice) -> Option<Self> {
        let (rest, sum) = bytes.split_last_chunk::<4>()?;
        let (rest, count) = rest.split_last_chunk::<4>()?;
        let checked = bytes.get(..bytes.len().checked_sub(4)?)?;
        if crc32c::crc32c(checked) != u32::from_le_bytes(*sum) || rest.first() != Some(&VERSION) {
            return None;
        }
        let count = usize::try_from(u32::from_le_bytes(*count)).ok()?;
        let starts = rest.len().checked_sub(count.checked_mul(4)?)?;
        let delta = Self { bytes, starts, count };
        delta.is_whole().then_some(delta)
    }

    /// Whether each write ends where the next one begins, and the keys ascend.
    fn is_whole(&self) -> bool {
        let (mut end, mut last) = (1, &[][..]);
        for at in 0..self.count {
            match self.read(at) {
                Some((start, (key, value))) if start == end && key > last => {
                    end += LENGTHS + key.len() + value.map_or(0, <[u8]>::len);
                    last = key;
                }
                _ => return false,
            }
        }
        end == self.starts
    }

    /// Where a write begins, and the write.
    fn read(&self, at: usize) -> Option<(usize, Write<'_>)> {
        let place = self.bytes.get(self.starts + 4 * at..)?.first_chunk::<4>()?;
        let start = usize::try_from(u32::from_le_bytes(*place)).ok()?;
        let rest = self.bytes.get(start..self.starts)?;
        let (key_length, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*key_length).into())?;
        let value = match usize::try_from(u32::from_le_bytes(*length)).ok()? {
            0 => None,
            more => Some(rest.get(..more - 1)?),
        };
        Some((start, (key, value)))
    }

    /// Number of writes.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// A write; `at` is below [`Delta::len`].
    pub(super) fn write(&self, at: usize) -> Write<'_> {
        self.read(at).expect("all writes were checked when this was decoded").1
    }
}

/// Key of a delta: its number, by which they sort, and the name of its space.
pub(super) fn encode_key(number: u64, space: &str) -> Vec<u8> {
    let mut key = number.to_be_bytes().to_vec();
    key.extend_from_slice(space.as_bytes());
    key
}

/// Number and space of a delta.
pub(super) fn decode_key(key: &[u8]) -> Option<(u64, &str)> {
    let (number, space) = key.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), std::str::from_utf8(space).ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn write(key: &[u8], value: Option<&[u8]>) -> StateWrite {
        let value = value.map(<[u8]>::to_vec);
        StateWrite { space: "state/job".into(), key: key.to_vec(), value }
    }

    fn all(deltas: &[Vec<u8>]) -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
        let mut found = Vec::new();
        for bytes in deltas {
            let delta = Delta::decode(bytes.as_slice().into()).expect("as encoded");
            found.extend((0..delta.len()).map(|at| {
                let (key, value) = delta.write(at);
                (key.to_vec(), value.map(<[u8]>::to_vec))
            }));
        }
        found
    }

    proptest! {
        #[test]
        fn a_delta_is_the_last_writes_in_order(
            writes in prop::collection::vec(
                (prop::collection::vec(0..3_u8, 1..4), any::<Option<Vec<u8>>>()),
                0..40,
            ),
        ) {
            let model: BTreeMap<_, _> = writes.iter().cloned().collect();
            let writes = writes.iter().map(|(key, value)| write(key, value.as_deref())).collect();
            prop_assert_eq!(all(&encode(writes)), model.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn golden_delta() {
        let deltas = encode(vec![write(b"k", Some(b"v")), write(b"b", None)]);
        let expected = [
            &[1][..],
            &[1, 0, 0, 0, 0, 0, b'b'],
            &[1, 0, 2, 0, 0, 0, b'k', b'v'],
            &[1, 0, 0, 0, 8, 0, 0, 0],
            &[2, 0, 0, 0],
        ]
        .concat();
        let (body, sum) = deltas[0].split_last_chunk::<4>().unwrap();
        assert_eq!((deltas.len(), body), (1, expected.as_slice()));
        assert_eq!(u32::from_le_bytes(*sum), crc32c::crc32c(body));
        assert_eq!(encode_key(258, "s"), [0, 0, 0, 0, 0, 0, 1, 2, b's']);
    }

    #[test]
    fn a_long_delta_is_several() {
        let writes: Vec<_> = (0..9_u8).map(|key| write(&[key], Some(&[0; 400_000]))).collect();
        let deltas = encode(writes);
        assert_eq!(deltas.len(), 3);
        assert_eq!(all(&deltas).len(), 9);
        assert!(encode(Vec::new()).is_empty());
    }

    #[test]
    fn a_flipped_bit_or_a_missing_end_is_found() {
        let bytes = encode(vec![write(b"one", Some(b"first")), write(b"two", None)]).remove(0);
        for at in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[at / 8] ^= 1 << (at % 8);
            assert!(Delta::decode(bytes.into()).is_none(), "bit {at}");
        }
        for length in 0..bytes.len() {
            assert!(Delta::decode(bytes[..length].into()).is_none(), "{length} bytes");
        }
        assert!(decode_key(&[0; 7]).is_none() && decode_key(&[255; 9]).is_none());
    }

    /// What has the right sum but no sense is refused, too: nothing is read past its end.
    #[test]
    fn a_delta_without_sense_is_refused() {
        let good = encode(vec![write(b"one", Some(b"first")), write(b"two", None)]).remove(0);
        let body = good.len() - 4;
        for at in 0..body {
            for byte in [0, 1, 7, 255] {
                let mut bytes = good.clone();
                bytes[at] = byte;
                let sum = crc32c::crc32c(&bytes[..body]);
                bytes[body..].copy_from_slice(&sum.to_le_bytes());
                if let Some(delta) = Delta::decode(bytes.into()) {
                    assert!((0..delta.len()).all(|at| delta.write(at).0.len() < 20));
                }
            }
        }
    }
}
