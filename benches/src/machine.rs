//! What the figures were taken on: the machine, the day, and what else ran.

use std::process::Command;

use anyhow::{Context as _, Result};

/// How many wanted a processor in the last minute: other work spoils rates, ratios less.
pub(crate) fn load() -> Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split(' ').next().unwrap_or_default().to_owned())
}

/// Processors and memory.
pub(crate) fn description() -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = field(&cpus, "model name").unwrap_or("an unknown processor");
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let kib = field(&memory, "MemTotal").and_then(|text| text.split(' ').next());
    let gib = kib.context("no MemTotal")?.parse::<u64>()? >> 20;
    Ok(format!("{processors} x {model}, {gib} GiB"))
}

/// Today, as the results are dated.
pub(crate) fn date() -> Result<String> {
    let output = Command::new("date").args(["-u", "+%F"]).output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}
