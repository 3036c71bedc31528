//! A generator of the config table: what is in `table_process` at first, and how it changes while the
//! [shop](super::shop) goes on.
//!
//! The records are Debezium envelopes as Flink CDC writes them (capture 7, warehouse 2.3): first the
//! snapshot, one record of op `r` for each row, then one for each [`Change`]. A change is due after a
//! number of `ods_db` records, so demo and tests can make the same things happen at the same place.
//! Record `n` is a pure function of the [`Settings`] and `n`; changing them changes what a position
//! means.
//!
//! Nothing here knows what a routing job makes of a row: a [`Change`] may be one that it rejects.
//!
//! ```
//! use jobs::generate::config::{Generator, Layout, Settings};
//! let generator = Generator::new(Settings::of_course(Layout::TableProcess));
//! let mut record = Vec::new();
//! assert!(generator.write(0, &mut record));
//! assert!(record.starts_with(br#"{"before":null,"after":{"source_table":"activity_info","#));
//! ```

mod course;
mod envelope;
mod plan;
mod source;

pub use self::course::{Layout, Row};
pub use self::source::{ConfigPace, ConfigSourceFactory};

/// What the records depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which config table it is.
    pub layout: Layout,
    /// What is in it at first.
    pub snapshot: Vec<Row>,
    /// What changes, in order.
    pub changes: Vec<Change>,
    /// When the snapshot is read, in milliseconds since the epoch.
    pub start_ms: i64,
}

/// A change of the config table: an insert, an update or a delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// It happens once so many records of `ods_db` have come; never less than for the change before.
    pub due: u64,
    /// When that is, in milliseconds since the epoch.
    pub at_ms: i64,
    /// The row as it was; `None` for an insert.
    pub before: Option<Row>,
    /// The row as it is; `None` for a delete. An update that changes the table's key is two changes,
    /// a delete and an insert (capture 7).
    pub after: Option<Row>,
}

/// The records of a config table.
#[derive(Clone, Debug)]
pub struct Generator {
    settings: Settings,
}

impl Generator {
    /// A generator of these settings.
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The settings it was made from.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How many records the snapshot has.
    pub fn snapshot_records(&self) -> u64 {
        count(&self.settings.snapshot)
    }

    /// How many records there are.
    pub fn records(&self) -> u64 {
        self.snapshot_records() + count(&self.settings.changes)
    }

    /// Appends record `number`, from 0, without a line end; false, and nothing appended, behind the
    /// last.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) -> bool {
        let Settings { layout, snapshot, start_ms, .. } = &self.settings;
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        match (snapshot.get(index), self.change(number)) {
            (Some(row), _) => envelope::write_read(*layout, row, *start_ms, out),
            (None, Some(change)) => envelope::write_change(*layout, change, number, out),
            (None, None) => return false,
        }
        true
    }

    /// The change that record `number` is; `None` for the snapshot and behind the last.
    pub fn change(&self, number: u64) -> Option<&Change> {
        let index = number.checked_sub(self.snapshot_records())?;
        self.settings.changes.get(usize::try_from(index).ok()?)
    }
}

fn count<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).expect("a list fits into memory")
}

#[cfg(test)]
mod tests;
