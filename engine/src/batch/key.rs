//! Memory-comparable key bytes: the order of the bytes is the order of the values.
//!
//! Key bytes decide the key group and lie on disk, so this encoding is ours and versioned with the
//! layout (specification 8.5). Columns are written one after the other; no column is a prefix of
//! another, so `("1", "23")` and `("12", "3")` differ.
//!
//! | value | bytes |
//! |---|---|
//! | null | `00` |
//! | bytes or text | `01`, each `00` as `00 ff`, then `00 00` |
//! | integer | `02`, 8 bytes big-endian with the sign bit flipped |

use super::order::{flip, unflip};

/// Appends a nullable text or bytes column.
pub fn push_bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    let Some(bytes) = value else {
        out.push(0);
        return;
    };
    out.push(1);
    // Hardly any key holds a zero.
    if has_zero(bytes) {
        push_escaped(out, bytes)
    } else {
        out.extend_from_slice(bytes)
    }
    out.extend_from_slice(&[0, 0]);
}

/// Whether there is a zero among the bytes, by words: keys are short.
#[inline]
fn has_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<WORD>();
    match bytes.last_chunk::<WORD>() {
        // The last word may overlap the one before.
        Some(last) => words.iter().chain([last]).any(|word| word_has_zero(*word)),
        None => rest.contains(&0),
    }
}

/// Bytes of a word.
const WORD: usize = 8;

/// Taking 1 from each byte sets the highest bit of a zero; where it was set before, it is no zero. What
/// is borrowed may mark bytes above a zero, so the answer is right though the place may not be.
#[inline]
fn word_has_zero(word: [u8; WORD]) -> bool {
    let word = u64::from_ne_bytes(word);
    let ones = u64::from_ne_bytes([1; WORD]);
    word.wrapping_sub(ones) & !word & (ones << 7) != 0
}

#[cold]
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for &byte in bytes {
        out.push(byte);
        if byte == 0 {
            out.push(0xff);
        }
    }
}

/// Appends an integer column.
pub fn push_int(out: &mut Vec<u8>, value: i64) {
    out.push(2);
    out.extend_from_slice(&flip(value).to_be_bytes());
}

/// One decoded key column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Absent.
    Null,
    /// Text or bytes.
    Bytes(Vec<u8>),
    /// Integer.
    Int(i64),
}

/// Decodes all columns; `None` if `bytes` was not written by this module.
pub fn parts(mut bytes: &[u8]) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    while let Some((&tag, rest)) = bytes.split_first() {
        let (part, rest) = match tag {
            0 => (Part::Null, rest),
            1 => unescape(rest)?,
            2 => {
                let (number, rest) = rest.split_first_chunk::<8>()?;
                (Part::Int(unflip(u64::from_be_bytes(*number))), rest)
            }
            _ => return None,
        };
        parts.push(part);
        bytes = rest;
    }
    Some(parts)
}

fn unescape(mut bytes: &[u8]) -> Option<(Part, &[u8])> {
    let mut value = Vec::new();
    loop {
        match bytes {
            [0, 0, rest @ ..] => return Some((Part::Bytes(value), rest)),
            [0, 0xff, rest @ ..] => {
                value.push(0);
                bytes = rest;
            }
            [byte, rest @ ..] if *byte != 0 => {
                value.push(*byte);
                bytes = rest;
            }
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encode(value: &(Option<Vec<u8>>, i64)) -> Vec<u8> {
        let mut out = Vec::new();
        push_bytes(&mut out, value.0.as_deref());
        push_int(&mut out, value.1);
        out
    }

    proptest! {
        #[test]
        fn order_and_value_survive(
            a: (Option<Vec<u8>>, i64), b: (Option<Vec<u8>>, i64)
        ) {
            prop_assert_eq!(a.cmp(&b), encode(&a).cmp(&encode(&b)));
            let first = a.0.clone().map_or(Part::Null, Part::Bytes);
            prop_assert_eq!(parts(&encode(&a)), Some(vec![first, Part::Int(a.1)]));
        }
    }

    #[test]
    fn a_zero_is_found_wherever_it_is() {
        for length in 0..40_usize {
            for filling in [1, 0x7f, 0x80, 0xff] {
                let mut bytes = vec![filling; length];
                assert!(!has_zero(&bytes), "{bytes:?}");
                for at in 0..length {
                    bytes[at] = 0;
                    assert!(has_zero(&bytes), "{bytes:?}");
                    bytes[at] = filling;
                }
            }
        }
    }

    #[test]
    fn golden_bytes() {
        assert_eq!(
            encode(&(Some(b"a\0".to_vec()), -1)),
            b"\x01a\0\xff\0\0\x02\x7f\xff\xff\xff\xff\xff\xff\xff"
        );
        assert_eq!(encode(&(None, 1)), b"\0\x02\x80\0\0\0\0\0\0\x01");
    }

    #[test]
    fn columns_do_not_run_together() {
        let two = |a: &[u8], b: &[u8]| {
            let mut out = Vec::new();
            push_bytes(&mut out, Some(a));
            push_bytes(&mut out, Some(b));
            out
        };
        assert_ne!(two(b"12", b"3"), two(b"1", b"23"));
    }
}
