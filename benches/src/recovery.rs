//! Recovery with large state: how long after `kill -9` the first new output is there, embedded, with
//! 100 MB and with 1 GB of keyed state.
//!
//! A directory is filled by the jobs of the logs: every record is of a device of its own, so each
//! leaves state of `log_split`, `unique_visitor` and `page_view`. Then the real binary goes on with a
//! live demo on it, its engine is killed, and the next record that becomes visible is waited for, as
//! in `tests/after_kill.rs`. Each kill is the first of its supervisor.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use engine::source::SourceFactory;
use jobs::Job;
use jobs::dwd::log_split::{ODS_LOG, TOPICS};
use jobs::generate::numbered::Numbered;

use crate::embedded::Embedded;
use crate::figures::{Figure, mib, quantile};
use crate::live_logs::now_ms;
use crate::options::Options;
use crate::product::Product;
use crate::usage::{cpu_seconds, peak_rss_bytes};

/// Name of the bench.
pub(crate) const NAME: &str = "recovery";
const PAGES: &str = TOPICS[0];
/// Odd, so that there is one in the middle.
const KILLS: u32 = 3;
/// So long the engine runs before it is killed.
const STEADY: Duration = Duration::from_millis(3_500);
/// Records a second of the live demo.
const RATE: &str = "2000";
/// Devices that leave about 100 MB, and about 1 GB.
const DEVICES: [(&str, u64); 2] = [("100mb", 495_000), ("1gb", 4_680_000)];

/// Measures and prints.
pub(crate) fn measure(options: &Options) -> Result<Vec<Figure>> {
    Product::build()?;
    println!("\nrecovery: kill -9 to first new output, demo --rate {RATE}, 2 workers, embedded");
    println!("state MB   on disk MB     p50 s   of                  CPU s   peak MiB");
    let mut figures = Vec::new();
    let sizes = if options.quick { 1 } else { DEVICES.len() };
    for (name, devices) in DEVICES.into_iter().take(sizes) {
        let dir = tempfile::tempdir()?;
        let data = dir.path().join("data");
        let state = fill(&data, devices)?;
        let disk = bytes_below(&data.join("state/db"))?;
        let (mut seconds, mut cpu, mut peak) = (Vec::new(), Vec::new(), 0);
        for kill in 0..options.runs.unwrap_or(KILLS) {
            let wait = Duration::from_millis(u64::from(kill) * 377 % 1_000);
            let killed = killed(&data, wait)?;
            seconds.push(killed.seconds);
            cpu.push(killed.cpu_seconds);
            peak = peak.max(killed.peak_rss_bytes);
        }
        let (p50, cpu) = (quantile(&seconds, 50), quantile(&cpu, 50));
        let all: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.2}")).collect();
        println!(
            "{:8.0}{:13.0}{p50:10.2}   {:20}{cpu:5.2}{:11.0}",
            mb(state),
            mb(disk),
            all.join(" "),
            mib(peak)
        );
        let figure = |what: &str| format!("state_{name}_{what}");
        figures.push(Figure::less_is_better(&figure("p50_s"), p50));
        figures.push(Figure::less_is_better(&figure("cpu_s"), cpu));
        figures.push(Figure::told(&figure("mb"), mb(state)));
        figures.push(Figure::told(&figure("peak_mib"), mib(peak)));
    }
    Ok(figures)
}

