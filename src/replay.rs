//! `watershed replay IN --out OUT`: recorded files through the warehouse, to the end of input.
//!
//! Runs on the embedded log and tables in `OUT/.watershed` and writes the dumps at the end. Killed at
//! any point and run again with the same OUT, it goes on. The result depends on the input alone, not
//! on workers, epochs or kills.

mod dump;
mod recorded;
mod timeline;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use connectors::file::lines::LinesSourceFactory;
use engine::control::controller::EpochSettings;
use engine::control::registry::SubmitOptions;
use engine::graph::JobPlan;
use engine::random::Random;
use engine::runtime::process::ProcessSettings;
use engine::source::Start;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jobs::{Outside, Settings};

use self::recorded::Recorded;
use self::timeline::{Pacer, Timeline};
use crate::injected::{CrashAt, crash_points};
use crate::usage::Usage;
use crate::warehouse::{Running, TOPIC_PARTITIONS, Warehouse, is_configuration};

/// What `replay` was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Folder with the recorded files.
    pub(crate) input: PathBuf,
    /// Folder for the dumps.
    pub(crate) output: PathBuf,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Length of an epoch.
    pub(crate) epoch: EpochLength,
    /// Seed of a random instant at which the process kills itself.
    pub(crate) kill_at: Option<u64>,
    /// Where the process is to die, for tests.
    pub(crate) crash_at: Vec<CrashAt>,
    /// Whether the last line is a JSON object.
    pub(crate) json: bool,
    /// The switches.
    pub(crate) settings: Settings,
}

/// `--epoch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EpochLength {
    /// Milliseconds: of the timeline where there is one, else of the clock.
    Millis(u64),
    /// Records.
    Rows(u64),
}

impl std::str::FromStr for EpochLength {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: u64 = number.parse().map_err(|_not_a_number| refusal(text))?;
        let length = match unit {
            "ms" => Self::Millis(number),
            "s" => Self::Millis(number.saturating_mul(1_000)),
            "m" => Self::Millis(number.saturating_mul(60_000)),
            "h" => Self::Millis(number.saturating_mul(3_600_000)),
            "rows" => Self::Rows(number),
            _ => return Err(refusal(text)),
        };
        let range = match length {
            Self::Millis(ms) => (1..=3_600_000).contains(&ms),
            Self::Rows(rows) => rows >= 1,
        };
        if range { Ok(length) } else { Err(refusal(text)) }
    }
}

fn refusal(text: &str) -> String {
    format!("epoch \"{text}\": use 1ms to 1h (such as 200ms, 1s) or a number of rows (500rows)")
}

/// Runs the replay.
pub(crate) fn replay(request: &Request) -> Result<()> {
    let started = Instant::now();
    request.settings.check()?;
    let recorded = recorded::find(&request.input)?;
    let timeline = Timeline::read(&request.input, &recorded)?;
    let data = request.output.join(".watershed");
    let warehouse = Warehouse::open(&data, "watershed replay")?;
    let lines = recorded.iter().map(|source| source.lines).sum();
    let bar = progress_bar(lines);
    if !is_done(&data) {
        Replay { request, warehouse: &warehouse, recorded: &recorded, timeline, lines }
            .run(&bar)?;
        mark_done(&data)?;
    }
    bar.finish_and_clear();
    let dumped = dump::dump(&warehouse, &request.output)?;
    summarise(request, lines, started.elapsed(), &dumped);
    Ok(())
}

/// A replay that is not done.
struct Replay<'a> {
    request: &'a Request,
    warehouse: &'a Warehouse,
    recorded: &'a [Recorded],
    timeline: Option<Timeline>,
    /// Records of all files.
    lines: u64,
}

impl Replay<'_> {
    fn run(&self, bar: &ProgressBar) -> Result<()> {
        let Self { request, warehouse, recorded, .. } = self;
        let limits = self.timeline.as_ref().map(|_paced| Pacer::limits(recorded));
        let plans = self.plans(limits.as_deref())?;
        let stamp = match &self.timeline {
            Some(timeline) => timeline.first_stamp_ms(),
            None => kept_stamp(&warehouse.data)?,
        };
        let process = process_settings(request, stamp, self.timeline.is_some());
        let before = records_read(warehouse, recorded)?;
        let read_before: u64 = before.iter().sum();
        let running = warehouse.start(&process, plans, SubmitOptions::default())?;
        if let Some(seed) = request.kill_at {
            kill_at(seed, self.lines, running.emitted.clone());
        }
        let paced = self.timeline.as_ref().zip(limits);
        let mut pacer =
            paced.map(|(timeline, limits)| Pacer::new(timeline, limits, request.epoch, &before));
        let every =
            if pacer.is_some() { Duration::from_micros(200) } else { Duration::from_millis(50) };
        running.wait(every, |running: &Running| {
            let emitted = read_before + running.emitted.load(Ordering::Relaxed);
            bar.set_position(emitted.min(self.lines));
            pacer.as_mut().map_or(Ok(()), |pacer| pacer.step(emitted, &running.handle))
        })
    }

    fn plans(&self, limits: Option<&[Arc<AtomicU64>]>) -> Result<Vec<Arc<JobPlan>>> {
        let absent = self.warehouse.data.join("absent.jsonl");
        std::fs::write(&absent, "")
            .with_context(|| format!("could not write {}", absent.display()))?;
        let source = |name: &str| {
            let index = self.recorded.iter().position(|source| source.name == name);
            let limit = index.and_then(|index| Some(limits?.get(index)?.clone()));
            let path = index.map_or(&absent, |index| &self.recorded[index].path);
            // Without a timeline the configuration was there before everything else.
            let snapshot = is_configuration(name) && limits.is_none();
            LinesSourceFactory { path: path.clone(), limit, snapshot }
        };
        let outside = Outside {
            source: &|name| (Arc::new(source(name)), Start::Earliest),
            topics: &|names| Warehouse::topic_sink(names, TOPIC_PARTITIONS),
            topic_prefix: "",
            table: &|name| self.warehouse.table_sink(name),
            dimensions: &|| self.warehouse.dimension_sink(),
            publish: &|_job| true,
        };
        // A recorded day has no clock: idle time-outs are off.
        let settings = Settings { idle_timeout_ms: 0, ..self.request.settings.clone() };
        Ok(jobs::plans(&recorded::jobs(self.recorded), &settings, &outside)?)
    }
}

