//! Dates and times of the warehouse zone as text, by counting days off year after year.
//!
//! UTC+8 all year; the summers of 1986 to 1991, when Asia/Shanghai had summer time, come out wrong.

const DAY_MS: i64 = 86_400_000;
const ZONE_MS: i64 = 8 * 3_600_000;

/// `yyyy-MM-dd` of an instant.
pub(super) fn date(time_ms: i64) -> String {
    date_of_day(day(time_ms))
}

/// `yyyy-MM-dd` of the day before.
pub(super) fn day_before(time_ms: i64) -> String {
    date_of_day(day(time_ms) - 1)
}

/// `yyyy-MM-dd HH:mm:ss` of an instant.
pub(super) fn date_time(time_ms: i64) -> String {
    let seconds = (time_ms + ZONE_MS).rem_euclid(DAY_MS) / 1_000;
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{} {hour:02}:{minute:02}:{second:02}", date(time_ms))
}

/// The instant at which the date of `time_ms` ends.
pub(super) fn end_of_date(time_ms: i64) -> i64 {
    (day(time_ms) + 1) * DAY_MS - ZONE_MS
}

/// Days since 1970-01-01 in the zone.
fn day(time_ms: i64) -> i64 {
    (time_ms + ZONE_MS).div_euclid(DAY_MS)
}

fn date_of_day(mut left: i64) -> String {
    let mut year = 1970;
    while left < 0 {
        year -= 1;
        left += days_of_year(year);
    }
    while left >= days_of_year(year) {
        left -= days_of_year(year);
        year += 1;
    }
    let february = days_of_year(year) - 337;
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if left < length {
            break;
        }
        left -= length;
        month += 1;
    }
    format!("{year:04}-{month:02}-{:02}", left + 1)
}

fn days_of_year(year: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if leap { 366 } else { 365 }
}
