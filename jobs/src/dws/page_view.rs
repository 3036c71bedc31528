//! DWS 3: how many devices saw the home page, and a detail page, for the first time that day →
//! `dws_traffic_page_view_window`.
//!
//! First of (device, date) in event-time order, for each of the two pages on its own. A page below
//! the watermark goes to the side output even when its window is open: a batch over all other rows
//! gives the same.

use std::sync::Arc;

use connectors::format::app_log::page::{PAGE_ID, PAGE_KEY};
use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::counter::Counters;
use engine::error::JobError;
use engine::graph::plan::{Asks, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::{Codec, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::Output;
use engine::operator::window::Aggregate;
use engine::time::window::Tumbling;
use engine::time::zone::{Date, Zone};

use super::window::{Sums, WindowTable, window};
use crate::Job;
use crate::dwd::dates::Dates;
use crate::dwd::log_split;
use crate::dwd::unique_visitor::KEPT_MS;
use crate::outside::{JobTopics, Outside};
use crate::settings::Settings;

/// Name of the job and of its table.
pub const NAME: &str = "dws_traffic_page_view_window";

/// The table.
pub const TABLE: WindowTable =
    WindowTable { name: NAME, groups: &[], metrics: &["home_uv_ct", "good_detail_uv_ct"] };

const PORT_FIRST: usize = 0;
const PORT_LATE: usize = 1;

/// The two pages, in the order of the metrics.
const PAGES: [&[u8]; 2] = [b"home", b"good_detail"];

/// Columns of a row that waits: device, and index of the page.
const WAIT_KEY: usize = 0;
const WAIT_PAGE: usize = 1;

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
        &[(&pages, by_mid)],
        StatefulSpec {
            what: "ordered: first home and first detail page of (device, date)",
            make: Arc::new(move || {
                let zone = Zone::named(&zone).expect("checked at start");
                let logic = FirstViews { zone, waiting: waiting_schema(), first: first_schema() };
                Box::new(Ordered::new(Route::Key(vec![WAIT_KEY]), logic))
            }),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let windows = Tumbling { size_ms: settings.window_ms, lateness_ms: settings.lateness_ms };
    let aggregate = PageViews { window_ms: settings.window_ms, schema: TABLE.schema() };
    let target = (&TABLE, (outside.table)(NAME), settings.zone());
    // What the first step has released is never late for the window: its refused rows are none.
    window(&mut job, &[&ports[PORT_FIRST]], &aggregate, windows, target);
    let mut topics = JobTopics::new();
    topics.sides(NAME, &ports[PORT_LATE], &dead);
    topics.build(&mut job, outside);
    job.build()
}

fn waiting_schema() -> Arc<Schema> {
    Schema::new("view", &[("mid", Kind::Slice), ("page", Kind::Int)])
}

fn first_schema() -> Arc<Schema> {
    Schema::new("first_view", &[("page", Kind::Int)])
}

fn page_index(row: Row<'_>) -> Option<usize> {
    let page = row.bytes(PAGE_ID)?;
    PAGES.iter().position(|name| *name == page)
}

/// Dates on which a device has seen each of the two pages.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Seen([Dates; 2]);

impl Codec for Seen {
    fn encode(&self, out: &mut Vec<u8>) {
        let mut home = Vec::new();
        self.0[0].encode(&mut home);
        out.push(u8::try_from(home.len() / 4).expect("a few dates are kept"));
        out.extend_from_slice(&home);
        self.0[1].encode(out);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (count, rest) = bytes.split_first()?;
        let (home, detail) = rest.split_at_checked(usize::from(*count) * 4)?;
        Some(Self([Dates::decode(home)?, Dates::decode(detail)?]))
    }
}

impl Seen {
    fn without(&self, date: Date) -> Option<Self> {
        let [home, detail] = self.0.each_ref().map(|dates| dates.without(date));
        if home.is_none() && detail.is_none() {
            return None;
        }
        Some(Self([home.unwrap_or_default(), detail.unwrap_or_default()]))
    }
}

struct FirstViews {
    zone: Zone,
    waiting: Arc<Schema>,
    first: Arc<Schema>,
}

impl OrderedLogic for FirstViews {
    type State = Seen;

    fn schema(&self) -> &Arc<Schema> {
        &self.waiting
    }

    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool {
        let Some(page) = page_index(row) else { return false };
        kept.begin();
        let mid = kept.append(row.bytes(PAGE_KEY).unwrap_or_default());
        kept.slice(WAIT_KEY, mid);
        kept.int(WAIT_PAGE, i64::try_from(page).ok());
        kept.end(Stamp::of(row));
        true
    }

    fn takes_late(&self) -> bool {
        false
    }

    fn late(&mut self, row: Row<'_>, output: &mut Output, counters: &mut Counters) -> bool {
        let counts = page_index(row).is_some();
        if counts {
            counters.add("late", 1);
            output.copy(PORT_LATE, row);
        }
        counts
    }

    fn row(
        &mut self,
        event: Event<'_>,
        mut seen: Slot<'_, Seen>,
        context: &mut OrderedContext<'_>,
    ) {
        let page = event.row.int(WAIT_PAGE).expect("always set");
        let date = self.zone.date(event.row.time());
        let index = usize::try_from(page).expect("one of two");
        if seen.get().is_some_and(|seen| seen.0[index].contains(date)) {
            return;
        }
        let mut dates = seen.take().unwrap_or_default();
        dates.0[index] = std::mem::take(&mut dates.0[index]).with(date);
        seen.set(dates);
        context.set_timer(self.zone.end_of(date) + KEPT_MS);
        let row = context.output.row(PORT_FIRST, &self.first);
        row.begin();
        row.int(0, Some(page));
        row.end(Stamp::of(event.row));
    }

    fn timer(&mut self, at: i64, mut seen: Slot<'_, Seen>, _context: &mut OrderedContext<'_>) {
        let Some(dates) = seen.take() else { return };
        if let Some(left) = dates.without(self.zone.date(at - KEPT_MS - 1)) {
            seen.set(left);
        }
    }
}

#[derive(Clone)]
struct PageViews {
    window_ms: i64,
    schema: Arc<Schema>,
}

impl Aggregate for PageViews {
    type Sum = Sums<2>;

    fn group(&self, _input: usize, _row: Row<'_>, _group: &mut Vec<u8>) -> bool {
        true
    }

    fn add(&self, _input: usize, row: Row<'_>, sum: &mut Sums<2>) {
        let home = row.int(0) == Some(0);
        sum.add(&Sums([i64::from(home), i64::from(!home)]));
    }

    fn merge(&self, sum: &mut Sums<2>, other: &Sums<2>) {
        sum.add(other);
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn emit(&self, start: i64, _group: &[u8], sum: &Sums<2>, row: &mut BatchBuilder) {
        TABLE.write((start, self.window_ms), sum, row, |_no_groups| {});
    }
}
