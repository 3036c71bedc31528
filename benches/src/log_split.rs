//! Log split, Kafka to Kafka with exactly-once, beside its floor.
//!
//! ```text
//!   ods_log ──> floor:     consume . parse                  . produce, transaction of 1 s
//!           └─> watershed: consume . parse . is_new . split . outbox . produce, epoch of 1 s
//! ```
//!
//! Both read the same topic of one real broker, one after the other, each in a process of its own;
//! both write the same number of records of the same bytes to the same number of topics, which is
//! checked by reading them back. Measured is the time from the first record read to the last one
//! committed, and our processor seconds in it; the broker is another process and not counted, but
//! shares the cores. Broken records, half a percent, are produced by the floor without the
//! headers that say what is broken.

mod floor;
mod input;
pub(crate) mod part;
mod whole;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use jobs::dwd::log_split::{NAME, ODS_LOG};
use jobs::outside::future_topic;
use tempfile::TempDir;
use xtask::services::kafka::{Broker, Options};

use self::part::{Kind, Outcome, Setup, outputs};
use crate::topics::{self, Content};

/// Records unless told otherwise.
pub(crate) const RECORDS: u32 = 400_000;
/// Pairs of floor and watershed unless told otherwise.
pub(crate) const RUNS: u32 = 3;

/// Measures and prints.
pub(crate) fn bench(records: u32, runs: u32) -> Result<()> {
    ensure!(records > 0 && runs > 0, "nothing to do");
    // Deleted topics must not be on the disk while the next part is measured.
    let options = Options::measure().with("log.segment.delete.delay.ms", "500");
    let broker = Broker::start(&options)?;
    let (bootstrap, plan) = (broker.bootstrap(), tempfile::tempdir()?);
    topics::make(&bootstrap, &[ODS_LOG.to_owned()])?;
    input::produce(&bootstrap, ODS_LOG, records, plan.path())?;
    println!("{records} records of ods_log; load average {}", load()?);
    println!(
        "{:12}{:>9}{:>12}{:>16}{:>12}",
        "", "seconds", "records/s", "CPU s/million", "peak MiB"
    );
    let mut all = BTreeMap::from([(Kind::Floor.name(), vec![]), (Kind::Watershed.name(), vec![])]);
    let mut first = None;
    for run in 1..=runs {
        for kind in [Kind::Floor, Kind::Watershed] {
            let (figures, content) = measured(kind, run, &bootstrap, records, &plan)?;
            println!("{}", figures.line(&format!("{} {run}", kind.name())));
            all.entry(kind.name()).or_default().push(figures);
            let expected = *first.get_or_insert(content);
            ensure!(content == expected, "{content:?} were written, by the first {expected:?}");
        }
    }
    let written = first.context("there are runs")?;
    println!("each wrote {} records, {} MB", written.records, written.bytes / 1_000_000);
    report(&all);
    println!("load average at the end {}", load()?);
    Ok(())
}

/// One part: its figures, and what it has written.
fn measured(
    kind: Kind,
    run: u32,
    bootstrap: &str,
    records: u32,
    plan: &TempDir,
) -> Result<(Figures, Content)> {
    let prefix = format!("{}_{run}_", kind.name());
    let names = outputs(&prefix);
    let state = tempfile::tempdir()?;
    let dir = match kind {
        Kind::Floor => plan.path().to_owned(),
        Kind::Watershed => state.path().to_owned(),
    };
    if kind == Kind::Floor {
        topics::make(bootstrap, &names)?;
    }
    let (bootstrap, input) = (bootstrap.to_owned(), ODS_LOG.to_owned());
    let setup = Setup { kind, bootstrap, input, prefix, records, dir };
    let outcome = setup.run()?;
    let (dead, split) = names.split_last().context("six topics")?;
    let split = topics::contents(&setup.bootstrap, split)?;
    let dead = topics::contents(&setup.bootstrap, std::slice::from_ref(dead))?;
    if let Some(counted) = outcome.records_out {
        // Dead letters are not among the job's `records_out`.
        let read = split.records;
        ensure!(counted == read, "the job counts {counted} records, read back were {read}");
    }
    let content =
        Content { records: split.records + dead.records, bytes: split.bytes + dead.bytes };
    let mut made = names;
    if kind == Kind::Watershed {
        made.push(format!("{}{}", setup.prefix, future_topic(NAME)));
    }
    topics::delete(&setup.bootstrap, &made)?;
    Ok((Figures::of(&outcome, records), content))
}

/// A row of the table.
#[derive(Debug, Clone, Copy)]
struct Figures {
    seconds: f64,
    rate: f64,
    cpu_per_million: f64,
    peak_mib: f64,
}

impl Figures {
    fn of(outcome: &Outcome, records: u32) -> Self {
        let (used, records) = (outcome.used, f64::from(records));
        let kib = u32::try_from(used.peak_rss_bytes / 1024).unwrap_or(u32::MAX);
        Self {
            seconds: used.seconds,
            rate: records / used.seconds,
            cpu_per_million: used.cpu_seconds / records * 1e6,
            peak_mib: f64::from(kib) / 1024.0,
        }
    }

    fn line(&self, name: &str) -> String {
        let Self { seconds, rate, cpu_per_million, peak_mib } = self;
        format!("{name:12}{seconds:9.2}{rate:12.0}{cpu_per_million:16.2}{peak_mib:12.0}")
    }
}

/// Medians and ratios.
fn report(all: &BTreeMap<&str, Vec<Figures>>) {
    let medians: Vec<(&str, Figures)> =
        all.iter().map(|(name, rows)| (*name, medians(rows))).collect();
    println!("medians:");
    for (name, row) in &medians {
        println!("{}", row.line(name));
    }
    if let [(_, floor), (_, watershed)] = medians[..] {
        println!(
            "watershed / floor: rate {:.0} %, CPU {:.2} times",
            watershed.rate / floor.rate * 100.0,
            watershed.cpu_per_million / floor.cpu_per_million
        );
    }
    println!(
        "compared: log_split exactly once on 2 workers, epochs of 1 s, state in fjall; with \
         consume, parse and transactional produce of as many bytes on 1 thread without any engine"
    );
}

fn medians(rows: &[Figures]) -> Figures {
    let median = |figure: fn(&Figures) -> f64| {
        let mut figures: Vec<f64> = rows.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    };
    Figures {
        seconds: median(|row| row.seconds),
        rate: median(|row| row.rate),
        cpu_per_million: median(|row| row.cpu_per_million),
        peak_mib: median(|row| row.peak_mib),
    }
}

/// Of the last minute: other work on the machine spoils rates, ratios less.
fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}
