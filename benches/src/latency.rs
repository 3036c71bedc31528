//! Latency of the log split: from producing a record of `ods_log` to its page or start record visible to
//! a reader of committed records, at 20 000 records a second, with epochs of 200 ms and of 1 s.
//!
//! The real binary between topics of a real broker, both on this machine with the feeder and the reader.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use jobs::dwd::log_split::{NAME, ODS_LOG, TOPICS};
use jobs::outside::{dead_topic, future_topic};

use crate::brokers::Brokers;
use crate::figures::{Figure, quantile};
use crate::live_logs::{Feeder, Reader, now_ms};
use crate::options::Options;
use crate::pair::Scale;
use crate::product::Product;
use crate::topics;
use crate::usage::{cpu_seconds, peak_rss_bytes};

/// Name of the bench.
pub(crate) const NAME_OF_BENCH: &str = "latency";
/// Records a second.
const RATE: u64 = 20_000;
/// Seconds measured.
const SECONDS: Scale = Scale { full: 30, quick: 8 };
/// What comes before is not measured: clients connect, code is read from the disk.
const WARM: Duration = Duration::from_secs(8);
const EPOCHS_MS: [u32; 2] = [200, 1_000];

/// Measures and prints.
pub(crate) fn measure(options: &Options, brokers: &Brokers) -> Result<Vec<Figure>> {
    Product::build()?;
    let seconds = options.scale(SECONDS);
    println!(
        "\nlatency: {RATE} records/s for {seconds} s, log_split in the real binary, 2 workers"
    );
    println!(
        "epoch ms   records     p50 ms     p99 ms     max ms   CPU s/million   peak MiB   units waiting"
    );
    let mut figures = Vec::new();
    for epoch_ms in EPOCHS_MS {
        figures.extend(one(epoch_ms, seconds, &brokers.first()?)?);
    }
    Ok(figures)
}

/// The topics that are read; those of other records are only written.
fn names(prefix: &str) -> (Vec<String>, Vec<String>) {
    let name = |name: &str| format!("{prefix}{name}");
    let read = vec![name(TOPICS[0]), name(TOPICS[1])];
    let mut all = TOPICS.map(name).to_vec();
    all.extend([ODS_LOG, &dead_topic(NAME), &future_topic(NAME)].map(name));
    (read, all)
}

fn one(epoch_ms: u32, seconds: u32, bootstrap: &str) -> Result<Vec<Figure>> {
    let prefix = format!("latency_{epoch_ms}_");
    let (read, all) = names(&prefix);
    topics::make(bootstrap, &all)?;
    let dir = tempfile::tempdir()?;
    let jobs = dir.path().join("jobs.toml");
    std::fs::write(&jobs, job_file(epoch_ms, &prefix, bootstrap, bootstrap))?;
    let jobs = jobs.to_string_lossy();
    let product = Product::start(&dir.path().join("data"), &["run", &jobs, "--workers", "2"])?;
    let reader = Reader::start(bootstrap, &read)?;
    let feeder = Feeder::start(bootstrap, &format!("{prefix}{ODS_LOG}"), RATE)?;
    let begun = Instant::now();
    let (mut latencies, mut before) = (Vec::new(), None);
    let end = WARM + Duration::from_secs(u64::from(seconds));
    while begun.elapsed() < end {
        let stamp = reader.next(Duration::from_millis(5))?;
        if begun.elapsed() < WARM {
            continue;
        }
        if before.is_none() {
            before = Some((cpu_seconds(&product.engine()?)?, feeder.sent()));
        }
        latencies.extend(stamp.map(|stamp| milliseconds(now_ms() - stamp)));
    }
    let (engine, waiting) = (product.engine()?, undelivered(&product.status()?));
    let (cpu_before, sent_before) = before.unwrap_or_default();
    let (cpu, sent) = (cpu_seconds(&engine)? - cpu_before, feeder.sent() - sent_before);
    let peak = crate::figures::mib(peak_rss_bytes(&engine)?);
    feeder.stop()?;
    product.stop()?;
    topics::delete(bootstrap, &all)?;
    ensure!(sent > RATE / 2 * u64::from(seconds), "only {sent} records were produced");
    ensure!(!latencies.is_empty(), "no record came through");
    let [p50, p99, max] = [50, 99, 100].map(|percent| quantile(&latencies, percent));
    let per_million = cpu / sent_millions(sent);
    println!(
        "{epoch_ms:8}{:10}{p50:11.0}{p99:11.0}{max:11.0}{per_million:16.2}{peak:11.0}{waiting:>16}",
        latencies.len()
    );
    let name = |what: &str| format!("epoch_{epoch_ms}ms_{what}");
    Ok(vec![
        Figure::less_is_better(&name("p50_ms"), p50),
        Figure::less_is_better(&name("p99_ms"), p99),
        Figure::told(&name("max_ms"), max),
        Figure::told(&name("cpu_s_per_million"), per_million),
        Figure::told(&name("peak_mib"), peak),
    ])
}

/// Units in the outbox, as `status` says; where there are more than a few, the sink is what latency is made
/// of.
fn undelivered(status: &str) -> String {
    let head = status.lines().find_map(|line| line.strip_suffix(" units undelivered"));
    head.and_then(|line| line.rsplit(' ').next()).unwrap_or("?").to_owned()
}

/// A log split that reads from one broker and writes to one, maybe another.
pub(crate) fn job_file(epoch_ms: u32, prefix: &str, from: &str, to: &str) -> String {
    format!(
        "[engine]\nepoch.interval = \"{epoch_ms}ms\"\n\
         [source.ods_log]\nconnector = \"kafka\"\ntopic = \"{prefix}{ODS_LOG}\"\n\
         properties.bootstrap.servers = \"{from}\"\n\
         [topics]\nconnector = \"kafka\"\nprefix = \"{prefix}\"\n\
         sink.transactional-id-prefix = \"{prefix}\"\nsink.progress-topic = \"{prefix}progress\"\n\
         properties.bootstrap.servers = \"{to}\"\n\
         [[job]]\nname = \"{NAME}\"\n"
    )
}

#[expect(clippy::cast_precision_loss, reason = "a time span")]
fn milliseconds(span: i64) -> f64 {
    span as f64
}

#[expect(clippy::cast_precision_loss, reason = "a few millions")]
fn sent_millions(sent: u64) -> f64 {
    sent as f64 / 1e6
}