fn process_settings(request: &Request, stamp_ms: i64, paced: bool) -> ProcessSettings {
    let (interval_ms, rows_max) = match request.epoch {
        _ if paced => (None, None),
        EpochLength::Millis(ms) => (Some(ms), None),
        EpochLength::Rows(rows) => (None, Some(rows)),
    };
    let mut settings = ProcessSettings::new(request.workers, random_seed());
    // Nobody restarts a replay, and its directory stays beside the dumps: it holds nothing back.
    settings.reserve_bytes = 0;
    settings.crash_points = crash_points(&request.crash_at);
    settings.epoch = EpochSettings {
        interval_ms,
        rows_max,
        fixed_stamp_ms: Some(stamp_ms),
        stop_at_end: true,
        ..EpochSettings::default()
    };
    settings
}

/// Seed of what may differ between two runs: the family id of a new directory.
pub(crate) fn random_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let nanos = now.as_secs() << 30 | u64::from(now.subsec_nanos());
    Random::new(nanos ^ u64::from(std::process::id())).next_u64()
}

/// The time a replay without timeline was first started: later runs use the same.
fn kept_stamp(data: &Path) -> Result<i64> {
    let path = data.join("started_at");
    if let Ok(text) = std::fs::read_to_string(&path) {
        return text.trim().parse().with_context(|| format!("cannot read {}", path.display()));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    std::fs::write(&path, now.to_string())
        .with_context(|| format!("could not write {}", path.display()))?;
    Ok(now)
}

fn done_path(data: &Path) -> PathBuf {
    data.join("done")
}

fn is_done(data: &Path) -> bool {
    done_path(data).exists()
}

fn mark_done(data: &Path) -> Result<()> {
    std::fs::write(done_path(data), "").context("could not mark the replay as done")
}

/// Lines of each source that an earlier, killed run has completed.
fn records_read(warehouse: &Warehouse, recorded: &[Recorded]) -> Result<Vec<u64>> {
    let saved = engine::checkpoint::restore::Saved::read(warehouse.backend.as_ref())?;
    let counters = saved.counters();
    let read = |source: &Recorded| {
        let of_source = counters.iter().filter(|counter| {
            counter.name == "records_in" && counter.labels[0].1 == source.job.name()
        });
        of_source.map(|counter| counter.value).sum()
    };
    Ok(recorded.iter().map(read).collect())
}

/// Kills this process at an instant that depends on the seed: somewhere in the input, and a little
/// later.
fn kill_at(seed: u64, lines: u64, emitted: Arc<AtomicU64>) {
    let mut random = Random::new(seed);
    let record = random.below(lines + 1);
    let pause = Duration::from_micros(random.below(30_000));
    std::thread::spawn(move || {
        while emitted.load(Ordering::Relaxed) < record {
            std::thread::park_timeout(Duration::from_micros(100));
        }
        std::thread::park_timeout(pause);
        let me = rustix::process::getpid();
        let _unreachable = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    });
}

fn progress_bar(lines: u64) -> ProgressBar {
    let bar = ProgressBar::new(lines);
    let style = "{wide_bar} {pos}/{len} records  {per_sec}  {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("a template without faults"));
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

#[expect(clippy::print_stdout, reason = "the summary of a command")]
fn summarise(request: &Request, lines: u64, elapsed: Duration, dumped: &dump::Dumped) {
    let seconds = elapsed.as_secs_f64();
    let usage = Usage::of_this_process();
    if request.json {
        let summary = serde_json::json!({
            "records": lines, "seconds": seconds, "cpu_seconds": usage.cpu_seconds,
            "peak_rss_bytes": usage.peak_rss_bytes, "topics": dumped.topics,
            "dimensions": dumped.dimensions, "tables": dumped.tables, "side": dumped.side,
        });
        println!("{summary}");
        return;
    }
    println!("{lines} records in {seconds:.2} s, {:.0}/s", lines as f64 / seconds.max(1e-9));
    let kinds = [
        ("dim", &dumped.dimensions),
        ("dwd", &dumped.topics),
        ("dws", &dumped.tables),
        ("side", &dumped.side),
    ];
    for (kind, counts) in kinds {
        for (name, rows) in counts {
            println!("  {:>10}  {kind}/{name}.jsonl", rows);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epoch_lengths_are_read_or_refused() {
        let cases = [
            ("1ms", Some(EpochLength::Millis(1))),
            ("1s", Some(EpochLength::Millis(1_000))),
            ("1h", Some(EpochLength::Millis(3_600_000))),
            ("500rows", Some(EpochLength::Rows(500))),
            ("2h", None),
            ("0ms", None),
            ("0rows", None),
            ("s", None),
            ("1", None),
            ("1 day", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<EpochLength>().ok(), expected, "{text}");
        }
    }
}
