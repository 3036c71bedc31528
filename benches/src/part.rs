//! One part of a pair, in a process of its own, so that memory and processor time of two do not mix.
//!
//! The bench starts itself with a hidden command; the part says what it has used in one line.

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::pair::{Content, Given, Kind, Outcome, Pair};
use crate::usage::Used;

/// The hidden command.
pub(crate) const COMMAND: &str = "part";

/// Runs a part of the bench `name` in a child process, on these processors (`0` or `0,1`) only, if any
/// are given.
pub(crate) fn run(name: &str, kind: Kind, given: &Given, on: Option<&str>) -> Result<Outcome> {
    let own = std::env::current_exe()?;
    let mut command = match on {
        None => Command::new(own),
        Some(processors) => {
            let mut pinned = Command::new("taskset");
            pinned.args(["-c", processors]).arg(own);
            pinned
        }
    };
    let child = command
        .args([COMMAND, name, kind.name(), &given.records.to_string()])
        .args([&given.bootstrap, &given.prefix, &given.workers.to_string()])
        .arg(&given.dir)
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(child.status.success(), "the {} ended with {}", kind.name(), child.status);
    let line = String::from_utf8(child.stdout)?;
    said(&line).with_context(|| format!("the {} said {line:?}", kind.name()))
}

/// Does the work in this process and prints the figures.
pub(crate) fn work(pairs: &[&Pair], words: &[String]) -> Result<()> {
    let [name, kind, records, bootstrap, prefix, workers, dir] = words else {
        bail!("{COMMAND} is not for people");
    };
    let pair = pairs.iter().find(|pair| pair.name == name).context("no such bench")?;
    let given = Given {
        dir: dir.into(),
        records: records.parse().context("a number of records")?,
        bootstrap: bootstrap.clone(),
        prefix: prefix.clone(),
        workers: workers.parse().context("a number of workers")?,
    };
    let part = if kind == Kind::Floor.name() { pair.floor } else { pair.whole };
    let Outcome { used, written } = part(&given)?;
    let Used { seconds, cpu_seconds, peak_rss_bytes, allocations } = used;
    let Content { records, bytes } = written;
    println!("{seconds} {cpu_seconds} {peak_rss_bytes} {allocations} {records} {bytes}");
    Ok(())
}

fn said(line: &str) -> Result<Outcome> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let [seconds, cpu_seconds, peak_rss_bytes, allocations, records, bytes] = words[..] else {
        bail!("six figures were expected");
    };
    let used = Used {
        seconds: seconds.parse()?,
        cpu_seconds: cpu_seconds.parse()?,
        peak_rss_bytes: peak_rss_bytes.parse()?,
        allocations: allocations.parse()?,
    };
    let written = Content { records: records.parse()?, bytes: bytes.parse()? };
    Ok(Outcome { used, written })
}
