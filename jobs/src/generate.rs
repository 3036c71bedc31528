//! A generator of app logs: a seed becomes the records of `ods_log`, byte for byte the same each time.
//!
//! It imitates the exercise's own generator (generation 2022): devices walk weighted paths through
//! the app, log in on the way, are shown goods, click; and it adds what real log pipelines add:
//! broken lines, late and doubled records, clients that forgot who they are. Demo, tests and
//! benches share it. It has no clock, no file and no state: record `n` is a pure function of the
//! [`Settings`] and `n`, so a stream can be continued from any number ([`Generator::open`]).
//! Changing any setting changes the records; a resumed demo must keep the settings it began with.
//! The other inputs of the warehouse are made beside it: [`shop`] and [`config`].
//!
//! ```
//! let generator = jobs::generate::Generator::new(jobs::generate::Settings::default());
//! let (mut line, mut cursor) = (Vec::new(), generator.open(41));
//! let record = cursor.next(&mut line).expect("the default is an endless stream");
//! assert_eq!(record.number, 41);
//! ```

pub mod config;
mod device;
mod fault;
pub mod job;
mod line;
pub mod numbered;
mod page;
mod random;
mod schedule;
pub mod shop;
pub mod source;
mod visit;

use std::ops::Range;

use fault::{Break, Fate};
use line::{Flaw, Record};
use random::Random;
use schedule::Schedule;
use visit::Visit;

/// What the records depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Another seed, other records. Default 1.
    pub seed: u64,
    /// How many records there are; `None` (the default) = no end.
    pub records: Option<u64>,
    /// With `records`: they fill so many times 24 hours, the last ending at `last_day_end_ms`.
    /// Default 1.
    pub days: u32,
    /// With `records`: instant of the last record, in milliseconds since the epoch. Nothing in the
    /// records is later, so "now" is a good value. Default 2022-04-30 12:00:00 +08:00.
    pub last_day_end_ms: i64,
    /// Without `records`: instant of record 0. Default 2022-04-30 12:00:00 +08:00.
    pub start_ms: i64,
    /// Without `records`: how many records make one second of event time. Default 1000.
    pub records_per_second: u32,
    /// Number of devices, `mid_1` to `mid_<mids>`. For visits with pages seconds apart there must
    /// be about 32 per record per second, else the pages follow faster. Default 50 000.
    pub mids: u32,
    /// Number of users, `uid` 1 to `uids`. Default 20 000.
    pub uids: u32,
    /// Number of goods, `sku_id` 1 to `skus`. Default 35, as in the teaching database.
    pub skus: u32,
    /// How often things go wrong.
    pub shares: Shares,
}

/// How many of ten thousand records (for `cleared`: visits) have something special.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Lines that are dirty: cut, blank, plain text, not UTF-8, without common, mid or ts. 50.
    pub broken: u32,
    /// Valid records with a flaw that is counted: no is_new, start and page, no main, displays
    /// that are no array. 5.
    pub odd: u32,
    /// Records 0.9 to 2.9 s older than their arrival: out of order, never late. 500.
    pub out_of_order: u32,
    /// Records 4 to 17 s older than their arrival. 30.
    pub late: u32,
    /// Records 19 s to 10 min older than their arrival. 5.
    pub very_late: u32,
    /// Places at which one of the 20 records before is delivered again. 20.
    pub duplicate: u32,
    /// Records with `err`. 300.
    pub error: u32,
    /// Visits whose client cleared its data and says is_new = "1" again. 200.
    pub cleared: u32,
}

/// 2022-04-30 12:00:00 +08:00.
const NOON_MS: i64 = 1_651_291_200_000;

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            seed: 1,
            records: None,
            days: 1,
            last_day_end_ms: NOON_MS,
            start_ms: NOON_MS,
            records_per_second: 1_000,
            mids: 50_000,
            uids: 20_000,
            skus: 35,
            shares: Shares::default(),
        }
    }
}

