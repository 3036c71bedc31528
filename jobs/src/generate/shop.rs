//! A generator of the shop's changes: a seed becomes the records of `ods_db`, byte for byte the same
//! each time.
//!
//! It imitates the exercise's business database and Maxwell before it (warehouse 2.2, 3): first a
//! bootstrap of the dimension tables, then visitors who fill carts, order, pay, get money back, users
//! who register, goods that change, tables that nobody reads, and, at a settable share, records that
//! are no changes. Ids of users and goods are those of the [log generator](super), so that both tell
//! of the same shop. As there, record `n` is a pure function of the [`Settings`] and `n`, although a
//! payment changes the order of an earlier record: the place of every step is arithmetic
//! (`shop/layout.rs`). Changing any setting changes the records.
//!
//! Rows are consistent: a detail's order came before it, `old` holds what the row was, an id is
//! inserted once. Only who opens the stream in its middle, or passes records over, sees changes of
//! rows that were never inserted.
//!
//! ```
//! use jobs::generate::shop::{Generator, Settings};
//! let generator = Generator::new(Settings::default());
//! let (mut line, mut cursor) = (Vec::new(), generator.open(0));
//! let record = cursor.next(&mut line).expect("the default is an endless stream");
//! assert_eq!((record.number, record.table), (0, Some("base_dic")));
//! ```

mod block;
mod bootstrap;
mod calendar;
mod change;
mod dimension;
mod envelope;
mod fault;
mod filler;
pub mod job;
mod layout;
mod refund;
pub(super) mod row;
mod scene;
mod settings;
mod source;
mod step;
mod story;
mod trade;
mod visitor;

use std::sync::Arc;

use self::block::Block;
use self::bootstrap::Bootstrap;
use self::dimension::Cycle;
pub use self::fault::Fault;
use self::layout::{Layout, Rate};
pub use self::settings::{Settings, Shares};
pub use self::source::ShopSourceFactory;
use super::device::DAY_MS;
use super::schedule::Schedule;

/// A stream of records that can be opened anywhere. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Generator {
    shop: Arc<Shop>,
}

/// A place in the stream; owns all it needs.
#[derive(Clone, Debug)]
pub struct Cursor {
    shop: Arc<Shop>,
    number: u64,
    /// The block of the record before, which is mostly that of the next.
    block: Option<Block>,
}

/// What was appended by [`Cursor::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generated {
    /// Number of the record, from 0.
    pub number: u64,
    /// Its table, the key by which a producer partitions; `None` if the record has none.
    pub table: Option<&'static str>,
    /// What is wrong with it, if something is.
    pub fault: Option<Fault>,
}

impl Generator {
    /// A generator of these settings.
    pub fn new(settings: Settings) -> Self {
        Self { shop: Arc::new(Shop::new(settings)) }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.shop.settings
    }

    /// A cursor before record `number`; costs nothing, whatever the number.
    pub fn open(&self, number: u64) -> Cursor {
        Cursor { shop: self.shop.clone(), number, block: None }
    }

    /// How many records the bootstrap has: the number of the first one behind it. They all arrive at
    /// the first instant.
    pub fn bootstrap_records(&self) -> u64 {
        self.shop.layout.first
    }

    /// The columns of a dimension table in their order; `None` for any other table.
    pub fn columns(&self, table: &str) -> Option<Vec<&'static str>> {
        dimension::columns(&self.shop, table)
    }

    /// When record `number` reaches the server, in milliseconds since the epoch. Never falls with the
    /// number; `ts` is the second of the first record of the transaction.
    pub fn arrival_ms(&self, number: u64) -> i64 {
        self.shop.arrival_ms(number)
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
        let number = self.number;
        if self.shop.settings.records.is_some_and(|records| number >= records) {
            return None;
        }
        self.number += 1;
        if number < self.shop.layout.first {
            let seconds = self.shop.seconds(number);
            let table = self.shop.bootstrap.write(&self.shop, number, seconds, out);
            return Some(Generated { number, table: Some(table), fault: None });
        }
        let (index, place) = self.shop.layout.place(number);
        let block = match self.block.take().filter(|block| block.index == index) {
            Some(block) => block,
            None => Block::plan(&self.shop, index),
        };
        let (table, fault) = block.write(&self.shop, place, out);
        self.block = Some(block);
        Some(Generated { number, table, fault })
    }
}

/// What all parts of the generator look at.
#[derive(Debug)]
struct Shop {
    settings: Settings,
    bootstrap: Bootstrap,
    /// Of the records behind the bootstrap.
    schedule: Schedule,
    layout: Layout,
    cycle: Cycle,
}

impl Shop {
    fn new(settings: Settings) -> Self {
        let bootstrap = Bootstrap::of(&settings);
        let first = if settings.bootstrap { bootstrap.records() } else { 0 };
        let records = settings.records.map(|records| records.saturating_sub(first));
        let schedule = Schedule::new(&super::Settings {
            seed: settings.seed,
            records,
            days: settings.days,
            last_day_end_ms: settings.last_day_end_ms,
            start_ms: settings.start_ms,
            records_per_second: settings.records_per_second,
            ..super::Settings::default()
        });
        let rate = match records {
            Some(records) => {
                let days = u64::from(settings.days.max(1));
                Rate { records, span_ms: days * DAY_MS.unsigned_abs() }
            }
            None => Rate { records: settings.records_per_second.max(1).into(), span_ms: 1_000 },
        };
        let (dimensions, faults) = (settings.dimension_share, settings.fault_share);
        let layout = Layout::new(settings.seed, first, rate, dimensions, faults);
        Self { settings, bootstrap, schedule, layout, cycle: Cycle::new() }
    }

    fn arrival_ms(&self, number: u64) -> i64 {
        match number.checked_sub(self.layout.first) {
            Some(number) => self.schedule.arrival_ms(number),
            None => self.schedule.start_ms(),
        }
    }

    fn seconds(&self, number: u64) -> i64 {
        self.arrival_ms(number).div_euclid(1_000)
    }

    /// How many users there are for the story with this number.
    fn users_at(&self, story: u64) -> u64 {
        let (block, _) = self.layout.place(self.layout.number(step::Step::Browse, story));
        self.users_before(block)
    }

    /// How many users may buy something when this block begins.
    fn users_before(&self, block: u64) -> u64 {
        let registered = self.cycle.registered_before(self.layout.dimensions_before(block));
        let users = u64::from(self.settings.users.max(1)) + registered;
        users.min(self.settings.uids.max(1).into())
    }

    /// When this change of a dimension happens.
    fn dimension_ms(&self, change: u64) -> i64 {
        let block = self.layout.block_of_dimension(change);
        let place = Block::plan(self, block).place_of_dimension(change);
        self.arrival_ms(self.layout.begin(block) + place)
    }
}

#[cfg(test)]
mod tests;
