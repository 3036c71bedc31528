//! First visit of each device on each day, embedded topic to embedded topic, beside its floor.

use anyhow::Result;
use connectors::format::app_log::AppLogParser;
use jobs::Job;
use jobs::dwd::unique_visitor::TOPIC;

use crate::embedded::{Embedded, jobs_over_topics};
use crate::pages::{FirstVisits, PAGES, feed_pages};
use crate::pair::{Given, Outcome, Pair, Scale};
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "unique_visitor",
    about: "page topic to topic; floor: read, parse, remember each device's day, write",
    records: Scale { full: 1_000_000, quick: 200_000 },
    kafka: None,
    tolerance_percent: 1,
    feed: feed_pages,
    floor,
    whole: |given| jobs_over_topics(given, &[Job::UniqueVisitor], &[TOPIC]),
};

fn floor(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let (mut parser, mut first) = (AppLogParser::default(), FirstVisits::new()?);
    let mut files = PlainFiles::create(&given.dir, 1)?;
    embedded.each(PAGES, &mut |row| {
        let value = row.value.unwrap_or_default();
        match parser.parse(value) {
            Ok(page) if first.is_first(&page) => files.push(0, page.mid().as_bytes(), value),
            _ => Ok(()),
        }
    })?;
    let written = files.finish()?;
    Ok(Outcome { used: measured.end()?, written })
}
