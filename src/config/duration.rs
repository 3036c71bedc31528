//! Durations and sizes as people write them: `10s`, `64MiB`.
//!
//! One number, one unit, nothing else: `1.5h` and `1h30m` are refused, so that every text has one
//! reading. Results are exact; what does not fit in 63 bits is refused.

/// Units of durations, in milliseconds; the first name of each is the one we write.
const TIMES: &[(&str, i64)] = &[
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
    ("min", 60_000),
    ("day", 86_400_000),
    ("days", 86_400_000),
];

/// Units of sizes, in bytes.
const SIZES: &[(&str, i64)] =
    &[("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Milliseconds in a text such as `500ms`, `10s`, `10 min`, `1h`, `1d`; `0` needs no unit.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    if text.trim() == "0" { Some(0) } else { parse(text, TIMES) }
}

/// Bytes in a text such as `64MiB`.
pub(crate) fn parse_size(text: &str) -> Option<i64> {
    parse(text, SIZES)
}

/// A duration in its greatest whole unit.
pub(crate) fn duration_text(ms: i64) -> String {
    text(ms, TIMES)
}

/// A size in its greatest whole unit.
pub(crate) fn size_text(bytes: i64) -> String {
    text(bytes, SIZES)
}

fn parse(text: &str, units: &[(&str, i64)]) -> Option<i64> {
    let text = text.trim();
    let digits = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, scale) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<i64>().ok()?.checked_mul(*scale)
}

fn text(value: i64, units: &[(&str, i64)]) -> String {
    let whole = |(_, scale): &&(&str, i64)| value != 0 && value % scale == 0;
    let (name, scale) = units.iter().find(whole).copied().unwrap_or(("", 1));
    format!("{}{name}", value / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [
            ("500ms", Some(500)),
            ("10s", Some(10_000)),
            ("10 min", Some(600_000)),
            ("1h", Some(3_600_000)),
            (" 1 day ", Some(86_400_000)),
            ("0", Some(0)),
            ("0s", Some(0)),
            ("10", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.5h", None),
            ("1h30m", None),
            ("10S", None),
            ("十s", None),
            ("99999999999999999d", None),
            ("99999999999999999999s", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_duration(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        let cases =
            [("64MiB", Some(64 << 20)), ("1 GiB", Some(1 << 30)), ("7B", Some(7)), ("64MB", None)];
        for (text, expected) in cases {
            assert_eq!(parse_size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn texts_read_back() {
        for ms in [0, 1, 999, 1000, 90_000, 3_600_000, 86_400_000, 86_400_001] {
            assert_eq!(parse_duration(&duration_text(ms)), Some(ms), "{}", duration_text(ms));
        }
        assert_eq!(duration_text(90_000), "90s");
        assert_eq!(size_text(64 << 20), "64MiB");
        assert_eq!(size_text(1500), "1500B");
    }
}
