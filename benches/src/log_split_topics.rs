//! Log split from an embedded topic to embedded topics, without a broker, beside its floor.

use anyhow::Result;
use connectors::format::app_log::AppLogParser;
use jobs::Job;
use jobs::dwd::log_split::{NAME, ODS_LOG, TOPICS};
use jobs::outside::dead_topic;

use crate::embedded::{Embedded, jobs_over_topics};
use crate::log_split::pieces::{DEAD, Pieces};
use crate::pair::{Given, Outcome, Pair, Scale};
use crate::pass_through::feed_logs;
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "log_split_topics",
    about: "topic to topics; floor: read, parse, split, write; no is_new",
    records: Scale { full: 500_000, quick: 200_000 },
    kafka: None,
    tolerance_percent: 0,
    feed: feed_logs,
    floor,
    whole,
};

fn floor(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let (mut parser, mut pieces) = (AppLogParser::default(), Pieces::default());
    let mut files = PlainFiles::create(&given.dir, TOPICS.len() + 1)?;
    embedded.each(ODS_LOG, &mut |row| {
        let value = row.value.unwrap_or_default();
        match parser.parse(value) {
            Ok(log) => pieces.each(&log, value, &mut |topic, piece| {
                files.push(topic, log.mid().as_bytes(), piece)
            }),
            // A dead letter has no key.
            Err(_dirty) => files.push(DEAD, b"", value),
        }
    })?;
    let written = files.finish()?;
    Ok(Outcome { used: measured.end()?, written })
}

fn whole(given: &Given) -> Result<Outcome> {
    let dead = dead_topic(NAME);
    let outputs: Vec<&str> = TOPICS.into_iter().chain([dead.as_str()]).collect();
    jobs_over_topics(given, &[Job::LogSplit], &outputs)
}
