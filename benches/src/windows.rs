//! The windows of DWS 2 and 3 over the three dwd topics, into embedded tables, beside their floor.

mod floor;

use anyhow::{Result, ensure};
use jobs::Job;
use jobs::dwd::{log_split, unique_visitor, user_jump};
use jobs::dws::{page_view, traffic};

use crate::embedded::{Embedded, WORKERS};
use crate::pages::Pages;
use crate::pair::{Content, Given, Outcome, Pair, Scale};

/// The topics read: pages, first visits, jumps.
const TOPICS: [&str; 3] = [log_split::TOPICS[0], unique_visitor::TOPIC, user_jump::TOPIC];

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "windows",
    about: "DWS 2 and 3, three topics to two tables (each job reads the pages itself); floor: read \
            once, parse, sum, write; nothing is put in order",
    records: Scale { full: 1_000_000, quick: 200_000 },
    kafka: None,
    tolerance_percent: 1,
    feed,
    floor: floor::run,
    whole,
};

/// `given.records` are the pages.
fn feed(given: &Given) -> Result<u32> {
    let made = Pages::make(given.records)?;
    let embedded = Embedded::open(&given.dir)?;
    let mut records = 0;
    for (topic, list) in TOPICS.into_iter().zip([made.pages, made.visitors, made.jumps]) {
        records += u32::try_from(list.len())?;
        embedded.feed(topic, list)?;
    }
    Ok(records)
}

fn whole(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let jobs = [Job::Traffic, Job::PageView];
    let (used, read) = embedded.run(WORKERS, |embedded| embedded.plans(&jobs, &|_name| None))?;
    ensure!(read > u64::from(given.records), "{read} reads of {} records", given.records);
    let mut written = Content::default();
    for table in [traffic::NAME, page_view::NAME] {
        for row in embedded.tables.rows(table)? {
            written.records += 1;
            written.bytes += row.len() as u64;
        }
    }
    Ok(Outcome { used, written })
}
