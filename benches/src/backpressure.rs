//! A sink that stands still while input goes on: what the engine keeps, what it says, and how soon it
//! has caught up.
//!
//! Two real brokers, the real binary between them. The one that is written to is stopped (SIGSTOP) for
//! two minutes, neither closing connections nor answering; then it goes on. It has caught up once a
//! record that was just produced is visible to a reader of committed records.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jobs::dwd::log_split::{NAME, ODS_LOG, TOPICS};
use jobs::outside::{dead_topic, future_topic};

use crate::brokers::{self, Brokers};
use crate::figures::{Figure, mib};
use crate::latency::job_file;
use crate::live_logs::{Feeder, Reader, now_ms};
use crate::options::Options;
use crate::pair::Scale;
use crate::product::{Product, signal};
use crate::topics;
use crate::usage::peak_rss_bytes;

/// Name of the bench.
pub(crate) const NAME_OF_BENCH: &str = "backpressure";
/// Records a second that come all the time.
const RATE: u32 = 10_000;
/// Seconds the sink stands still.
const SECONDS: Scale = Scale { full: 120, quick: 20 };
/// A record that is visible so soon was not queued; on a busy machine it takes half as long again as most
/// took before the stop.
const LIVE_MS: i64 = 2_500;
/// So long everything runs before the stop.
const STEADY: Duration = Duration::from_secs(8);
const PREFIX: &str = "stopped_";
/// Longest time to catch up.
const LIMIT: Duration = Duration::from_secs(600);

/// Measures and prints.
pub(crate) fn measure(options: &Options, brokers: &Brokers) -> Result<Vec<Figure>> {
    Product::build()?;
    let seconds = options.scale(SECONDS);
    println!(
        "\nbackpressure: {RATE} records/s all the time, the sink's broker stopped for {seconds} s"
    );
    let (from, second) = (brokers.first()?, brokers::start()?);
    let (to, frozen) = (second.bootstrap(), second.pid().context("it runs")?.to_string());
    let name = |name: &str| format!("{PREFIX}{name}");
    topics::make(&from, &[name(ODS_LOG)])?;
    let mut outputs = TOPICS.map(name).to_vec();
    outputs.extend([&dead_topic(NAME), &future_topic(NAME)].map(|topic| name(topic)));
    topics::make(&to, &outputs)?;
    let dir = tempfile::tempdir()?;
    let jobs = dir.path().join("jobs.toml");
    std::fs::write(&jobs, job_file(1_000, PREFIX, &from, &to))?;
    let jobs = jobs.to_string_lossy();
    let product = Product::start(&dir.path().join("data"), &["run", &jobs, "--workers", "2"])?;
    let reader = Reader::start(&to, &[name(TOPICS[0]), name(TOPICS[1])])?;
    let feeder = Feeder::start(&from, &name(ODS_LOG), u64::from(RATE))?;
    let stopped = Stopped { product: &product, reader: &reader, feeder: &feeder };

    stopped.until_live(Instant::now(), 4 * LIVE_MS)?;
    let live_ms = stopped.read_for(STEADY)?;
    let before = product.engine()?;
    let calm = mib(peak_rss_bytes(&before)?);
    let at_stop = feeder.sent();
    signal(&frozen, "STOP")?;
    let seen = stopped.stand(Duration::from_secs(u64::from(seconds)));
    signal(&frozen, "CONT")?;
    let (status, peak_stopped) = seen?;
    let went_on = Instant::now();
    stopped.until_live(went_on, live_ms)?;
    let caught_up = went_on.elapsed().as_secs_f64();
    let queued = f64::from(u32::try_from(feeder.sent() - at_stop)?);
    let after = product.engine()?;
    let peak = mib(peak_rss_bytes(&after)?).max(peak_stopped);
    let multiple = queued / caught_up / f64::from(RATE);
    feeder.stop()?;
    product.stop()?;
    topics::delete(&from, &[name(ODS_LOG)])?;

    println!("peak MiB: before {calm:.0}, while stopped {peak_stopped:.0}, in all {peak:.0}");
    println!(
        "caught up {queued:.0} records in {caught_up:.1} s: {multiple:.1} times the live rate"
    );
    println!("the engine was {}", if before == after { "never restarted" } else { "restarted" });
    println!("status while stopped, its first lines:\n{}", indented(&status));
    ensure!(multiple.is_finite(), "it did not catch up");
    ensure!(status.contains("sinks that stand still"), "status does not name the sink");
    Ok(vec![
        Figure::less_is_better("peak_mib", peak),
        Figure::told("calm_peak_mib", calm),
        Figure::more_is_better("catch_up_times_live", multiple),
        Figure::told("catch_up_s", caught_up),
        Figure::less_is_better("restarts", if before == after { 0.0 } else { 1.0 }),
    ])
}

/// All that runs around the sink.
struct Stopped<'a> {
    product: &'a Product,
    reader: &'a Reader,
    feeder: &'a Feeder,
}

impl Stopped<'_> {
    /// Reads until a record comes that was produced less than `live_ms` ago.
    fn until_live(&self, since: Instant, live_ms: i64) -> Result<()> {
        loop {
            ensure!(since.elapsed() < LIMIT, "not caught up; {}", self.product.said());
            let stamp = self.reader.next(Duration::from_millis(20))?;
            if stamp.is_some_and(|stamp| now_ms() - stamp < live_ms) {
                return Ok(());
            }
        }
    }

    /// Reads for a while; answers within how many milliseconds records are live on this machine.
    fn read_for(&self, time: Duration) -> Result<i64> {
        let (begun, mut delays) = (Instant::now(), Vec::new());
        while begun.elapsed() < time {
            let stamp = self.reader.next(Duration::from_millis(20))?;
            delays.extend(stamp.map(|stamp| now_ms() - stamp));
        }
        delays.sort_unstable();
        let most = delays.get(delays.len() * 9 / 10).copied().unwrap_or_default();
        Ok(LIVE_MS.max(most + most / 2))
    }

    /// Waits; answers what `status` says shortly before the end, and the greatest memory in MiB.
    fn stand(&self, time: Duration) -> Result<(String, f64)> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            std::thread::park_timeout(Duration::from_millis(200));
        }
        ensure!(self.feeder.sent() > 0, "nothing was produced");
        let status = self.product.status()?;
        Ok((status, mib(peak_rss_bytes(&self.product.engine()?)?)))
    }
}

/// What comes before the topics and counters.
fn indented(status: &str) -> String {
    let lines = status.lines().take_while(|line| !line.starts_with("counters"));
    lines.map(|line| format!("  | {line}")).collect::<Vec<_>>().join("\n")
}
