//! What a second processor is worth: jobs over embedded topics, with one worker on one processor and
//! with two workers on two.
//!
//! Everything else of the process (sources, writer, the state store's threads) shares those processors,
//! as it does in the product.

use anyhow::{Result, ensure};

use crate::figures::{Figure, Row};
use crate::options::Options;
use crate::pair::{Given, Kind, Outcome, Pair, copy};
use crate::{dim_routing, log_split_topics, part, user_jump, windows};

/// Name of the bench.
pub(crate) const NAME: &str = "two_workers";
/// Workers, and the processors they and all other threads have.
const SETS: [(usize, &str); 2] = [(1, "0"), (2, "0,1")];
const RUNS: u32 = 3;
/// As many times the records of the job's own bench: the beginning and the end of a run, which a second
/// worker does not shorten, take 0.1 to 0.2 s.
const LONGER: u32 = 4;

/// The jobs, from the one that writes most for what it computes to the one that computes most.
const JOBS: [&Pair; 4] =
    [&log_split_topics::PAIR, &dim_routing::PAIR, &user_jump::PAIR, &windows::PAIR];

/// Measures and prints.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    JOBS.iter().map(|pair| of(pair, options)).collect()
}

fn of(pair: &Pair, options: &Options) -> Result<Figure> {
    let fed = tempfile::tempdir()?;
    let records = options.records.unwrap_or_else(|| LONGER * options.scale(pair.records));
    let (bootstrap, prefix) = (String::new(), String::new());
    let given = Given { dir: fed.path().to_owned(), records, bootstrap, prefix, workers: 1 };
    let records = (pair.feed)(&given)?;
    println!("\n{NAME}: {records} records, {}, {}", pair.name, pair.about);
    println!("{}", Row::HEADER);
    let (mut rows, mut first) = ([Vec::new(), Vec::new()], None);
    for run in 1..=options.runs.unwrap_or(RUNS) {
        for ((workers, processors), rows) in SETS.into_iter().zip(&mut rows) {
            let Outcome { used, written } = one(pair, &given, records, workers, processors)?;
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
    Ok(Figure::told(&format!("{}_times_one", pair.name), times))
}

fn one(
    pair: &Pair,
    fed: &Given,
    records: u32,
    workers: usize,
    processors: &str,
) -> Result<Outcome> {
    let dir = tempfile::tempdir()?;
    copy(&fed.dir, dir.path())?;
    let given = Given { dir: dir.path().to_owned(), records, workers, ..fed.clone() };
    part::run(pair.name, Kind::Watershed, &given, Some(processors))
}