/// Has the jobs fill a directory, which becomes one of a demo; answers the bytes of their state.
fn fill(data: &Path, devices: u64) -> Result<u64> {
    std::fs::create_dir_all(data)?;
    let now = now_ms();
    let embedded = Embedded::open(data)?;
    embedded.feed(ODS_LOG, Devices { devices, last_ms: now - 120_000 })?;
    // Nothing ends, or time would go to its end and forget the day.
    let source = |name: &str| -> Option<std::sync::Arc<dyn SourceFactory>> {
        Some(embedded.endless_source(name))
    };
    embedded.run_until(devices, |embedded| embedded.plans(&Job::LOGS, &source))?;
    std::fs::write(
        data.join("demo.json"),
        format!(
            "{{\"format\":1,\"seed\":1,\"stream\":{{\"live\":{{\"rate\":{RATE},\"start_ms\":{}}}}}}}",
            now - 60_000
        ),
    )?;
    let bytes = embedded.state_bytes()?;
    ensure!(bytes > devices * 60, "only {bytes} bytes of state for {devices} devices");
    Ok(bytes)
}

/// What came of a kill.
struct Killed {
    /// Until the next record was visible.
    seconds: f64,
    /// Of the new engine, until then: what a machine that has nothing else to do would have waited for.
    cpu_seconds: f64,
    /// The greatest of both engines.
    peak_rss_bytes: u64,
}

/// Starts the demo and kills its engine `wait` after some steady seconds.
fn killed(data: &Path, wait: Duration) -> Result<Killed> {
    let mut product = Product::start(data, &["demo", "--rate", RATE, "--workers", "2"])?;
    // The first answer tells what was there before.
    let first = product.await_more(PAGES, 0)?;
    product.await_more(PAGES, first)?;
    std::thread::park_timeout(STEADY + wait);
    let before = peak_rss_bytes(&product.engine()?)?;
    let killed = Instant::now();
    product.kill_engine()?;
    // Likewise: what was complete when it was killed is visible before anything is new.
    let last = product.await_more(PAGES, 0)?;
    product.await_more(PAGES, last)?;
    let (seconds, engine) = (killed.elapsed().as_secs_f64(), product.engine()?);
    let cpu_seconds = cpu_seconds(&engine)?;
    let peak_rss_bytes = peak_rss_bytes(&engine)?.max(before);
    product.stop()?;
    Ok(Killed { seconds, cpu_seconds, peak_rss_bytes })
}

/// One page record of each device, a millisecond apart.
#[derive(Clone)]
struct Devices {
    devices: u64,
    /// Time of the last one.
    last_ms: i64,
}

impl Numbered for Devices {
    type Cursor = (Self, u64);
    const PARTITION: &'static str = "devices/0";

    fn describe(&self) -> String {
        "devices of a bench".to_owned()
    }

    fn records(&self) -> Option<u64> {
        Some(self.devices)
    }

    fn arrival_ms(&self, _number: u64) -> i64 {
        0
    }

    fn open(&self, number: u64) -> Self::Cursor {
        (self.clone(), number)
    }

    fn number(cursor: &Self::Cursor) -> u64 {
        cursor.1
    }

    fn next(cursor: &mut Self::Cursor, key: &mut Vec<u8>, value: &mut Vec<u8>) -> Option<bool> {
        let (Self { devices, last_ms }, number) = cursor;
        if *number >= *devices {
            return None;
        }
        let mid = format!("device-{:032x}", u128::from(*number) * 0x9E37_79B9_7F4A_7C15_F39C);
        let before = i64::try_from(*devices - *number).expect("a few millions");
        let ts = *last_ms - before;
        let text = format!(
            "{{\"common\":{{\"ar\":\"110000\",\"ch\":\"web\",\"is_new\":\"1\",\"mid\":\"{mid}\",\
             \"vc\":\"v2.1.134\"}},\"page\":{{\"during_time\":5,\"page_id\":\"home\"}},\"ts\":{ts}}}"
        );
        key.extend_from_slice(mid.as_bytes());
        value.extend_from_slice(text.as_bytes());
        *number += 1;
        Some(true)
    }
}

fn bytes_below(dir: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        bytes += match entry.metadata()? {
            found if found.is_dir() => bytes_below(&entry.path())?,
            found => found.len(),
        };
    }
    Ok(bytes)
}

#[expect(clippy::cast_precision_loss, reason = "to be read by people")]
fn mb(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
