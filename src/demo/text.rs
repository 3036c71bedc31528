//! Numbers as people read them.

/// Digits in groups of three: `1234567` → `1,234,567`.
pub(super) fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate: `2,000/s`.
pub(super) fn rate(per_second: f64) -> String {
    format!("{}/s", grouped(&format!("{:.0}", per_second.max(0.0))))
}

/// Bytes in the greatest unit that fits: `61.2 MiB`.
pub(super) fn bytes(count: u64) -> String {
    let count = count as f64;
    match count {
        ..1_024.0 => format!("{count:.0} B"),
        ..1_048_576.0 => format!("{:.1} KiB", count / 1_024.0),
        ..1_073_741_824.0 => format!("{:.1} MiB", count / 1_048_576.0),
        _ => format!("{:.2} GiB", count / 1_073_741_824.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cases = [("0", "0"), ("999", "999"), ("1000", "1,000"), ("1234567", "1,234,567")];
        for (digits, expected) in cases {
            assert_eq!(grouped(digits), expected);
        }
        assert_eq!(rate(2_000.4), "2,000/s");
        assert_eq!(bytes(1_023), "1023 B");
        assert_eq!(bytes(64 << 20), "64.0 MiB");
    }
}
