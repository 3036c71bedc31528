//! Visits of one page, embedded topic to embedded topic, beside its floor.

use anyhow::Result;
use connectors::format::app_log::AppLogParser;
use jobs::Job;
use jobs::dwd::user_jump::TOPIC;

use crate::embedded::{Embedded, jobs_over_topics};
use crate::pages::{Jumps, PAGES, feed_pages};
use crate::pair::{Given, Outcome, Pair, Scale};
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "user_jump",
    about: "page topic to topic; floor: read, parse, keep each device's entry page, write; \
            nothing is put in order",
    records: Scale { full: 1_000_000, quick: 200_000 },
    kafka: None,
    tolerance_percent: 5,
    feed: feed_pages,
    floor,
    whole: |given| jobs_over_topics(given, &[Job::UserJump], &[TOPIC]),
};

fn floor(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let (mut parser, mut jumps) = (AppLogParser::default(), Jumps::default());
    let mut files = PlainFiles::create(&given.dir, 1)?;
    embedded.each(PAGES, &mut |row| {
        let value = row.value.unwrap_or_default();
        let Ok(page) = parser.parse(value) else { return Ok(()) };
        match jumps.next(&page, value) {
            Some(jump) => files.push(0, page.mid().as_bytes(), &jump.value),
            None => Ok(()),
        }
    })?;
    for (_, mid, value) in jumps.rest() {
        files.push(0, &mid, &value)?;
    }
    let written = files.finish()?;
    Ok(Outcome { used: measured.end()?, written })
}
