//! Benches: what the product does beside what the bare clients do, in the same run.
//!
//! ```text
//! cargo run --release -p benches -- log_split [--records N] [--runs N]
//! cargo run --release -p benches -- dim_routing [--records N] [--runs N]
//! ```
//!
//! Always build them optimised. Figures of one machine may be compared with each other; of two
//! machines, or of a busy one, only the ratios may. Results so far: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "printing the figures is what benches are for")]

mod dim_routing;
mod log_split;
mod topics;
mod usage;

use anyhow::{Context as _, Result, bail};

/// The allocator of the product (engine specification 24.4).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "usage: benches log_split|dim_routing [--records N] [--runs N]";

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"log_split", options)) => {
            let records = option(options, "--records")?.unwrap_or(log_split::RECORDS);
            let runs = option(options, "--runs")?.unwrap_or(log_split::RUNS);
            log_split::bench(records, runs)
        }
        Some((&"dim_routing", options)) => {
            let records = option(options, "--records")?.unwrap_or(dim_routing::RECORDS);
            let runs = option(options, "--runs")?.unwrap_or(dim_routing::RUNS);
            dim_routing::bench(records, runs)
        }
        Some((&dim_routing::COMMAND, options)) => dim_routing::work(options),
        // Started by the bench itself, so that figures of two parts do not mix.
        Some((&log_split::part::COMMAND, options)) => log_split::part::work(options),
        Some(_) | None => bail!("{USAGE}"),
    }
}

/// The number behind `name`, if it is there.
fn option(options: &[&str], name: &str) -> Result<Option<u32>> {
    for pair in options.chunks(2) {
        match pair {
            [key, value] if *key == name => {
                let number = value.parse().with_context(|| format!("{name} {value}; {USAGE}"))?;
                return Ok(Some(number));
            }
            ["--records" | "--runs", _] => {}
            _ => bail!("{USAGE}"),
        }
    }
    Ok(None)
}
