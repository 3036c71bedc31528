//! One value as JSON, the same whether it came from a query or from the log.
//!
//! A row that is read twice, by the snapshot and again by an event, must not change. So both sides end
//! in the same few lines, and what differs between them is undone first:
//!
//! | type | in a query's result | in the log |
//! |---|---|---|
//! | MEDIUMINT | signed | zero-extended (defect of `mysql_common` 0.37: `eat_i24_le`) |
//! | unsigned | unsigned | signed where the log has no signedness (MariaDB's default) |
//! | text | UTF-8 | the column's charset |
//! | ENUM, SET | text | number, bits |
//! | BINARY(n) | n bytes | without its trailing zeros |
//! | TIMESTAMP | date and time in UTC (the session's zone) | seconds |
//!
//! The JSON is that of Debezium's converter without schema, in the form of Flink CDC (specification
//! capture.md 7). Where the original stops on a date that no calendar has: NULL if the column takes
//! it, else the stored text, which whoever wants a number will refuse.

use mysql_async::Value;
use mysql_async::binlog::value::BinlogValue;

use super::json::{push_base64, push_double, push_float, push_text};
use super::table::Column;
use super::table::kind::{Charset, Kind};

/// Microseconds of a second and of a day.
const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Selected,
    Logged,
}

/// A value that a column of its kind cannot have.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Strange(pub(super) String);

/// Appends a value of the log.
pub(super) fn push_logged(
    out: &mut Vec<u8>,
    column: &Column,
    value: &BinlogValue<'_>,
) -> Result<(), Strange> {
    match value {
        BinlogValue::Value(value) => push(out, column, Side::Logged, value),
        BinlogValue::Jsonb(_) | BinlogValue::JsonDiff(_) => Err(strange(column, "binary JSON")),
    }
}

