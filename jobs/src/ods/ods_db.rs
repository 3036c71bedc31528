//! ods_db: the changes of the shop database, read and decoded once for all jobs.
//!
//! A source with exports and nothing else. It can be asked to read one table again: those rows are
//! an export of their own, so whoever counts each change does not see it twice. The rule for records
//! from the future is left to the jobs with event time; dimensions have none.

use std::sync::Arc;

use connectors::format::maxwell::decoder::{MaxwellDecoder, TABLE};
use connectors::format::side::DeadLetter;
use engine::batch::row::Row;
use engine::error::JobError;
use engine::graph::plan::SourceSpec;
use engine::graph::{Edge, JobBuilder, JobPlan};

use crate::outside::{JobTopics, Outside, dead_topic, source_spec};
use crate::settings::Settings;

/// Name of the job, of its topic and of its source.
pub const NAME: &str = "ods_db";

const CHANGES: &str = "changes";
const REREAD: &str = "reread";
const REREAD_ENDS: &str = "reread_ends";

/// The plan.
pub fn plan(settings: &Settings, outside: &Outside<'_>) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let decoder = Arc::new(|| Box::new(MaxwellDecoder::default()) as Box<_>);
    let spec = SourceSpec {
        future_skew_ms: i64::MAX,
        reread: Some(is_of_table),
        ..source_spec(settings, outside, NAME, decoder)
    };
    let source = job.source(NAME, spec);
    job.export(CHANGES, &source.rows);
    job.export(REREAD, &source.reread);
    job.export(REREAD_ENDS, &source.reread_ends);
    let mut topics = JobTopics::new();
    topics.side(&dead_topic(NAME), &source.dead, Arc::new(DeadLetter));
    topics.build(&mut job, outside);
    job.build()
}

/// Before the table in the name of a request to read again, where it is not for dimensions: requests of
/// one name take each other's place.
pub(crate) const FOR_FACTS: &str = "facts/";
/// Requests for facts have numbers from here on, others lower ones: rows read again bear only those.
pub(crate) const FIRST_FOR_FACTS: u32 = 1 << 30;

fn is_of_table(row: Row<'_>, name: &str) -> bool {
    let table = name.strip_prefix(FOR_FACTS).unwrap_or(name);
    row.bytes(TABLE) == Some(table.as_bytes())
}

/// What other jobs read of this one.
pub(crate) struct Changes {
    /// Every change, as it comes.
    pub(crate) live: Edge,
    /// Changes that were asked for once more.
    pub(crate) reread: Edge,
    /// Ends of what was asked for.
    pub(crate) reread_ends: Edge,
}

/// Reads the exports in `job`.
pub(crate) fn changes(job: &mut JobBuilder) -> Changes {
    Changes {
        live: job.import(NAME, CHANGES, 0),
        reread: job.import(NAME, REREAD, 0),
        reread_ends: job.import(NAME, REREAD_ENDS, 0),
    }
}
