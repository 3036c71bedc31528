//! What a second processor is worth: log split over embedded topics, with one worker on one processor
//! and with two workers on two.
//!
//! Everything else of the process (sources, writer, the state store's threads) shares those processors,
//! as it does in the product.

use anyhow::{Result, ensure};

use crate::figures::{Figure, Row};
use crate::log_split_topics::PAIR;
use crate::options::Options;
use crate::pair::{Given, Kind, Outcome, copy};
use crate::part;

/// Name of the bench.
pub(crate) const NAME: &str = "two_workers";
/// Workers, and the processors they and all other threads have.
const SETS: [(usize, &str); 2] = [(1, "0"), (2, "0,1")];
const RUNS: u32 = 3;

/// Measures and prints.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    let fed = tempfile::tempdir()?;
    let records = options.scale(PAIR.records);
    let (bootstrap, prefix) = (String::new(), String::new());
    let given = Given { dir: fed.path().to_owned(), records, bootstrap, prefix, workers: 1 };
    let records = (PAIR.feed)(&given)?;
    println!("\n{NAME}: {records} records, {}, topic to topics", PAIR.name);
    println!("{}", Row::HEADER);
    let (mut rows, mut first) = ([Vec::new(), Vec::new()], None);
    for run in 1..=options.runs.unwrap_or(RUNS) {
        for ((workers, processors), rows) in SETS.into_iter().zip(&mut rows) {
            let Outcome { used, written } = one(&given, records, workers, processors)?;
            let row = Row::of(&used, records);
            println!("{}", row.line(&format!("{workers} on {workers}, run {run}")));
            rows.push(row);
            let first = *first.get_or_insert(written);
            ensure!(first == written, "{written:?} was written, by the first {first:?}");
        }
    }
    let [one, two] = rows.map(|rows| Row::median(&rows));
    let times = two.rate_beside(&one);
    println!("two workers on two processors: {times:.2} times the rate of one on one (medians)");
    Ok(vec![Figure::told("two_workers_times_one", times)])
}

fn one(fed: &Given, records: u32, workers: usize, processors: &str) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    copy(&fed.dir, dir.path())?;
    let given = Given { dir: dir.path().to_owned(), records, workers, ..fed.clone() };
    part::run(PAIR.name, Kind::Watershed, &given, Some(processors))
}