/// Appends a value of either side.
pub(super) fn push(
    out: &mut Vec<u8>,
    column: &Column,
    side: Side,
    value: &Value,
) -> Result<(), Strange> {
    if *value == Value::NULL {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    let known = match &column.kind {
        Kind::Int { bytes, unsigned } => push_int(out, *bytes, *unsigned, value),
        Kind::Float { widened } => push_float_kind(out, *widened, value),
        Kind::Double => push_double_kind(out, value),
        Kind::Year => push_year(out, value),
        Kind::Date | Kind::DateTime { .. } => push_date(out, column, value),
        Kind::Timestamp { .. } => push_timestamp(out, column, value),
        Kind::Time { .. } => push_time(out, value),
        Kind::Decimal { .. }
        | Kind::Bit { .. }
        | Kind::Char { .. }
        | Kind::VarChar { .. }
        | Kind::Text { .. }
        | Kind::Binary { .. }
        | Kind::VarBinary { .. }
        | Kind::Blob { .. }
        | Kind::Enum(_)
        | Kind::Set(_) => push_bytes(out, &column.kind, side, value),
    };
    known.ok_or_else(|| strange(column, &format!("{value:?}")))
}

fn strange(column: &Column, what: &str) -> Strange {
    Strange(format!("column \"{}\" ({}) holds {what}", column.name, column.declared))
}

fn integer(value: &Value) -> Option<i128> {
    match value {
        Value::Int(number) => Some(i128::from(*number)),
        Value::UInt(number) => Some(i128::from(*number)),
        Value::NULL
        | Value::Bytes(_)
        | Value::Float(_)
        | Value::Double(_)
        | Value::Date(..)
        | Value::Time(..) => None,
    }
}

fn push_int(out: &mut Vec<u8>, bytes: u8, unsigned: bool, value: &Value) -> Option<()> {
    let mut number = integer(value)?;
    if unsigned && number < 0 {
        number += 1_i128 << (8 * u32::from(bytes));
    } else if !unsigned && bytes == 3 && number >= 1 << 23 {
        number -= 1 << 24;
    }
    if unsigned && bytes == 8 {
        push_base64(out, shortest(&number.to_be_bytes()));
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
    Some(())
}

/// A two's complement number without the leading bytes that say nothing, as Java's `BigInteger`
/// gives it.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, tail @ ..] = rest
        && let [second, ..] = tail
        && *first == if second & 0x80 == 0 { 0 } else { 0xff }
    {
        rest = tail;
    }
    rest
}

fn push_float_kind(out: &mut Vec<u8>, widened: bool, value: &Value) -> Option<()> {
    match value {
        Value::Float(number) if widened => push_double(out, f64::from(*number)),
        Value::Float(number) => push_float(out, *number),
        _ => return None,
    }
    Some(())
}

fn push_double_kind(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    let Value::Double(number) = value else { return None };
    push_double(out, *number);
    Some(())
}

/// YEAR 0 is 1900 in the log and in every original that reads it.
fn push_year(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    let year = match value {
        Value::Bytes(text) => std::str::from_utf8(text).ok()?.parse().ok()?,
        other => integer(other)?,
    };
    let year = if year == 0 { 1900 } else { year };
    out.extend_from_slice(year.to_string().as_bytes());
    Some(())
}

fn push_bytes(out: &mut Vec<u8>, kind: &Kind, side: Side, value: &Value) -> Option<()> {
    if side == Side::Logged
        && let Kind::Enum(names) = kind
    {
        // 0 is what a value outside the list was stored as; a query shows it as an empty text.
        let index = usize::try_from(integer(value)?).ok()?;
        let name = index.checked_sub(1).map_or(Some(""), |index| Some(names.get(index)?))?;
        push_text(out, name);
        return Some(());
    }
    let Value::Bytes(bytes) = value else { return None };
    match kind {
        Kind::Decimal { scale, .. } => push_base64(out, shortest(&unscaled(bytes, *scale)?)),
        Kind::Bit { bits: 1 } => {
            let set = bytes.iter().any(|byte| *byte != 0);
            out.extend_from_slice(if set { b"true" } else { b"false" });
        }
        // Shown from the least byte on.
        Kind::Bit { .. } => push_base64(out, &bytes.iter().rev().copied().collect::<Vec<_>>()),
        Kind::Binary { octets } => {
            let mut whole = bytes.clone();
            whole.resize(usize::try_from(*octets).ok()?.max(bytes.len()), 0);
            push_base64(out, &whole);
        }
        Kind::VarBinary { .. } | Kind::Blob { .. } => push_base64(out, bytes),
        Kind::Set(names) if side == Side::Logged => push_set(out, names, bytes),
        Kind::Char { charset, .. } | Kind::VarChar { charset, .. } | Kind::Text { charset, .. }
            if side == Side::Logged =>
        {
            push_text(out, &decoded(bytes, *charset));
        }
        _ => push_text(out, &String::from_utf8_lossy(bytes)),
    }
    Some(())
}

/// Bit `n` of the little-endian number stands for name `n`.
fn push_set(out: &mut Vec<u8>, names: &[String], bits: &[u8]) {
    let bit = |index: usize| bits.get(index / 8).is_some_and(|byte| (byte >> (index % 8)) & 1 == 1);
    let held = names.iter().enumerate().filter(|(index, _)| bit(*index));
    push_text(out, &held.map(|(_, name)| name.as_str()).collect::<Vec<_>>().join(","));
}

fn decoded(bytes: &[u8], charset: Charset) -> String {
    match charset {
        Charset::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
        Charset::Latin1 => bytes.iter().map(|byte| latin1(*byte)).collect(),
    }
}

/// windows-1252, where 0x81, 0x8d, 0x8f, 0x90 and 0x9d are themselves, as MySQL has it.
fn latin1(byte: u8) -> char {
    const HIGH: &str = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
    match byte {
        0x80..0xa0 => HIGH.chars().nth(usize::from(byte - 0x80)).unwrap_or(char::from(byte)),
        _ => char::from(byte),
    }
}

/// A decimal text as the two's complement number of its last digits, big-endian: `-1.5` with scale 2
/// is -150.
fn unscaled(text: &[u8], scale: u8) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // 65 digits, the greatest precision, take 27 bytes.
    let mut number = vec![0_u8; 32];
    let all = format!("{whole}{fraction:0<width$}", width = usize::from(scale));
    for digit in all.chars() {
        let mut carry = digit.to_digit(10)?;
        for byte in number.iter_mut().rev() {
            let sum = u32::from(*byte) * 10 + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
    }
    if negative {
        negate(&mut number);
    }
    Some(number)
}

fn negate(number: &mut [u8]) {
    let mut carry = true;
    for byte in number.iter_mut().rev() {
        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
    }
}

/// DATE as days, DATETIME as milliseconds or (more than three digits) microseconds since 1970, as if
/// its zone were UTC.
fn push_date(out: &mut Vec<u8>, column: &Column, value: &Value) -> Option<()> {
    let Value::Date(year, month, day, hour, minute, second, micros) = *value else { return None };
    let days = days(year, month, day);
    let zero = year == 0 || month == 0 || day == 0;
    let number = match days {
        Some(days) => {
            let time = time_us(i64::from(hour), minute, second, micros);
            Some(match column.kind {
                Kind::DateTime { digits: 4.. } => days * DAY_US + time,
                Kind::DateTime { .. } => (days * DAY_US + time).div_euclid(1000),
                _ => days,
            })
        }
        None if column.nullable => None,
        None if zero => Some(0),
        None => {
            push_text(out, &format!("{year:04}-{month:02}-{day:02}"));
            return Some(());
        }
    };
    let text = number.map_or("null".to_owned(), |number| number.to_string());
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// Days from 1970-01-01 in the Gregorian calendar, taken back as far as needed; `None` for a date that
/// no calendar has. (The classical formula over years that begin in March.)
fn days(year: u16, month: u8, day: u8) -> Option<i64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(leap),
        _ => return None,
    };
    if year == 0 || !(1..=last).contains(&day) {
        return None;
    }
    let (month, day) = (i64::from(month), i64::from(day));
    let year = i64::from(year) - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(
        year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + of_year
            - 719_468,
    )
}

