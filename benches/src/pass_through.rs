//! Bytes from an embedded topic to an embedded topic: what the engine itself costs.

use anyhow::{Result, ensure};
use jobs::dwd::log_split::ODS_LOG;
use jobs::generate::{Generator, Settings};

use crate::embedded::{Embedded, WORKERS};
use crate::pair::{Given, Outcome, Pair, Scale};
use crate::passing;
use crate::plain_files::PlainFiles;
use crate::usage::Measured;

const OUTPUT: &str = "passed";

/// The bench.
pub(crate) const PAIR: Pair = Pair {
    name: "pass_through",
    about: "topic to topic, bytes as they are; floor: read, write",
    records: Scale { full: 1_500_000, quick: 300_000 },
    kafka: None,
    tolerance_percent: 0,
    feed: feed_logs,
    floor,
    whole,
};

/// Makes the topic `ods_log` of generated records.
pub(crate) fn feed_logs(given: &Given) -> Result<u32> {
    let records = Some(u64::from(given.records));
    let generator = Generator::new(Settings { records, ..Settings::default() });
    Embedded::open(&given.dir)?.feed(ODS_LOG, generator)?;
    Ok(given.records)
}

fn floor(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let measured = Measured::begin()?;
    let mut files = PlainFiles::create(&given.dir, 1)?;
    embedded.each(ODS_LOG, &mut |row| {
        files.push(0, row.key.unwrap_or_default(), row.value.unwrap_or_default())
    })?;
    let written = files.finish()?;
    Ok(Outcome { used: measured.end()?, written })
}

fn whole(given: &Given) -> Result<Outcome> {
    let embedded = Embedded::open(&given.dir)?;
    let (used, read) = embedded.run(WORKERS, |embedded| {
        let (source, target) = (embedded.source(ODS_LOG), Embedded::topics(&[OUTPUT]));
        Ok(vec![passing::plan("pass", source, target, OUTPUT)?])
    })?;
    ensure!(read == u64::from(given.records), "{read} of {} records were read", given.records);
    Ok(Outcome { used, written: embedded.content(&[OUTPUT])? })
}
