//! The batch oracle: what the log jobs and DWS 2 and 3 must give for an input, computed naively.
//!
//! It reads all messages, sorts, and loops; it knows no epochs, workers, watermark rows or state, so
//! whatever depends on those in a real run is a fault there. It follows warehouse.md (2.1, 6, 8) and
//! engine.md (10) for jobs linked in one process, generation 2022, `nested` shape. It must stay
//! slow and plain: sharing code with the product would share its misreadings.
//!
//! **The rule that makes lateness independent of cuts.** Every row is judged by `behind`, the
//! watermark of its own partition just before it, never by the watermark `W(e)` of an operator:
//! `W(e-1)` is at most the watermark of each active partition at the end of epoch `e-1`, hence at
//! most `behind` of every row that comes later, so it decides nothing that `behind` does not. The
//! same holds for what state a late row meets: a row of its partition that came before it and lies
//! at or below `behind` counts as released for it, one above counts as buffered, whatever `W(e)`
//! has released so far. A real operator has to look into its buffer to obey this (see `visitor`).
//!
//! Use it from a test file by `mod support { pub mod oracle; }`.
#![allow(dead_code, reason = "each test binary uses its own part of the oracle")]

mod calendar;
mod decode;
mod jump;
mod page_view;
mod split;
mod traffic;
mod visitor;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// Name of the table of DWS 2, which is the label of its late counter too.
pub(crate) const TRAFFIC: &str = "dws_traffic_vc_ch_ar_is_new_page_view_window";
/// Name of the table of DWS 3.
pub(crate) const PAGE_VIEW: &str = "dws_traffic_page_view_window";

/// The raw messages of `ods_log`: per partition, in offset order. The input ends, that is, at last
/// the watermark is +infinity. Records of one mid must lie in one partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Input {
    pub(crate) partitions: Vec<Vec<Vec<u8>>>,
}

/// The settings that results depend on, all in milliseconds.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The reader's clock, fixed; what is too far beyond it is `future`.
    pub(crate) clock_ms: i64,
    pub(crate) future_skew_ms: i64,
    pub(crate) future_hold_ms: i64,
    /// Out-of-orderness of the source.
    pub(crate) bound_ms: i64,
    /// `user_jump.within`.
    pub(crate) within_ms: i64,
    /// `user_jump.out_of_orderness`, which only widens what DWS 2 takes.
    pub(crate) jump_out_of_orderness_ms: i64,
    /// `dws.window`.
    pub(crate) window_ms: i64,
    /// `dws.lateness`.
    pub(crate) lateness_ms: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            clock_ms: i64::MAX / 2,
            future_skew_ms: 86_400_000,
            future_hold_ms: 600_000,
            bound_ms: 3_000,
            within_ms: 10_000,
            jump_out_of_orderness_ms: 3_000,
            window_ms: 10_000,
            lateness_ms: 0,
        }
    }
}

/// What must come out.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Per topic all records, in no meaningful order: compare as multisets ([`sorted`]).
    pub(crate) topics: BTreeMap<String, Vec<Value>>,
    /// Per table the rows at the end, in no meaningful order.
    pub(crate) tables: BTreeMap<String, Vec<Value>>,
    /// Per side output: reason and bytes. `dirty_log` and `future_log_split` hold the raw message,
    /// `late_<job>` the JSON of the page record, to be compared as JSON.
    pub(crate) side: BTreeMap<String, Vec<(String, Vec<u8>)>>,
    /// Counters above 0 by name and labels, the labels written `job=x,reason=y` by name.
    ///
    /// `records_in` counts the rows of a job's input: messages for log_split (dirty ones too),
    /// page records for unique_visitor and user_jump (for unique_visitor only entries, what its
    /// filter lets through). `records_out` counts records written, over all topics of the job.
    pub(crate) counters: BTreeMap<(String, String), u64>,
    /// The state of the is_new repair: mid to date of the first visit.
    pub(crate) first_visits: BTreeMap<String, String>,
}

/// A valid record of the input.
#[derive(Clone, Debug)]
struct Read {
    place: Place,
    mid: String,
    record: Map<String, Value>,
}

/// A record of the page topic.
#[derive(Clone, Debug, PartialEq)]
struct Page {
    place: Place,
    mid: String,
    record: Value,
}