fn time_us(hours: i64, minute: u8, second: u8, micros: u32) -> i64 {
    (hours * 3600 + i64::from(minute) * 60 + i64::from(second)) * SECOND_US + i64::from(micros)
}

/// ISO 8601 in UTC, without trailing zeros of the fraction.
fn push_timestamp(out: &mut Vec<u8>, column: &Column, value: &Value) -> Option<()> {
    let us = match value {
        Value::Bytes(text) => {
            let text = std::str::from_utf8(text).ok()?;
            let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let fraction: i64 = format!("{fraction:0<6}").parse().ok()?;
            seconds.parse::<i64>().ok()? * SECOND_US + fraction
        }
        Value::Date(year, month, day, hour, minute, second, micros) => days(*year, *month, *day)
            .map_or(0, |days| days * DAY_US + time_us((*hour).into(), *minute, *second, *micros)),
        _ => return None,
    };
    // The first moment of 1970 cannot be stored: its number means 0000-00-00.
    if us == 0 && column.nullable {
        out.extend_from_slice(b"null");
        return Some(());
    }
    push_text(out, &instant(us));
    Some(())
}

/// Text of a moment, microseconds since 1970.
fn instant(us: i64) -> String {
    let (days, time) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let (seconds, micros) = (time / SECOND_US, time % SECOND_US);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    if micros > 0 {
        text.push('.');
        text.push_str(format!("{micros:06}").trim_end_matches('0'));
    }
    text.push('Z');
    text
}

/// The inverse of [`days`].
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = (shifted + 2) % 12 + 1;
    (era * 400 + year + i64::from(month <= 2), month, day)
}

/// Microseconds, signed, beyond a day too.
fn push_time(out: &mut Vec<u8>, value: &Value) -> Option<()> {
    let Value::Time(negative, days, hour, minute, second, micros) = *value else { return None };
    let us = time_us(i64::from(days) * 24 + i64::from(hour), minute, second, micros);
    out.extend_from_slice(if negative { -us } else { us }.to_string().as_bytes());
    Some(())
}

#[cfg(test)]
mod tests;