impl Default for Shares {
    fn default() -> Shares {
        Shares {
            broken: 50,
            odd: 5,
            out_of_order: 500,
            late: 30,
            very_late: 5,
            duplicate: 20,
            error: 300,
            cleared: 200,
        }
    }
}

/// A stream of records that can be opened anywhere.
#[derive(Clone, Debug)]
pub struct Generator {
    settings: Settings,
    schedule: Schedule,
}

/// A place in the stream; owns all it needs.
#[derive(Clone, Debug)]
pub struct Cursor {
    generator: Generator,
    number: u64,
}

/// What was appended by [`Cursor::next`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Number of the record, from 0.
    pub number: u64,
    /// The record's `ts`; `None` if the line is broken.
    pub time_ms: Option<i64>,
    /// Where in `out` the mid lies, the key by which a producer partitions; `None` if the line has
    /// none.
    pub key: Option<Range<usize>>,
}

impl Generator {
    /// A generator of these settings; costs nothing.
    pub fn new(settings: Settings) -> Generator {
        let schedule = Schedule::new(&settings);
        Generator { settings, schedule }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A cursor before record `number`; costs nothing, whatever the number.
    pub fn open(&self, number: u64) -> Cursor {
        Cursor { generator: self.clone(), number }
    }

    /// When record `number` reaches the server, in milliseconds since the epoch. Never falls with
    /// the number; the record's own `ts` is a little earlier, a late record's much. A demo that
    /// feeds record `n` when its clock shows this instant keeps event time at wall time.
    pub fn arrival_ms(&self, number: u64) -> i64 {
        self.schedule.arrival_ms(number)
    }

    /// Appends record `number`, following a double delivery to the record that comes again.
    fn write(&self, number: u64, out: &mut Vec<u8>) -> (Option<i64>, Option<Range<usize>>) {
        let mut random = Random::of(&[self.settings.seed, 3, number]);
        match fault::fate(&self.settings, number, &mut random) {
            // Ends, because the number falls.
            Fate::Duplicate(before) => self.write(number - before, out),
            Fate::Whole(flaw) => {
                let (time_ms, mid) = self.write_whole(number, flaw, &mut random, out);
                (Some(time_ms), Some(mid))
            }
            Fate::Broken(kind) => (None, self.write_broken(number, kind, &mut random, out)),
        }
    }

    fn write_whole(
        &self,
        number: u64,
        flaw: Flaw,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> (i64, Range<usize>) {
        let place = self.schedule.place(number);
        let visit = Visit::at(&self.settings, &self.schedule, number, place);
        let delay_ms = fault::delay_ms(&self.settings, self.schedule.step_ms(), random);
        // The first of a stream may be late too, but not from before the first day.
        let floor_ms = self.schedule.start_ms();
        let time_ms = (self.schedule.arrival_ms(number) - delay_ms).max(floor_ms);
        let error = random.chance(self.settings.shares.error);
        let end_ms = self.schedule.end_ms();
        let record = Record { visit: &visit, time_ms, end_ms, error, flaw };
        (time_ms, record.write(random, out))
    }

    fn write_broken(
        &self,
        number: u64,
        kind: Break,
        random: &mut Random,
        out: &mut Vec<u8>,
    ) -> Option<Range<usize>> {
        let begin = out.len();
        let flaw = match kind {
            Break::Flawed(flaw) => flaw,
            Break::Cut
            | Break::Empty
            | Break::Blank
            | Break::PlainText
            | Break::NotUtf8
            | Break::NotObject => Flaw::None,
        };
        let (_, mid) = self.write_whole(number, flaw, random, out);
        fault::spoil(out, begin, mid.end, kind, random).then_some(mid)
    }
}

impl Cursor {
    /// The number of the record that comes next.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Appends the next record to `out`, without a line end and never with one inside; `None`, and
    /// nothing appended, behind the last.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Option<Generated> {
        if self.generator.settings.records.is_some_and(|records| self.number >= records) {
            return None;
        }
        let number = self.number;
        self.number += 1;
        let (time_ms, key) = self.generator.write(number, out);
        Some(Generated { number, time_ms, key })
    }
}

#[cfg(test)]
mod tests;
