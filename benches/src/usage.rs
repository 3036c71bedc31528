//! What this process uses: time on the wall, processor seconds of all its threads, memory.

use std::time::Instant;

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc/self/stat`; 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// A measurement under way.
pub(crate) struct Measured {
    started: Instant,
    cpu_seconds: f64,
}

/// What was used between begin and end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Used {
    /// On the wall.
    pub(crate) seconds: f64,
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Greatest resident set since the process was started.
    pub(crate) peak_rss_bytes: u64,
}

impl Measured {
    /// Begins now.
    pub(crate) fn begin() -> Result<Self> {
        Ok(Self { started: Instant::now(), cpu_seconds: cpu_seconds()? })
    }

    /// Ends now.
    pub(crate) fn end(&self) -> Result<Used> {
        Ok(Used {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds()? - self.cpu_seconds,
            peak_rss_bytes: peak_rss_bytes()?,
        })
    }
}

/// Fields 14 and 15, counted from behind the name, which may hold blanks.
fn cpu_seconds() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, behind_name) = stat.rsplit_once(") ").context("no name in /proc/self/stat")?;
    let fields: Vec<&str> = behind_name.split(' ').collect();
    let ticks = |index: usize| -> Result<f64> {
        Ok(fields.get(index).context("too few fields in /proc/self/stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

fn peak_rss_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()).context("no VmHWM")?;
    Ok(kib.parse::<u64>()? * 1024)
}
