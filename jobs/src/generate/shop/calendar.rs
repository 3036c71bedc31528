//! The texts of instants and days as MySQL shows them, in the warehouse zone: UTC+8 all year.
//!
//! Days are turned into dates by the arithmetic of the proleptic Gregorian calendar, with years that
//! begin in March so that the leap day comes last. Years from 0 to 9999 only: beyond them a text
//! would be no `datetime` of MySQL.

use crate::generate::device::{DAY_MS, day_of};

/// Days of 400 years.
const ERA_DAYS: i64 = 146_097;

/// From 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: i64 = 719_468;

/// Appends `yyyy-MM-dd`; `day` counts from 1970-01-01.
pub(super) fn write_date(day: i64, out: &mut Vec<u8>) {
    let (year, month, day) = date(day);
    for (number, width, end) in [(year, 4, "-"), (month, 2, "-"), (day, 2, "")] {
        digits(number, width, out);
        out.extend_from_slice(end.as_bytes());
    }
}

/// Appends `yyyy-MM-dd HH:mm:ss`; `time_ms` in milliseconds since the epoch, cut to its second.
pub(super) fn write_time(time_ms: i64, out: &mut Vec<u8>) {
    write_date(day_of(time_ms), out);
    let second = (time_ms + 8 * 3_600_000).rem_euclid(DAY_MS) / 1_000;
    let parts = [(second / 3_600, b' '), (second / 60 % 60, b':'), (second % 60, b':')];
    for (number, begin) in parts {
        out.push(begin);
        digits(number, 2, out);
    }
}

/// Year, month and day of the month.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + EPOCH_DAYS;
    let era = day.div_euclid(ERA_DAYS);
    let of_era = day.rem_euclid(ERA_DAYS);
    // Takes out the leap days, so that years have 365 days.
    let leaps = of_era / 1_460 - of_era / 36_524 + of_era / (ERA_DAYS - 1);
    let year = (of_era - leaps) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    // Months from March on have 31, 30, 31, 30, 31 days, and again: 153 days in five.
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let january = month >= 10;
    let month = if january { month - 9 } else { month + 3 };
    (year + era * 400 + i64::from(january), month, of_month)
}

/// Appends `width` decimal digits of a number that is not negative.
fn digits(number: i64, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        let digit = number / 10_i64.pow(place) % 10;
        out.push(b'0' + u8::try_from(digit).expect("a digit of a number from 0 on"));
    }
}

#[cfg(test)]
mod tests {
    use engine::time::zone::Zone;

    use super::*;

    fn text(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn times_read_as_the_zone_of_the_warehouse_says() {
        let zone = Zone::named("Asia/Shanghai").unwrap();
        // From 2000 on, a bit more than 11 days apart: every month and hour, leap days included.
        for step in 0..1_500_i64 {
            let time_ms = 946_684_800_000 + step * 987_654_321;
            let mut expected = String::new();
            zone.write_time(time_ms, &mut expected).unwrap();
            assert_eq!(text(|out| write_time(time_ms, out)), expected);
        }
    }

    #[test]
    fn dates_far_from_today_are_right() {
        for (day, expected) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-25_567, "1900-01-01"),
            (19_112, "2022-04-30"),
            (2_932_896, "9999-12-31"),
        ] {
            assert_eq!(text(|out| write_date(day, out)), expected);
        }
    }
}
