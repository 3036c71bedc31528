//! Dimension routing, embedded topic to embedded tables, beside its floor.
//!
//! ```text
//!   ods_db ──> floor:     read . parse the envelope
//!          └─> watershed: read . parse . gate . pick columns . outbox . tables
//! ```
//!
//! A third of the records belongs to dimension tables, the rest to facts that nobody asks for. Both
//! parts read the same topic files, each in a process of its own. Measured are seconds and processor
//! seconds from the first record to the last row in its table; the floor writes nothing.

mod feed;
mod floor;
mod whole;

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::usage::Used;

/// Records unless told otherwise.
pub(crate) const RECORDS: u32 = 600_000;
/// Pairs unless told otherwise.
pub(crate) const RUNS: u32 = 3;
/// The hidden command.
pub(crate) const COMMAND: &str = "dim_routing-part";

const KINDS: [&str; 2] = ["floor", "watershed"];

/// Measures and prints.
pub(crate) fn bench(records: u32, runs: u32) -> Result<()> {
    ensure!(records > 0 && runs > 0, "nothing to do");
    let fed = tempfile::tempdir()?;
    let bytes = feed::feed(fed.path(), records)?;
    println!("{records} records of ods_db, {} MB", bytes / 1_000_000);
    println!(
        "{:12}{:>9}{:>12}{:>18}{:>12}",
        "", "seconds", "records/s", "per CPU second", "peak MiB"
    );
    let mut all = [Vec::new(), Vec::new()];
    for run in 1..=runs {
        for (kind, rows) in KINDS.into_iter().zip(&mut all) {
            let used = measured(kind, fed.path(), records)?;
            println!("{}", line(&format!("{kind} {run}"), &used, records));
            rows.push(used);
        }
    }
    println!("medians:");
    let medians = all.map(|rows| median(rows));
    for (kind, used) in KINDS.into_iter().zip(&medians) {
        println!("{}", line(kind, used, records));
    }
    let [floor, watershed] = medians;
    println!("watershed / floor: CPU {:.2} times", watershed.cpu_seconds / floor.cpu_seconds);
    Ok(())
}

/// One part, in a process of its own, on a copy of what was fed.
fn measured(kind: &str, fed: &Path, records: u32) -> Result<Used> {
    let dir = tempfile::tempdir()?;
    let copied =
        Command::new("cp").arg("-r").arg(fed.join(".")).arg(dir.path()).status()?.success();
    ensure!(copied, "could not copy {}", fed.display());
    let child = Command::new(std::env::current_exe()?)
        .args([COMMAND, kind])
        .arg(dir.path())
        .arg(records.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(child.status.success(), "the {kind} ended with {}", child.status);
    let said = String::from_utf8(child.stdout)?;
    let words: Vec<&str> = said.split_whitespace().collect();
    let [seconds, cpu_seconds, peak_rss_bytes] = words[..] else { bail!("it said {said:?}") };
    Ok(Used {
        seconds: seconds.parse()?,
        cpu_seconds: cpu_seconds.parse()?,
        peak_rss_bytes: peak_rss_bytes.parse()?,
    })
}

/// Does the work of a part and prints its figures.
pub(crate) fn work(words: &[&str]) -> Result<()> {
    let [kind, dir, records] = words[..] else { bail!("{COMMAND} is not for people") };
    let records = records.parse().context("a number of records")?;
    let part = if kind == KINDS[0] { floor::run } else { whole::run };
    let Used { seconds, cpu_seconds, peak_rss_bytes } = part(Path::new(dir), records)?;
    println!("{seconds} {cpu_seconds} {peak_rss_bytes}");
    Ok(())
}

fn line(name: &str, used: &Used, records: u32) -> String {
    let records = f64::from(records);
    let mib = u32::try_from(used.peak_rss_bytes / (1 << 20)).unwrap_or(u32::MAX);
    let (rate, per_cpu) = (records / used.seconds, records / used.cpu_seconds);
    format!("{name:12}{:9.2}{rate:12.0}{per_cpu:18.0}{mib:12}", used.seconds)
}

fn median(mut rows: Vec<Used>) -> Used {
    rows.sort_by(|a, b| a.cpu_seconds.total_cmp(&b.cpu_seconds));
    rows[rows.len() / 2]
}
