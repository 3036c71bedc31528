//! When record `n` is made and which step of which visit it is: pure arithmetic, no state.
//!
//! The records are dealt round to a fixed number of *lanes*. A lane is one phone in a hand: it goes
//! through visits one after the other, and there are as many lanes as make the pages of a visit
//! follow each other about [`DWELL_MS`] apart at the given rate. Each lane is cut into *stretches*
//! of [`STRETCH`] steps whose visits depend on the seed, the lane and the stretch only, so any record
//! can be reached without making those before it. Visits must never reach over the end of a stretch.

use super::Settings;
use super::device::DAY_MS;

/// Steps of a lane that are planned together; the last visit of a stretch may be cut short.
pub(super) const STRETCH: u64 = 32;

/// How long a visitor stays on a page, in the middle.
const DWELL_MS: u64 = 8_000;

/// The place of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lane: u64,
    pub(super) stretch: u64,
    /// Step inside the stretch, below [`STRETCH`].
    pub(super) offset: u64,
}

/// The timetable of all records.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    lanes: u64,
    mids: u64,
    clock: Clock,
    /// The greatest time that may be written.
    end_ms: i64,
}

/// How record numbers become times.
#[derive(Clone, Copy, Debug)]
enum Clock {
    /// `records` of them fill the time from `start_ms` on for `span_ms`.
    Filled { start_ms: i64, span_ms: i64, records: u64 },
    /// `rate` of them in every second from `start_ms` on.
    Steady { start_ms: i64, rate: u64 },
}

impl Schedule {
    pub(super) fn new(settings: &Settings) -> Schedule {
        let clock = Clock::new(settings);
        let mids = u64::from(settings.mids.max(1));
        let lanes = clock.records_in(DWELL_MS).clamp(1, (mids / 4).max(1));
        let end_ms = settings.records.map_or(i64::MAX, |_| settings.last_day_end_ms);
        Schedule { lanes, mids, clock, end_ms }
    }

    /// The instant of the first record.
    pub(super) fn start_ms(&self) -> i64 {
        match self.clock {
            Clock::Filled { start_ms, .. } | Clock::Steady { start_ms, .. } => start_ms,
        }
    }

    /// The greatest time that may be written.
    pub(super) fn end_ms(&self) -> i64 {
        self.end_ms
    }

    pub(super) fn place(&self, number: u64) -> Place {
        let lane = number % self.lanes;
        // Lanes are out of step with each other, else all visits would begin together.
        let step = number / self.lanes + lane % STRETCH;
        Place { lane, stretch: step / STRETCH, offset: step % STRETCH }
    }

    /// The instant at which record `number` reaches the server; never falls with the number.
    ///
    /// Where records are so few that pages would lie minutes apart, a stretch is moved together to
    /// its first record, so that visits stay visits.
    pub(super) fn arrival_ms(&self, number: u64) -> i64 {
        if self.lanes > 1 || self.clock.records_in(DWELL_MS) > 0 {
            return self.clock.at(number);
        }
        let steps = number % STRETCH;
        let moved = i64::try_from(steps * DWELL_MS).expect("a stretch lasts minutes");
        self.clock.at(number).min(self.clock.at(number - steps) + moved)
    }

    /// The record of the same lane so many steps before `number`; 0 before the first.
    pub(super) fn before(&self, number: u64, steps: u64) -> u64 {
        number.saturating_sub(steps * self.lanes)
    }

    /// How long one lane takes from record to record.
    pub(super) fn step_ms(&self) -> u64 {
        let one_dwell = self.clock.records_in(DWELL_MS).max(1);
        (DWELL_MS * self.lanes / one_dwell).min(DWELL_MS)
    }

    /// The number of the device that the given draw selects in a lane, from 1.
    ///
    /// Every device belongs to one lane: no phone is in two hands.
    pub(super) fn device(&self, lane: u64, draw: u64) -> u32 {
        let own = (self.mids - 1 - lane) / self.lanes + 1;
        u32::try_from(1 + lane + self.lanes * (draw % own)).expect("not above the count of mids")
    }

    /// Whether this is the first device of its lane, the one that takes over visits of devices
    /// that do not exist yet.
    pub(super) fn is_first_of_lane(&self, number: u32) -> bool {
        u64::from(number) <= self.lanes
    }
}

impl Clock {
    fn new(settings: &Settings) -> Clock {
        match settings.records {
            Some(records) => {
                let span_ms = i64::from(settings.days.max(1)) * DAY_MS;
                let start_ms = settings.last_day_end_ms - span_ms;
                Clock::Filled { start_ms, span_ms, records: records.max(1) }
            }
            None => Clock::Steady {
                start_ms: settings.start_ms,
                rate: u64::from(settings.records_per_second.max(1)),
            },
        }
    }

    /// The time of record `number`; the last of a filled time lies at its end.
    fn at(&self, number: u64) -> i64 {
        let (start_ms, passed) = match *self {
            Clock::Filled { start_ms, span_ms, records } => {
                (start_ms, i128::from(span_ms) * (i128::from(number) + 1) / i128::from(records))
            }
            Clock::Steady { start_ms, rate } => {
                (start_ms, i128::from(number) * 1_000 / i128::from(rate))
            }
        };
        start_ms + i64::try_from(passed).expect("the stream is shorter than the calendar")
    }

    /// About how many records fall into so many milliseconds.
    fn records_in(&self, duration_ms: u64) -> u64 {
        let count = match *self {
            Clock::Filled { span_ms, records, .. } => {
                u128::from(records) * u128::from(duration_ms) / u128::from(span_ms.unsigned_abs())
            }
            Clock::Steady { rate, .. } => u128::from(rate) * u128::from(duration_ms) / 1_000,
        };
        u64::try_from(count).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(records: u64, mids: u32) -> Schedule {
        Schedule::new(&Settings { records: Some(records), mids, ..Settings::default() })
    }

    #[test]
    fn arrivals_never_fall_and_end_at_the_given_instant() {
        for records in [1, 31, 100, 5_000, 200_000] {
            let schedule = filled(records, 1_000);
            let last = records - 1;
            let mut before = i64::MIN;
            for number in (0..records).step_by(1 + usize::try_from(records / 3_000).unwrap()) {
                let now = schedule.arrival_ms(number);
                assert!(now >= before, "record {number} of {records} goes back");
                before = now;
            }
            assert!(schedule.arrival_ms(last) <= schedule.end_ms());
            assert!(schedule.arrival_ms(last) > schedule.end_ms() - DAY_MS);
        }
    }

    #[test]
    fn a_device_stays_in_its_lane() {
        let schedule = filled(2_000_000, 997);
        let mut lane_of = std::collections::BTreeMap::new();
        for lane in 0..schedule.lanes {
            for draw in 0..20 {
                let device = schedule.device(lane, draw);
                assert!((1..=997).contains(&device));
                assert_eq!(*lane_of.entry(device).or_insert(lane), lane);
            }
        }
        assert_eq!(lane_of.len(), 997, "every device is reachable");
    }

    #[test]
    fn pages_of_a_visit_lie_seconds_apart_at_any_rate_with_enough_devices() {
        for records in [1_000_000, 50_000_000] {
            let schedule = filled(records, 1_000_000);
            assert!((6_000..=8_000).contains(&schedule.step_ms()), "{records}");
        }
        assert_eq!(filled(1_000, 100).step_ms(), DWELL_MS);
    }
}
