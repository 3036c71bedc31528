//! JSON text as Java writes it: what the programs we stand in for put into Kafka, byte for byte.
//!
//! Jackson escapes characters above U+FFFF as two `\uXXXX` and leaves all others above U+001F as they
//! are; floats have the layout of `Double.toString`, with the shortest digits that read back as the
//! same number (Java before 19 prints longer ones for a few: the same number). Both were run
//! (specification capture.md 2.1, 2.4, 7).

/// Appends `text` as a JSON string.
pub(super) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for character in text.chars() {
        match character {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\0'..'\u{20}' | '\u{10000}'.. => push_escaped(out, character),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

fn push_escaped(out: &mut Vec<u8>, character: char) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        out.extend_from_slice(format!("\\u{unit:04X}").as_bytes());
    }
}

/// Appends bytes as a JSON string of standard base64 with padding.
pub(super) fn push_base64(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out.push(b'"');
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let digit = usize::try_from((bits >> (18 - 6 * place)) & 63).expect("six bits");
            // One byte makes two digits, two make three; the rest is padding.
            out.push(if place <= three.len() { DIGITS[digit] } else { b'=' });
        }
    }
    out.push(b'"');
}

/// Appends a number as `Float.toString` lays it out.
pub(super) fn push_float(out: &mut Vec<u8>, number: f32) {
    let shortest = format!("{number:e}");
    let two = format!("{number:.1e}");
    push_java(
        out,
        if one_digit(&shortest) && two.parse() == Ok(number) { &two } else { &shortest },
    );
}

/// Appends a number as `Double.toString` lays it out.
pub(super) fn push_double(out: &mut Vec<u8>, number: f64) {
    let shortest = format!("{number:e}");
    let two = format!("{number:.1e}");
    push_java(
        out,
        if one_digit(&shortest) && two.parse() == Ok(number) { &two } else { &shortest },
    );
}

/// Where one digit would do, Java takes the nearest two: the least double is 4.9E-324, not 5E-324.
fn one_digit(shortest: &str) -> bool {
    !shortest.contains('.')
}

/// Lays out `-d.ddde-x`, the shortest digits Rust gives, as Java does: plain from 10^-3 to below 10^7,
/// else with an exponent, and always with a digit behind the point. (MySQL stores neither NaN nor
/// infinity.)
fn push_java(out: &mut Vec<u8>, shortest: &str) {
    let (sign, rest) = match shortest.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", shortest),
    };
    let (mantissa, exponent) = rest.split_once('e').unwrap_or((rest, "0"));
    let digits = mantissa.trim_end_matches(".0").replace('.', "");
    let exponent: i32 = exponent.parse().expect("Rust writes an exponent of few digits");
    out.extend_from_slice(sign.as_bytes());
    let zero = digits.bytes().all(|digit| digit == b'0');
    if zero || (-3..7).contains(&exponent) {
        push_plain(out, &digits, exponent);
    } else {
        let (first, more) = digits.split_at(1);
        let more = if more.is_empty() { "0" } else { more };
        out.extend_from_slice(format!("{first}.{more}E{exponent}").as_bytes());
    }
}

/// `digits` with the point behind the first one, moved right by `exponent`.
fn push_plain(out: &mut Vec<u8>, digits: &str, exponent: i32) {
    let Ok(exponent) = usize::try_from(exponent) else {
        let zeros = usize::try_from(-exponent - 1).expect("a negative exponent");
        out.extend_from_slice(format!("0.{}{digits}", "0".repeat(zeros)).as_bytes());
        return;
    };
    let padded = format!("{digits:0<width$}", width = exponent + 2);
    let (whole, fraction) = padded.split_at(exponent + 1);
    out.extend_from_slice(format!("{whole}.{fraction}").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Golden lines of capture.md 2.1 and 2.5.
    #[test]
    fn texts_are_escaped_as_jackson_does() {
        for (given, expected) in [
            ("", r#""""#),
            ("中文 é", r#""中文 é""#),
            ("😀\"\\/\u{8}\t\n\u{c}\r", r#""\uD83D\uDE00\"\\/\b\t\n\f\r""#),
            ("\u{1}\u{1b}\u{7f}", "\"\\u0001\\u001B\u{7f}\""),
            ("a\u{2028}b\u{ffff}", "\"a\u{2028}b\u{ffff}\""),
        ] {
            assert_eq!(text(|out| push_text(out, given)), expected);
        }
    }

    #[test]
    fn base64_is_padded() {
        for (given, expected) in [
            (&b""[..], r#""""#),
            (b"\xff\x00", r#""/wA=""#),
            (b"\x00\xff\x10", r#""AP8Q""#),
            (b"\x27\x10\xfb\xff\x00", r#""JxD7/wA=""#),
            (b"\xfb", r#""+w==""#),
        ] {
            assert_eq!(text(|out| push_base64(out, given)), expected);
        }
    }

    /// Golden lines of capture.md 2.5.
    #[test]
    fn floats_are_laid_out_as_java_does() {
        for (given, expected) in [
            (0.1_f32, "0.1"),
            (1e10, "1.0E10"),
            (3.4e38, "3.4E38"),
            (1e-45, "1.4E-45"),
            (16_777_216.0, "1.6777216E7"),
            (1_234_567.8, "1234567.8"),
            (9_999_999.0, "9999999.0"),
            (0.001, "0.001"),
            (0.000_99, "9.9E-4"),
            (100.0, "100.0"),
            (8.589_973e9, "8.589973E9"),
            (1e7, "1.0E7"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(text(|out| push_float(out, given)), expected);
        }
        for (given, expected) in [
            (0.1_f64, "0.1"),
            (f64::MAX, "1.7976931348623157E308"),
            (12_345_678.9, "1.23456789E7"),
            (5e-324, "4.9E-324"),
            (f64::MIN_POSITIVE, "2.2250738585072014E-308"),
            (9_007_199_254_740_992.0, "9.007199254740992E15"),
            (-99_999_999.99, "-9.999999999E7"),
            (0.0, "0.0"),
            (0.002, "0.002"),
            (0.01, "0.01"),
            (1234.567, "1234.567"),
            (100.0, "100.0"),
            (1e7, "1.0E7"),
        ] {
            assert_eq!(text(|out| push_double(out, given)), expected);
        }
    }
}
