//! A bench that does the same work twice: as a floor without engine, and as the engine does it.
//!
//! ```text
//!   feed ──> a directory (and topics) ──copied──> floor, a process ──> figures, what it has written
//!                                      └─copied──> watershed, a process ──> likewise
//! ```
//!
//! The pairs run in turn, several times; the medians are compared. What both have written is
//! counted in the same way, and another number is an error: who writes less is not faster.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::brokers::Brokers;
use crate::embedded::WORKERS;
use crate::figures::{Figure, Row};
use crate::options::Options;
use crate::part;
use crate::topics;
use crate::usage::Used;

/// The description of such a bench.
pub(crate) struct Pair {
    /// Its name on the command line and in the results.
    pub(crate) name: &'static str,
    /// What it does, and what its floor does: a line for the reader of the table.
    pub(crate) about: &'static str,
    /// Records read, unless told otherwise.
    pub(crate) records: Scale,
    /// The topics of a bench with a broker; `None` without one.
    pub(crate) kafka: Option<KafkaTopics>,
    /// How far what both have written may differ, in percent: not at all, except where the floor
    /// leaves out to put records in order.
    pub(crate) tolerance_percent: u64,
    /// Makes the input in the directory (and broker) it is given; not measured. Answers how many
    /// records there are.
    pub(crate) feed: fn(&Given) -> Result<u32>,
    /// The floor.
    pub(crate) floor: fn(&Given) -> Result<Outcome>,
    /// The engine.
    pub(crate) whole: fn(&Given) -> Result<Outcome>,
}

/// How much is done: in full, and with `--quick`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    pub(crate) full: u32,
    pub(crate) quick: u32,
}

/// Topics by the prefix of a part.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KafkaTopics {
    /// The input, without prefix.
    pub(crate) input: &'static str,
    /// What both write; made before the floor begins, while the job makes its own.
    pub(crate) outputs: fn(&str) -> Vec<String>,
    /// What else the job makes.
    pub(crate) sides: fn(&str) -> Vec<String>,
}

/// What a part is given.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// A directory of its own, with all that was fed.
    pub(crate) dir: PathBuf,
    /// Records to be read; to the feed: to be made.
    pub(crate) records: u32,
    /// Address of the broker, or empty.
    pub(crate) bootstrap: String,
    /// Begins the names of its topics in the broker.
    pub(crate) prefix: String,
    /// Workers of the engine.
    pub(crate) workers: usize,
}

/// Records, and bytes of their keys and values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) records: u64,
    pub(crate) bytes: u64,
}

/// What a part has used and written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) used: Used,
    pub(crate) written: Content,
}

/// Which part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Without an engine.
    Floor,
    /// The job.
    Watershed,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Floor, Self::Watershed];

    /// In the table, and in the hidden command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Watershed => "watershed",
        }
    }
}

impl Pair {
    /// Measures and prints.
    pub(crate) fn measure(&self, options: &Options, brokers: &Brokers) -> Result<Vec<Figure>> {
        let wanted = options.scale(self.records);
        let fed = tempfile::tempdir()?;
        let bootstrap = match self.kafka {
            Some(topics) => {
                let bootstrap = brokers.first()?;
                topics::make(&bootstrap, &[topics.input.to_owned()])?;
                bootstrap
            }
            None => String::new(),
        };
        let dir = fed.path().to_owned();
        let given =
            Given { dir, records: wanted, bootstrap, prefix: String::new(), workers: WORKERS };
        let records = (self.feed)(&given)?;
        println!("\n{}: {records} records; {}", self.name, self.about);
        let rows = self.rows(&Given { records, ..given.clone() }, options.runs(self.kafka));
        if let Some(topics) = self.kafka {
            topics::delete(&given.bootstrap, &[topics.input.to_owned()])?;
        }
        let [floor, whole] = rows?;
        let mut figures = vec![Figure::told("records", f64::from(records))];
        figures.extend(whole.figures(&floor));
        Ok(figures)
    }

    /// All runs; the medians of both kinds.
    fn rows(&self, fed: &Given, runs: u32) -> Result<[Row; 2]> {
        println!("{}", Row::HEADER);
        let (mut all, mut first) = ([Vec::new(), Vec::new()], None);
        for run in 1..=runs {
            for (kind, rows) in Kind::ALL.into_iter().zip(&mut all) {
                let outcome = self.part(kind, run, fed)?;
                let row = Row::of(&outcome.used, fed.records);
                println!("{}", row.line(&format!("{} {run}", kind.name())));
                rows.push(row);
                self.compare(outcome.written, *first.get_or_insert(outcome.written))?;
            }
        }
        let medians = all.map(|rows| Row::median(&rows));
        for (kind, row) in Kind::ALL.into_iter().zip(&medians) {
            println!("{}", row.line(&format!("{}, median", kind.name())));
        }
        let [floor, whole] = &medians;
        println!("{}", whole.beside(floor));
        if let Some(Content { records, bytes }) = first {
            println!("each wrote {records} records, {:.1} MB", mb(bytes));
        }
        Ok(medians)
    }

    fn compare(&self, written: Content, first: Content) -> Result<()> {
        let near = |a: u64, b: u64| a.abs_diff(b) * 100 <= b * self.tolerance_percent;
        ensure!(
            near(written.records, first.records) && near(written.bytes, first.bytes),
            "{written:?} was written, by the first {first:?}"
        );
        Ok(())
    }

    /// One part, in a process of its own, on a copy of what was fed.
    fn part(&self, kind: Kind, run: u32, fed: &Given) -> Result<Outcome> {
        let dir = tempfile::tempdir()?;
        copy(&fed.dir, dir.path())?;
        let prefix = format!("{}_{}_{run}_", self.name, kind.name());
        let given = Given { dir: dir.path().to_owned(), prefix, ..fed.clone() };
        let Some(topics) = self.kafka else { return part::run(self.name, kind, &given, None) };
        let mut made = (topics.outputs)(&given.prefix);
        if kind == Kind::Floor {
            topics::make(&given.bootstrap, &made)?;
        }
        let outcome = part::run(self.name, kind, &given, None)?;
        if kind == Kind::Watershed {
            made.extend((topics.sides)(&given.prefix));
        }
        topics::delete(&given.bootstrap, &made)?;
        Ok(outcome)
    }
}

/// Copies what was fed.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = Command::new("cp").arg("-r").arg(from.join(".")).arg(to).status();
    let copied = copied.context("could not start cp")?.success();
    ensure!(copied, "could not copy {}", from.display());
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "to be read")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