/// When and where a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    ts: i64,
    /// Greatest ts of its partition so far, this row included.
    greatest: i64,
    partition: usize,
    offset: usize,
    /// The watermark of the partition just before the row, if the row does not lie above it.
    behind: Option<i64>,
}

impl Place {
    /// Late for operators that go by event time: at or below the watermark of its partition.
    fn is_late(&self) -> bool {
        self.behind.is_some()
    }

    /// Order of event time; rows of the same instant by partition and offset (warehouse.md 8.1.9).
    fn event_order(&self) -> (i64, usize, usize) {
        (self.ts, self.partition, self.offset)
    }

    /// Order of reading (engine.md 7.2): inside a partition the offset.
    fn reading_order(&self) -> (i64, usize, usize) {
        (self.greatest, self.partition, self.offset)
    }
}

impl Page {
    fn member(&self, name: &str) -> Option<&Value> {
        self.record["page"].get(name).filter(|value| !value.is_null())
    }

    /// An entry page: `last_page_id` absent, or null, which is the same to every reader of the
    /// topic.
    fn is_entry(&self) -> bool {
        self.member("last_page_id").is_none()
    }
}

impl Outcome {
    fn count(&mut self, name: &str, labels: &str) {
        self.count_many(name, labels, 1);
    }

    fn count_many(&mut self, name: &str, labels: &str, count: usize) {
        if count > 0 {
            let count = u64::try_from(count).expect("a usize fits in u64");
            *self.counters.entry((name.into(), labels.into())).or_default() += count;
        }
    }

    fn publish(&mut self, topic: &str, record: Value) {
        self.topics.entry(topic.into()).or_default().push(record);
    }

    fn set_aside(&mut self, output: &str, reason: &str, bytes: Vec<u8>) {
        self.side.entry(output.into()).or_default().push((reason.into(), bytes));
    }

    /// Counts a late row of a job.
    fn count_late(&mut self, job: &str) {
        self.count("late", &format!("job={job}"));
    }

    /// Counts a late row and puts it into the job's side output.
    fn refuse(&mut self, job: &str, page: &Page) {
        self.count_late(job);
        self.set_aside(&format!("late_{job}"), "late", page.record.to_string().into_bytes());
    }

    /// A counter, 0 if nothing was counted.
    pub(crate) fn counter(&self, name: &str, labels: &str) -> u64 {
        self.counters.get(&(name.into(), labels.into())).copied().unwrap_or(0)
    }

    /// The records of a topic as a multiset.
    pub(crate) fn topic(&self, name: &str) -> Vec<Value> {
        sorted(self.topics.get(name).into_iter().flatten().cloned())
    }

    /// The rows of a table as a multiset.
    pub(crate) fn table(&self, name: &str) -> Vec<Value> {
        sorted(self.tables.get(name).into_iter().flatten().cloned())
    }

    /// Everything in one order, so that two outcomes are equal iff their content is.
    pub(crate) fn normalised(mut self) -> Outcome {
        for records in self.topics.values_mut().chain(self.tables.values_mut()) {
            *records = sorted(records.drain(..));
        }
        self.side.values_mut().for_each(|entries| entries.sort());
        self
    }
}

/// Values in the order of their text: a multiset in comparable form.
///
/// Member order must not matter; the map of serde_json sorts by name unless a feature is on.
pub(crate) fn sorted(values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    let mut values: Vec<Value> = values.into_iter().collect();
    values.sort_by_cached_key(canonical);
    values
}

/// The text of a value with all members in the order of their names.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<&String, String> =
                members.iter().map(|(name, value)| (name, canonical(value))).collect();
            format!("{members:?}")
        }
        Value::Array(elements) => {
            format!("{:?}", elements.iter().map(canonical).collect::<Vec<_>>())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.to_string(),
    }
}

/// Computes what must come out of the log jobs for this input.
pub(crate) fn outcome(input: &Input, settings: &Settings) -> Outcome {
    let mut outcome = Outcome::default();
    let mut reads = decode::decode(input, settings, &mut outcome);
    split::repair(&mut reads, &mut outcome);
    let pages = split::split(reads, &mut outcome);
    let visitors = visitor::unique_visitors(&pages, &mut outcome);
    let jumps = jump::user_jumps(&pages, settings, &mut outcome);
    traffic::traffic(&pages, &visitors, &jumps, settings, &mut outcome);
    page_view::page_view(&pages, settings, &mut outcome);
    outcome
}
