//! unique_visitor: the first page of each device on each day → `dwd_traffic_unique_visitor_detail`.
//!
//! Of the entry pages (no last page), the one that is first of its (device, date) in event-time
//! order. A date counts as seen when its first record has been released by the watermark; it is kept
//! until the watermark is 24 h past its end. A late record whose date is unseen and still kept is
//! emitted, too.

use std::sync::Arc;

use connectors::format::app_log::page::{LAST_PAGE_ID, PAGE_KEY, PAGE_VALUE, page_schema};
use engine::batch::build::BatchBuilder;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::codec::Verbatim;
use engine::counter::Counters;
use engine::error::JobError;
use engine::graph::plan::{Asks, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::Slot;
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::Output;
use engine::time::zone::{Date, Zone};

use super::dates::Dates;
use super::log_split;
use crate::Job;
use crate::outside::{JobTopics, Outside};
use crate::settings::Settings;

/// Name of the job.
pub const NAME: &str = "unique_visitor";
/// Topic it writes.
pub const TOPIC: &str = "dwd_traffic_unique_visitor_detail";
/// Stream that other jobs read in process.
pub const VISITORS: &str = "visitors";
/// How long after its end a date is kept.
pub const KEPT_MS: i64 = 86_400_000;

const PORT_FIRST: usize = 0;
const PORT_LATE: usize = 1;

/// The plan.
pub fn plan(
    settings: &Settings,
    outside: &Outside<'_>,
    together: &[Job],
) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let (pages, dead) = log_split::pages(&mut job, settings, outside, together);
    let by_mid = Route::Key(vec![PAGE_KEY]);
    let zone = settings.time_zone.clone();
    let ports = job.stateful(
        "first_of_day",
        &[(&pages, by_mid.clone())],
        StatefulSpec {
            what: "ordered: first entry page of (device, date)",
            make: Arc::new(move || {
                let zone = Zone::named(&zone).expect("checked at start");
                Box::new(Ordered::new(by_mid.clone(), FirstOfDay { zone, schema: page_schema() }))
            }),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let mut topics = JobTopics::new();
    if (outside.publish)(NAME) {
        let encoder = Arc::new(Verbatim { key: PAGE_KEY, value: PAGE_VALUE });
        topics.result(TOPIC, &ports[PORT_FIRST], encoder);
    }
    topics.sides(NAME, &ports[PORT_LATE], &dead);
    topics.build(&mut job, outside);
    job.export(VISITORS, &ports[PORT_FIRST]);
    job.build()
}

struct FirstOfDay {
    zone: Zone,
    schema: Arc<Schema>,
}

impl FirstOfDay {
    /// When the watermark has come this far, `date` is forgotten.
    fn kept_until(&self, date: Date) -> i64 {
        self.zone.end_of(date) + KEPT_MS
    }
}

impl OrderedLogic for FirstOfDay {
    type State = Dates;

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool {
        let entry = row.bytes(LAST_PAGE_ID).is_none();
        if entry {
            kept.copy(row);
        }
        entry
    }

    fn takes_late(&self) -> bool {
        true
    }

    fn late(&mut self, _row: Row<'_>, _output: &mut Output, _counters: &mut Counters) -> bool {
        unreachable!("late rows take their turn");
    }

    fn row(
        &mut self,
        event: Event<'_>,
        mut dates: Slot<'_, Dates>,
        context: &mut OrderedContext<'_>,
    ) {
        let date = self.zone.date(event.row.time());
        let kept_until = self.kept_until(date);
        context.counters.add("late", u64::from(event.late));
        let seen = dates.get().is_some_and(|dates| dates.contains(date));
        // The watermark at which a late row takes its turn decides, not whether the date happens to
        // be still in memory: purging never changes a result.
        let forgotten = event.at >= kept_until;
        if seen || forgotten {
            if event.late {
                context.output.copy(PORT_LATE, event.row);
            }
            return;
        }
        let before = dates.take().unwrap_or_default();
        dates.set(before.with(date));
        context.set_timer(kept_until);
        context.output.copy(PORT_FIRST, event.row);
    }

    fn timer(&mut self, at: i64, mut dates: Slot<'_, Dates>, _context: &mut OrderedContext<'_>) {
        let Some(seen) = dates.take() else { return };
        // The date that ends 24 h before `at`: the last millisecond before that end lies in it.
        if let Some(left) = seen.without(self.zone.date(at - KEPT_MS - 1)) {
            dates.set(left);
        }
    }
}
