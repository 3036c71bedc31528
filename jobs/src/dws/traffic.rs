//! DWS 2: page views, visits, durations, unique visitors and jumps by version, channel, area and
//! newness → `dws_traffic_vc_ch_ar_is_new_page_view_window`.
//!
//! Jumps carry the time of their entry page and come `within` plus the out-of-orderness later. In
//! one process the jump job declares its delay, so windows fire that much later and the jumps are in
//! the first row already; from topics the whole wait is lateness, and the row is written again.

use std::sync::Arc;

use connectors::format::app_log::page::{AR, CH, DURING_TIME, IS_NEW, LAST_PAGE_ID, VC};
use engine::batch::Slice;
use engine::batch::build::BatchBuilder;
use engine::batch::key::{self, Part};
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::error::JobError;
use engine::graph::{JobBuilder, JobPlan};
use engine::operator::window::Aggregate;
use engine::time::window::Tumbling;

use super::window::{Sums, WindowTable, window};
use crate::Job;
use crate::dwd::{log_split, unique_visitor, user_jump};
use crate::outside::{JobTopics, Outside, pages_from_topic};
use crate::settings::Settings;

/// Name of the job and of its table.
pub const NAME: &str = "dws_traffic_vc_ch_ar_is_new_page_view_window";

/// The table.
pub const TABLE: WindowTable = WindowTable {
    name: NAME,
    groups: &["vc", "ch", "ar", "is_new"],
    metrics: &["uv_ct", "sv_ct", "pv_ct", "dur_sum", "uj_ct"],
};

/// Order of the inputs.
const INPUT_PAGE: usize = 0;
const INPUT_VISITOR: usize = 1;

/// The plan.
pub fn plan(
    settings: &Settings,
    outside: &Outside<'_>,
    together: &[Job],
) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let delay_ms = settings.jump_within_ms;
    // (maker, stream in process, its delay, uid of a source of our own, topic)
    let inputs = [
        (Job::LogSplit, log_split::PAGE, 0, "page", log_split::TOPICS[0]),
        (Job::UniqueVisitor, unique_visitor::VISITORS, 0, "visitor", unique_visitor::TOPIC),
        (Job::UserJump, user_jump::JUMPS, delay_ms, "jump", user_jump::TOPIC),
    ];
    let mut dead = Vec::new();
    let mut edges = Vec::new();
    for (maker, stream, delay_ms, uid, topic) in inputs {
        if together.contains(&maker) {
            edges.push(job.import(maker.name(), stream, delay_ms));
        } else {
            let (rows, letters) = pages_from_topic(&mut job, settings, outside, uid, topic);
            edges.push(rows);
            dead.extend(letters);
        }
    }
    // The rule counts from the watermark of the row's partition; the declared delay is taken off
    // that watermark already.
    let declared = edges.iter().map(|edge| edge.delay_ms).max().unwrap_or(0);
    let lateness_ms = settings.traffic_lateness_ms() - declared;
    let windows = Tumbling { size_ms: settings.window_ms, lateness_ms };
    let aggregate = Traffic { window_ms: settings.window_ms, schema: TABLE.schema() };
    let target = (&TABLE, (outside.table)(NAME), settings.zone());
    let edges: Vec<_> = edges.iter().collect();
    let late = window(&mut job, &edges, &aggregate, windows, target);
    let mut topics = JobTopics::new();
    topics.sides(NAME, &late, &dead);
    topics.build(&mut job, outside);
    job.build()
}

#[derive(Clone)]
struct Traffic {
    window_ms: i64,
    schema: Arc<Schema>,
}

impl Aggregate for Traffic {
    type Sum = Sums<5>;

    fn group(&self, _input: usize, row: Row<'_>, group: &mut Vec<u8>) -> bool {
        for column in [VC, CH, AR, IS_NEW] {
            key::push_bytes(group, row.bytes(column));
        }
        true
    }

    fn add(&self, input: usize, row: Row<'_>, sum: &mut Sums<5>) {
        let entry = i64::from(row.bytes(LAST_PAGE_ID).is_none());
        // uv, sv, pv, dur, uj
        sum.add(&Sums(match input {
            INPUT_PAGE => [0, entry, 1, row.int(DURING_TIME).unwrap_or(0), 0],
            INPUT_VISITOR => [1, 0, 0, 0, 0],
            _ => [0, 0, 0, 0, 1],
        }));
    }

    fn merge(&self, sum: &mut Sums<5>, other: &Sums<5>) {
        sum.add(other);
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn emit(&self, start: i64, group: &[u8], sum: &Sums<5>, row: &mut BatchBuilder) {
        let parts = key::parts(group).expect("a group key of this job");
        TABLE.write((start, self.window_ms), sum, row, |row| {
            for (part, column) in parts.iter().zip(2..) {
                let slice = match part {
                    Part::Bytes(bytes) => row.append(bytes),
                    Part::Null | Part::Int(_) => Slice::NULL,
                };
                row.slice(column, slice);
            }
        });
    }
}
