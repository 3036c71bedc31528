//! Visits: which device walks which path, and what a step of the visit shows.
//!
//! A visit depends on the seed, its lane, its stretch and its place in the stretch. What differs
//! from step to step (displays, times, faults) is drawn per record, elsewhere.

use super::Settings;
use super::device::{Device, day_of, device};
use super::page::{PATHS, Page, Path};
use super::random::Random;
use super::schedule::{Place, STRETCH, Schedule};

/// Most days over which devices appear in an endless stream.
const ENDLESS_DAYS: u32 = 30;

/// One visit of one device.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) device: Device,
    /// The step of the visit at which the record stands, from 0.
    step: usize,
    /// Whether the visit begins with a start record.
    starts: bool,
    path: &'static Path,
    logged_in: bool,
    /// The client cleared its data and says `is_new` = "1" again.
    cleared: bool,
    /// What the visitor looks at.
    pub(super) sku: u32,
    /// The order that the visitor places or pays.
    pub(super) order: u32,
}

/// What a step of a visit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Start,
    Page { page: Page, last: Option<Page> },
}

impl Visit {
    /// The visit that passes `place` at record `number`.
    pub(super) fn at(settings: &Settings, schedule: &Schedule, number: u64, place: Place) -> Visit {
        let mut begin = 0;
        for index in 0.. {
            let words = [settings.seed, 2, place.lane, place.stretch, index];
            let mut random = Random::of(&words);
            let starts = random.chance(7_000);
            let path = random.pick_weighted(PATHS, |path| path.weight);
            let length = u64::from(starts) + u64::try_from(path.pages.len()).unwrap_or(STRETCH);
            if place.offset < begin + length {
                let step = usize::try_from(place.offset - begin).expect("a visit is short");
                let entry = schedule.before(number, place.offset - begin);
                let device = visitor(settings, schedule, entry, place, &mut random);
                return Visit::new(settings, device, step, starts, path, &mut random);
            }
            begin += length;
        }
        unreachable!("every visit has a step, so the visits of a stretch pass every offset")
    }

    fn new(
        settings: &Settings,
        device: Device,
        step: usize,
        starts: bool,
        path: &'static Path,
        random: &mut Random,
    ) -> Visit {
        Visit {
            device,
            step,
            starts,
            path,
            logged_in: random.chance(5_500),
            cleared: random.chance(settings.shares.cleared),
            sku: random.between(1, settings.skus.max(1)),
            order: random.between(1, 90_000),
        }
    }

    /// What the visitor does at this record.
    pub(super) fn step(&self) -> Step {
        let Some(index) = self.page_index() else { return Step::Start };
        let page = self.path.pages[index];
        let last = (index >= self.path.entries).then(|| self.path.pages[index - 1]);
        Step::Page { page, last }
    }

    /// The user id if the visitor is known at this record.
    pub(super) fn uid(&self) -> Option<u32> {
        let walked = self.page_index().map_or(&[][..], |index| &self.path.pages[..index]);
        (self.logged_in || walked.contains(&Page::Login)).then_some(self.device.uid)
    }

    /// What the client believes about itself at this event time.
    pub(super) fn is_new(&self, time_ms: i64) -> bool {
        self.cleared || self.device.first_day == Some(day_of(time_ms))
    }

    fn page_index(&self) -> Option<usize> {
        self.step.checked_sub(usize::from(self.starts))
    }
}

/// The device of the visit that begins with record `entry`; one that does not exist yet is replaced
/// by the lane's first.
fn visitor(
    settings: &Settings,
    schedule: &Schedule,
    entry: u64,
    place: Place,
    random: &mut Random,
) -> Device {
    let today = day_of(schedule.arrival_ms(entry));
    let device = plain_device(settings, schedule, schedule.device(place.lane, random.bits()));
    if device.first_day.is_some_and(|day| day > today) {
        return plain_device(settings, schedule, schedule.device(place.lane, 0));
    }
    device
}

fn plain_device(settings: &Settings, schedule: &Schedule, number: u32) -> Device {
    let first = day_of(schedule.start_ms());
    let days = settings.records.map_or(ENDLESS_DAYS, |_| settings.days.max(1) + 1);
    let mut device = device(settings.seed, number, first, days, settings.uids);
    if schedule.is_first_of_lane(number) {
        device.first_day = None;
    }
    device
}
