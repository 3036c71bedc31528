//! What this process uses: time on the wall, processor seconds of all its threads, memory, allocations.

use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use tikv_jemalloc_ctl::stats_print::{Options, stats_print};

/// Ticks per second in `/proc/self/stat`; 100 on every Linux that Rust supports.
const TICKS: f64 = 100.0;

/// A measurement under way.
pub(crate) struct Measured {
    started: Instant,
    cpu_seconds: f64,
    allocations: u64,
}

/// What was used between begin and end.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Used {
    /// On the wall.
    pub(crate) seconds: f64,
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Greatest resident set since the process was started.
    pub(crate) peak_rss_bytes: u64,
    /// Allocations of our code; those of C libraries are not among them.
    pub(crate) allocations: u64,
}

impl Measured {
    /// Begins now.
    pub(crate) fn begin() -> Result<Self> {
        let allocations = allocations()?;
        Ok(Self { started: Instant::now(), cpu_seconds: cpu_seconds("self")?, allocations })
    }

    /// Ends now.
    pub(crate) fn end(&self) -> Result<Used> {
        Ok(Used {
            seconds: self.started.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds("self")? - self.cpu_seconds,
            peak_rss_bytes: peak_rss_bytes("self")?,
            allocations: allocations()? - self.allocations,
        })
    }
}

/// User and system time of a process, by its id or `self`: fields 14 and 15, counted from behind the
/// name, which may hold blanks.
pub(crate) fn cpu_seconds(process: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, behind_name) = stat.rsplit_once(") ").context("no name in /proc/self/stat")?;
    let fields: Vec<&str> = behind_name.split(' ').collect();
    let ticks = |index: usize| -> Result<f64> {
        Ok(fields.get(index).context("too few fields in /proc/self/stat")?.parse()?)
    };
    Ok((ticks(11)? + ticks(12)?) / TICKS)
}

/// Greatest resident set of a process, by its id or `self`.
pub(crate) fn peak_rss_bytes(process: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|text| text.split_whitespace().next()).context("no VmHWM")?;
    Ok(kib.parse::<u64>()? * 1024)
}

/// How often memory was asked for since the process began, by the allocator's own statistics. What a
/// thread has asked for lately is missing until it ends or fills its cache anew: a few thousand.
fn allocations() -> Result<u64> {
    let mut text = Vec::new();
    let mut options = Options::default();
    options.json_format = true;
    options.skip_constants = true;
    options.skip_per_arena = true;
    options.skip_bin_size_classes = true;
    options.skip_large_size_classes = true;
    options.skip_mutex_statistics = true;
    stats_print(&mut text, options)?;
    requests(&String::from_utf8(text)?)
}

/// Requests of small and large pieces, all arenas together.
fn requests(json: &str) -> Result<u64> {
    let (_, merged) = json.split_once("\"merged\"").context("no statistics of all arenas")?;
    let of = |size: &str| -> Result<u64> {
        let (_, part) = merged.split_once(size).with_context(|| format!("no {size}"))?;
        let (_, number) = part.split_once("\"nrequests\":").context("no nrequests")?;
        let digits = number.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        digits.parse().map_err(|error| anyhow!("{digits:?}: {error}"))
    };
    Ok(of("\"small\"")? + of("\"large\"")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_of_ended_threads_are_counted() {
        let before = allocations().unwrap();
        let many = || (0..100_000_u64).map(Box::new).collect::<Vec<_>>().len();
        assert_eq!(std::thread::spawn(many).join().unwrap(), 100_000);
        let made = allocations().unwrap() - before;
        assert!((100_000..110_000).contains(&made), "{made}");
    }

    #[test]
    fn statistics_are_read_by_name() {
        let text = r#"{"merged":{"nthreads":1,"small":{"nmalloc":5,"nrequests":7,"nfills":1},"large":{"nrequests":2}}}"#;
        assert_eq!(requests(text).unwrap(), 9);
        assert!(requests("{}").is_err());
    }
}
