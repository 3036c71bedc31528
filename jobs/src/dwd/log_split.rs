//! log_split: `ods_log` → `dwd_traffic_{page,start,display,action,error}_log`.
//!
//! 1. parse and check (the decoder);
//! 2. repair `is_new`, keyed by device;
//! 3. split each record by copying pieces of it;
//! 4. write topics; dead letters and records of the future to topics of their own.

use std::sync::Arc;

use connectors::format::app_log::decoder::{AppLogDecoder, IS_NEW, KEY};
use connectors::format::app_log::emit::{LOG_KEY, LOG_VALUE, Ports, Splitter};
use connectors::format::app_log::page::{PAGE_KEY, PAGE_VALUE};
use connectors::format::side::DeadLetter;
use engine::batch::row::Row;
use engine::codec::{Encoder, Verbatim};
use engine::counter::Counters;
use engine::error::JobError;
use engine::graph::plan::{Asks, StatefulSpec};
use engine::graph::{Edge, JobBuilder, JobPlan, Route};
use engine::operator::keyed::{Codec, Keyed, KeyedLogic, Slot};
use engine::operator::stateful::Output;
use engine::time::zone::{Date, Zone};

use crate::Job;
use crate::outside::{JobTopics, Outside, dead_topic, future_topic, pages_from_topic, source_spec};
use crate::settings::Settings;

/// Name of the job.
pub const NAME: &str = "log_split";
/// Topic it reads.
pub const ODS_LOG: &str = "ods_log";
/// Stream of page records that other jobs read in process.
pub const PAGE: &str = "page";
/// Topics it writes, in the order of `PORTS`.
pub const TOPICS: [&str; 5] = [
    "dwd_traffic_page_log",
    "dwd_traffic_start_log",
    "dwd_traffic_display_log",
    "dwd_traffic_action_log",
    "dwd_traffic_error_log",
];

/// Which port of the split feeds which of the [`TOPICS`].
const PORTS: Ports = Ports { page: 0, start: 1, display: 2, action: 3, error: 4 };

/// The plan. Page rows are handed on in process where one of the jobs `together` reads them; otherwise
/// they are no more than what goes to their topic.
pub fn plan(
    settings: &Settings,
    outside: &Outside<'_>,
    together: &[Job],
) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let pages_are_read = together.iter().copied().any(Job::reads_pages);
    let decoder = Arc::new(move || Box::new(decoder(pages_are_read)) as _);
    let logs = job.source("ods_log", source_spec(settings, outside, ODS_LOG, decoder));
    let by_mid = Route::Key(vec![KEY]);
    let ports = job.stateful(
        "is_new",
        &[(&logs.rows, by_mid.clone())],
        StatefulSpec {
            what: "keyed: repair is_new by device, then split",
            make: {
                let settings = settings.clone();
                Arc::new(move || {
                    Box::new(Keyed::new(by_mid.clone(), RepairAndSplit::new(&settings)))
                })
            },
            outputs: TOPICS.len(),
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let (dead, future) = (dead_topic(NAME), future_topic(NAME));
    let mut topics = JobTopics::new();
    if (outside.publish)(NAME) {
        for (number, (name, port)) in TOPICS.iter().zip(&ports).enumerate() {
            topics.result(name, port, encoder(number));
        }
    }
    topics.side(&dead, &logs.dead, Arc::new(DeadLetter));
    topics.side(&future, &logs.future, Arc::new(DeadLetter));
    topics.build(&mut job, outside);
    if pages_are_read {
        job.export(PAGE, &ports[PORTS.page]);
    }
    job.build()
}

/// The page records for another job: in process where this job runs beside it, else from the topic.
/// With the rows come the dead letters of a source that the other job then has.
pub(crate) fn pages(
    job: &mut JobBuilder,
    settings: &Settings,
    outside: &Outside<'_>,
    together: &[Job],
) -> (Edge, Vec<(Edge, Arc<dyn Encoder>)>) {
    if together.contains(&Job::LogSplit) {
        (job.import(NAME, PAGE, 0), Vec::new())
    } else {
        pages_from_topic(job, settings, outside, "page", TOPICS[PORTS.page])
    }
}

fn decoder(pages_are_read: bool) -> AppLogDecoder {
    if pages_are_read { AppLogDecoder::new() } else { AppLogDecoder::without_page_columns() }
}

fn encoder(topic: usize) -> Arc<dyn Encoder> {
    if topic == PORTS.page {
        Arc::new(Verbatim { key: PAGE_KEY, value: PAGE_VALUE })
    } else {
        Arc::new(Verbatim { key: LOG_KEY, value: LOG_VALUE })
    }
}

/// Day of a device's first visit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstVisit(pub Date);

impl Codec for FirstVisit {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(Date(i32::from_be_bytes(bytes.try_into().ok()?))))
    }
}

/// What the rule says about a record: the new state, and whether `is_new` becomes "0".
#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    first_visit: Option<Date>,
    repaired: bool,
}

/// The truth table of warehouse specification 6.2.
fn repair(is_new: bool, first_visit: Option<Date>, today: Date) -> Verdict {
    match (is_new, first_visit) {
        (true, None) => Verdict { first_visit: Some(today), repaired: false },
        (true, Some(first)) => Verdict { first_visit, repaired: first != today },
        // An old visitor from before the job began.
        (false, None) => Verdict { first_visit: Some(Date(today.0 - 1)), repaired: false },
        (false, Some(_)) => Verdict { first_visit, repaired: false },
    }
}

struct RepairAndSplit {
    zone: Zone,
    splitter: Splitter,
}

impl RepairAndSplit {
    fn new(settings: &Settings) -> Self {
        Self { zone: settings.zone(), splitter: Splitter::new(settings.split, PORTS) }
    }

    /// Whether `is_new` of this record must become "0".
    fn is_wrong(
        &self,
        row: Row<'_>,
        state: &mut Slot<'_, FirstVisit>,
        counters: &mut Counters,
    ) -> bool {
        let Some(is_new) = row.int(IS_NEW) else {
            counters.add("bad_is_new", 1);
            return false;
        };
        let known = state.get().map(|first| first.0);
        let verdict = repair(is_new == 1, known, self.zone.date(row.time()));
        if let (None, Some(date)) = (known, verdict.first_visit) {
            state.set(FirstVisit(date));
        }
        counters.add("is_new_repaired", u64::from(verdict.repaired));
        verdict.repaired
    }
}

impl KeyedLogic for RepairAndSplit {
    type State = FirstVisit;

    fn row(
        &mut self,
        row: Row<'_>,
        mut state: Slot<'_, FirstVisit>,
        output: &mut Output,
        counters: &mut Counters,
    ) {
        let repaired = self.is_wrong(row, &mut state, counters);
        self.splitter.split_row(row, repaired, output, counters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_new_truth_table() {
        let today = Date(100);
        let state = |date| Some(Date(date));
        // (is_new, state before) -> (state after, repaired)
        let table = [
            ((true, None), (state(100), false)),
            ((true, state(100)), (state(100), false)),
            ((true, state(99)), (state(99), true)),
            ((true, state(101)), (state(101), true)),
            ((false, None), (state(99), false)),
            ((false, state(100)), (state(100), false)),
            ((false, state(42)), (state(42), false)),
        ];
        for ((is_new, before), (first_visit, repaired)) in table {
            let verdict = repair(is_new, before, today);
            assert_eq!(verdict, Verdict { first_visit, repaired }, "{is_new} {before:?}");
        }
    }
}
