//! Row keys as Phoenix writes them, for VARCHAR columns in ascending order.
//!
//! ```text
//! [salt u8] text [00 text]...
//! ```
//!
//! The texts of the key columns in key order, one zero byte between two of them; NULL is an empty
//! text, and NULLs at the end are cut with their separators (phoenix.md 8.3). A salted table has one
//! byte in front: a hash of the rest over the number of buckets (8.4). It is a hash and no random
//! number, so a point lookup computes it again.
//!
//! Constraint: only the last text may hold a zero byte, else two rows have one key. And though the
//! encoding has NULLs, no row here has one in its key: key columns are NOT NULL, as in the tables
//! that are made on a real cluster (phoenix.md 11.2).

use connectors::format::dimension::key_fault;

use super::catalog::DimensionTable;

/// The row key of `texts`, one per key column in key order, or the reason why no row has this key
/// ([`key_fault`], and `other_pk` if their number is another one).
pub(super) fn of(table: &DimensionTable, texts: &[Option<&[u8]>]) -> Result<Vec<u8>, &'static str> {
    if texts.len() != table.keys.len() {
        return Err("other_pk");
    }
    if let Some(reason) = key_fault(texts.iter().copied()) {
        return Err(reason);
    }
    let length: usize = texts.iter().map(|text| 1 + text.map_or(0, <[u8]>::len)).sum();
    let mut key = Vec::with_capacity(length);
    push(&mut key, table.salt_buckets, texts);
    Ok(key)
}

/// Appends the row key of `texts`. `buckets` 0 is a table without salt.
fn push(out: &mut Vec<u8>, buckets: u16, texts: &[Option<&[u8]>]) {
    let start = out.len();
    if buckets > 0 {
        out.push(0);
    }
    let text = |text: &Option<&[u8]>| text.is_some_and(|text| !text.is_empty());
    let present = texts.iter().rposition(text).map_or(0, |last| last + 1);
    for (index, text) in texts.iter().take(present).enumerate() {
        if index > 0 {
            out.push(0);
        }
        out.extend_from_slice(text.unwrap_or_default());
    }
    if let [salt_byte, rest @ ..] = out.split_at_mut(start).1
        && buckets > 0
    {
        *salt_byte = salt(rest, buckets);
    }
}

/// The bucket of a row key without its salt byte.
fn salt(key: &[u8], buckets: u16) -> u8 {
    let step = |hash: i32, byte: &u8| {
        hash.wrapping_mul(31).wrapping_add(i32::from(i8::from_ne_bytes([*byte])))
    };
    let bucket = (key.iter().fold(1, step) % i32::from(buckets)).unsigned_abs();
    u8::try_from(bucket).expect("there are at most 256 buckets")
}

/// The text of one key column, in a row key of `count` columns; `None` is NULL.
pub(super) fn text(key: &[u8], buckets: u16, position: usize, count: usize) -> Option<&[u8]> {
    let text = unsalted(key, buckets).splitn(count, |byte| *byte == 0).nth(position);
    text.filter(|text| !text.is_empty())
}

/// A row key without its salt byte: what rows are ordered by over all buckets.
pub(super) fn unsalted(key: &[u8], buckets: u16) -> &[u8] {
    key.get(usize::from(buckets > 0)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(buckets: u16, texts: &[&str]) -> Vec<u8> {
        let texts: Vec<_> = texts.iter().map(|text| Some(text.as_bytes())).collect();
        let mut out = Vec::new();
        push(&mut out, buckets, &texts);
        out
    }

    /// The vectors of phoenix.md 8.7, which come from Java and from cells of a real table.
    #[test]
    fn golden_salts() {
        for (text, bytes, salts) in [
            ("1", "31", [0, 0, 0]),
            ("10", "3130", [0, 0, 0]),
            ("11", "3131", [1, 1, 1]),
            ("1001", "31303031", [1, 1, 1]),
            ("3001", "33303031", [3, 7, 15]),
            ("user_1", "757365725f31", [2, 6, 14]),
            ("SKU_000123", "534b555f303030313233", [3, 3, 11]),
            ("zzzzzzzz", "7a7a7a7a7a7a7a7a", [1, 1, 1]),
            ("中国", "e4b8ade59bbd", [3, 7, 15]),
            ("a", "61", [0, 0, 0]),
            ("z", "7a", [1, 1, 9]),
        ] {
            assert_eq!(hex(&key(0, &[text])), bytes);
            for (buckets, salt) in [4, 8, 16].into_iter().zip(salts) {
                let salted = format!("{salt:02x}{bytes}");
                assert_eq!(hex(&key(buckets, &[text])), salted, "{text} over {buckets}");
            }
        }
    }

    #[test]
    fn golden_composite_keys() {
        for (buckets, texts, bytes) in [
            (0, ["a", "b"], "610062"),
            (4, ["a", "b"], "02610062"),
            (0, ["", "b"], "0062"),
            (0, ["a", ""], "61"),
            (0, ["", ""], ""),
        ] {
            assert_eq!(hex(&key(buckets, &texts)), bytes, "{texts:?}");
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn texts_return_and_bytes_keep_their_order(
            a in proptest::collection::vec("[ab中\u{1}]{0,3}", 3),
            b in proptest::collection::vec("[ab中\u{1}]{0,3}", 3),
            buckets in 0..=256_u16,
        ) {
            let keys = [&a, &b].map(|texts| {
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                key(buckets, &texts)
            });
            for (position, expected) in a.iter().enumerate() {
                let text = text(&keys[0], buckets, position, 3).unwrap_or_default();
                prop_assert_eq!(text, expected.as_bytes());
            }
            let [left, right] = [&keys[0], &keys[1]].map(|key| unsalted(key, buckets));
            prop_assert_eq!(left.cmp(right), a.cmp(&b));
            prop_assert!(buckets == 0 || u16::from(keys[0][0]) < buckets);
        }
    }
}
