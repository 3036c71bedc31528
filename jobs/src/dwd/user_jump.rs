//! user_jump: visits whose only page is their entry page → `dwd_traffic_user_jump_detail`.
//!
//! Per device, in event-time order: an entry page `e` (no last page) is a jump iff no page follows
//! by the time the watermark has reached `e.ts + within`, or the next page comes `within` or more
//! after it, or the next page is itself an entry. Every entry is judged, once. Pages below the
//! watermark are not sorted in: counted and set aside.

use std::sync::Arc;

use connectors::format::app_log::page::{
    LAST_PAGE_ID, PAGE_KEY, PAGE_VALUE, PageColumns, page_schema, write_page_row,
};
use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::batch::stored;
use engine::codec::Verbatim;
use engine::counter::Counters;
use engine::error::JobError;
use engine::graph::plan::{Asks, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::{Codec, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::Output;

use super::log_split;
use crate::Job;
use crate::outside::{JobTopics, Outside};
use crate::settings::Settings;

/// Name of the job.
pub const NAME: &str = "user_jump";
/// Topic it writes.
pub const TOPIC: &str = "dwd_traffic_user_jump_detail";
/// Stream that other jobs read in process.
pub const JUMPS: &str = "jumps";

const PORT_JUMP: usize = 0;
const PORT_LATE: usize = 1;

/// The plan.
pub fn plan(
    settings: &Settings,
    outside: &Outside<'_>,
    together: &[Job],
) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let jumps =
        Settings { out_of_orderness_ms: settings.jump_out_of_orderness_ms, ..settings.clone() };
    let (pages, dead) = log_split::pages(&mut job, &jumps, outside, together);
    let by_mid = Route::Key(vec![PAGE_KEY]);
    let within_ms = settings.jump_within_ms;
    let ports = job.stateful(
        "jump",
        &[(&pages, by_mid.clone())],
        StatefulSpec {
            what: "ordered: entry page that nothing follows",
            make: Arc::new(move || {
                let logic = Jumps { within_ms, schema: page_schema() };
                Box::new(Ordered::new(by_mid.clone(), logic))
            }),
            outputs: 2,
            // A jump is known `within` after its own time.
            delay_ms: within_ms,
            asks: Asks::default(),
        },
    );
    let mut topics = JobTopics::new();
    if (outside.publish)(NAME) {
        let encoder = Arc::new(Verbatim { key: PAGE_KEY, value: PAGE_VALUE });
        topics.result(TOPIC, &ports[PORT_JUMP], encoder);
    }
    topics.sides(NAME, &ports[PORT_LATE], &dead);
    topics.build(&mut job, outside);
    job.export(JUMPS, &ports[PORT_JUMP]);
    job.build()
}

/// An entry page that is not yet judged: its time, and the row as stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    time_ms: i64,
    row: Vec<u8>,
}

impl Codec for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time_ms.to_be_bytes());
        out.extend_from_slice(&self.row);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (time, row) = bytes.split_first_chunk::<8>()?;
        Some(Self { time_ms: i64::from_be_bytes(*time), row: row.to_vec() })
    }
}

struct Jumps {
    within_ms: i64,
    schema: Arc<Schema>,
}

impl Jumps {
    fn emit(&self, entry: &Entry, output: &mut Output) {
        let row = output.row(PORT_JUMP, &self.schema);
        stored::decode_into(&entry.row, row).expect("an entry stored by this job");
    }
}

impl OrderedLogic for Jumps {
    type State = Entry;

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// Of a page that is no entry only the fact that it came matters.
    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool {
        if row.bytes(LAST_PAGE_ID).is_none() {
            kept.copy(row);
        } else {
            let mid = row.bytes(PAGE_KEY).unwrap_or_default();
            let last_page_id = row.bytes(LAST_PAGE_ID);
            let stub = PageColumns { mid, last_page_id, ..PageColumns::default() };
            write_page_row(kept, &stub, |_no_value| {}, Stamp::of(row));
        }
        true
    }

    fn takes_late(&self) -> bool {
        false
    }

    fn late(&mut self, row: Row<'_>, output: &mut Output, counters: &mut Counters) -> bool {
        counters.add("late", 1);
        output.copy(PORT_LATE, row);
        true
    }

    fn row(
        &mut self,
        event: Event<'_>,
        mut undecided: Slot<'_, Entry>,
        context: &mut OrderedContext<'_>,
    ) {
        let next = event.row;
        let next_is_entry = next.bytes(LAST_PAGE_ID).is_none();
        let judged = undecided.take();
        let is_jump =
            |entry: &Entry| next_is_entry || next.time() - entry.time_ms >= self.within_ms;
        if let Some(entry) = judged.filter(is_jump) {
            self.emit(&entry, context.output);
        }
        if next_is_entry {
            let mut row = Vec::new();
            stored::encode(next, &mut row);
            undecided.set(Entry { time_ms: next.time(), row });
            context.set_timer(next.time() + self.within_ms);
        }
    }

    fn timer(&mut self, at: i64, mut undecided: Slot<'_, Entry>, context: &mut OrderedContext<'_>) {
        // A timer of an entry that has been judged since finds another one, or none.
        if undecided.get().is_some_and(|entry| entry.time_ms + self.within_ms <= at) {
            let entry = undecided.take().expect("seen above");
            self.emit(&entry, context.output);
        }
    }
}
