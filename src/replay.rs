//! `watershed replay IN --out OUT`: recorded files through the warehouse, to the end of input.
//!
//! Runs on the embedded log and tables in `OUT/.watershed` and writes the dumps at the end. Killed at
//! any point and run again with the same OUT, it goes on. The result depends on the input alone, not
//! on workers, epochs or kills.

mod dump;
mod timeline;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use connectors::file::lines::LinesSourceFactory;
use engine::control::controller::EpochSettings;
use engine::control::registry::SubmitOptions;
use engine::random::Random;
use engine::runtime::process::ProcessSettings;
use engine::source::Start;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jobs::{Job, Outside, Settings};

use self::timeline::{Pacer, Timeline};
use crate::injected::{CrashAt, crash_points};
use crate::usage::Usage;
use crate::warehouse::{Running, TOPIC_PARTITIONS, Warehouse};

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
    let log = request.input.join("ods_log.jsonl");
    if !log.is_file() {
        bail!(
            "cannot replay {}: it has no ods_log.jsonl (one message per line)",
            request.input.display()
        );
    }
    request.settings.check()?;
    let data = request.output.join(".watershed");
    let lines = count_lines(&log)?;
    let timeline = Timeline::read(&request.input, lines)?;
    let warehouse = Warehouse::open(&data, "watershed replay")?;
    let bar = progress_bar(lines);
    if !is_done(&data) {
        run(request, &warehouse, &log, timeline.as_ref(), lines, &bar)?;
        mark_done(&data)?;
    }
    bar.finish_and_clear();
    let dumped = dump::dump(&warehouse, &request.output)?;
    let left_alone = left_alone(&request.input)?;
    summarise(request, lines, started.elapsed(), &dumped, &left_alone);
    Ok(())
}

fn run(
    request: &Request,
    warehouse: &Warehouse,
    log: &Path,
    timeline: Option<&Timeline>,
    lines: u64,
    bar: &ProgressBar,
) -> Result<()> {
    let limit = timeline.map(|_paced| Arc::new(AtomicU64::new(0)));
    let source = LinesSourceFactory { path: log.to_owned(), limit: limit.clone() };
    let outside = Outside {
        source: &|_topic| (Arc::new(source.clone()), Start::Earliest),
        topics: &|names| Warehouse::topic_sink(names, TOPIC_PARTITIONS),
        table: &|name| warehouse.table_sink(name),
        publish: &|_job| true,
    };
    // A recorded day has no clock: idle time-outs are off.
    let settings = Settings { idle_timeout_ms: 0, ..request.settings.clone() };
    let plans = jobs::plans(&Job::ALL, &settings, &outside)?;
    let stamp = match timeline {
        Some(timeline) => timeline.first_stamp_ms(),
        None => kept_stamp(&warehouse.data)?,
    };
    let process = process_settings(request, stamp, timeline.is_some());
    let read_before = records_read(warehouse)?;
    let running = warehouse.start(&process, plans, SubmitOptions::default())?;
    if let Some(seed) = request.kill_at {
        kill_at(seed, lines, running.emitted.clone());
    }
    let mut pacer = timeline
        .zip(limit)
        .map(|(timeline, limit)| Pacer::new(timeline, limit, request.epoch, read_before));
    let every =
        if pacer.is_some() { Duration::from_micros(200) } else { Duration::from_millis(50) };
    running.wait(every, |running: &Running| {
        let emitted = read_before + running.emitted.load(Ordering::Relaxed);
        bar.set_position(emitted.min(lines));
        pacer.as_mut().map_or(Ok(()), |pacer| pacer.step(emitted, &running.handle))
    })
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
    settings.epoch =
        EpochSettings { interval_ms, rows_max, fixed_stamp_ms: Some(stamp_ms), stop_at_end: true };
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

/// Lines that an earlier, killed run has completed.
fn records_read(warehouse: &Warehouse) -> Result<u64> {
    let saved = engine::checkpoint::restore::Saved::read(warehouse.backend.as_ref())?;
    let of_log = saved.counters().into_iter().filter(|counter| {
        counter.name == "records_in" && counter.labels[0].1 == Job::LogSplit.name()
    });
    Ok(of_log.map(|counter| counter.value).sum())
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

fn count_lines(path: &Path) -> Result<u64> {
    use std::io::Read as _;
    let mut file =
        std::fs::File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let (mut buffer, mut lines, mut last) = (vec![0; 1 << 20], 0, b'\n');
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        last = bytes[bytes.len() - 1];
    }
    Ok(lines + u64::from(last != b'\n'))
}

/// Recorded files of sources that come with later versions, and how many records they hold.
fn left_alone(input: &Path) -> Result<Vec<(&'static str, u64)>> {
    let files = ["ods_db.jsonl", "table_process.jsonl"];
    let present = files.into_iter().filter(|name| input.join(name).is_file());
    present.map(|name| Ok((name, count_lines(&input.join(name))?))).collect()
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
fn summarise(
    request: &Request,
    lines: u64,
    elapsed: Duration,
    dumped: &dump::Dumped,
    left_alone: &[(&str, u64)],
) {
    let seconds = elapsed.as_secs_f64();
    let usage = Usage::of_this_process();
    if request.json {
        let summary = serde_json::json!({
            "records": lines, "seconds": seconds, "cpu_seconds": usage.cpu_seconds,
            "peak_rss_bytes": usage.peak_rss_bytes, "topics": dumped.topics,
            "tables": dumped.tables, "side": dumped.side, "left_alone": left_alone,
        });
        println!("{summary}");
        return;
    }
    println!("{lines} records in {seconds:.2} s, {:.0}/s", lines as f64 / seconds.max(1e-9));
    for (kind, counts) in [("dwd", &dumped.topics), ("dws", &dumped.tables), ("side", &dumped.side)]
    {
        for (name, rows) in counts {
            println!("  {:>10}  {kind}/{name}.jsonl", rows);
        }
    }
    for (name, records) in left_alone {
        println!(
            "  {records:>10}  records of {name} left alone: their jobs come with a later version"
        );
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
