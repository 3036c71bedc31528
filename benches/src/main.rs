//! Benches: what the product does beside what the bare clients do, in the same run.
//!
//! ```text
//! cargo run --release -p benches -- all|<name>... [--quick] [--records N] [--runs N] [--save] [--check]
//! ```
//!
//! A bench is one file: most describe a [`pair::Pair`], the same work done without engine and with
//! it, and what is shared by all (parts in processes of their own, the table, feeding a topic) lies
//! beside them. Always build them optimised. Figures of one machine may be compared with each
//! other; of two machines, or of a busy one, only the ratios may: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "printing the figures is what benches are for")]

mod backfill;
mod backpressure;
mod brokers;
mod dim_routing;
mod embedded;
mod endless;
mod figures;
mod kafka_clients;
mod kafka_ends;
mod latency;
mod live_logs;
mod log_split;
mod log_split_topics;
mod machine;
mod numbered_list;
mod options;
mod pages;
mod pair;
mod part;
mod pass_through;
mod pass_through_kafka;
mod passing;
mod plain_files;
mod product;
mod recovery;
mod results;
mod topics;
mod two_workers;
mod unique_visitor;
mod usage;
mod user_jump;
mod windows;

use anyhow::{Context as _, Result, bail};

use self::brokers::Brokers;
use self::figures::Figure;
use self::options::Options;
use self::pair::Pair;
use self::results::{Results, section};

/// The allocator of the product (engine specification 24.4).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The benches that compare with a floor; those without a broker first, so that none runs beside
/// them.
const PAIRS: [&Pair; 8] = [
    &pass_through::PAIR,
    &log_split_topics::PAIR,
    &unique_visitor::PAIR,
    &user_jump::PAIR,
    &windows::PAIR,
    &dim_routing::PAIR,
    &pass_through_kafka::PAIR,
    &log_split::PAIR,
];

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.split_first() {
        // Started by the bench itself, so that figures of two parts do not mix.
        Some((first, rest)) if first == part::COMMAND => part::work(&PAIRS, rest),
        Some((first, _)) if ["--help", "-h"].contains(&first.as_str()) => {
            help();
            Ok(())
        }
        _ => benches(&Options::read(&words)?),
    }
}

/// The bench that prints and keeps nothing.
const BACKFILL: &str = "backfill";
/// The benches without a floor.
const OTHERS: [&str; 4] =
    [two_workers::NAME, recovery::NAME, latency::NAME_OF_BENCH, backpressure::NAME_OF_BENCH];

/// What there is, and where it is explained.
fn help() {
    println!("{}\n", options::USAGE);
    println!("  with a floor      {}", PAIRS.map(|pair| pair.name).join(" "));
    println!("  without           {} {BACKFILL}", OTHERS.join(" "));
    println!("  --quick           less of everything");
    println!("  --records, --runs instead of the bench's own number, of three runs");
    println!("  --save            keeps the figures in benches/results.toml");
    println!(
        "  --check           ends with 1 where a figure is worse than the kept one by a third"
    );
    println!("\nbenches/README.md says what each measures and how to read the columns.");
}

/// Runs what was asked for, one after the other.
fn benches(options: &Options) -> Result<()> {
    let (brokers, mut results) = (Brokers::default(), Results::load()?);
    let (mut failed, mut worse) = (Vec::new(), Vec::new());
    for name in names(options)? {
        println!("\n{}, load average {}", machine::description()?, machine::load()?);
        match bench(name, options, &brokers) {
            Ok(figures) => {
                let section = section(name, options.quick);
                worse.extend(
                    results.worse(&section, &figures).iter().map(|line| format!("{name}: {line}")),
                );
                if options.save && !figures.is_empty() {
                    results.keep(&section, &figures)?;
                    results.save()?;
                }
            }
            Err(error) => failed.push(format!("{name}: {error:#}")),
        }
    }
    report("worse than the committed table by a third or more", &worse);
    report("failed", &failed);
    if !failed.is_empty() || options.check && !worse.is_empty() {
        std::process::exit(1);
    }
    Ok(())
}

/// The benches that were named; `all` is everything but `backfill`.
fn names(options: &Options) -> Result<Vec<&'static str>> {
    let known: Vec<&str> = PAIRS.iter().map(|pair| pair.name).chain(OTHERS).collect();
    let mut names = Vec::new();
    for asked in &options.names {
        match asked.as_str() {
            "all" => names.extend(&known),
            BACKFILL => names.push(BACKFILL),
            _ => match known.iter().find(|name| *name == asked) {
                Some(name) => names.push(name),
                None => {
                    bail!("no bench {asked:?}; there are all, {}, {BACKFILL}", known.join(", "))
                }
            },
        }
    }
    Ok(names)
}

fn bench(name: &str, options: &Options, brokers: &Brokers) -> Result<Vec<Figure>> {
    match name {
        BACKFILL => {
            backfill::bench(options.records.unwrap_or(backfill::RECORDS))?;
            Ok(Vec::new())
        }
        two_workers::NAME => two_workers::measure(options),
        recovery::NAME => recovery::measure(options),
        latency::NAME_OF_BENCH => latency::measure(options, brokers),
        backpressure::NAME_OF_BENCH => backpressure::measure(options, brokers),
        _ => {
            let pair = PAIRS.into_iter().find(|pair| pair.name == name);
            pair.context("a name of ours")?.measure(options, brokers)
        }
    }
}

fn report(title: &str, lines: &[String]) {
    if !lines.is_empty() {
        println!("\n{title}:\n  {}", lines.join("\n  "));
    }
}
