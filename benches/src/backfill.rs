//! Back-fill beside live changes: a table of a million rows is configured late.
//!
//! ```text
//!   source: a million changes of user_info, then a steady stream of sku_info ──> ods_db ──> dimensions
//!   config: the row of sku_info .................. then that of user_info
//! ```
//!
//! Measured: how fast the table is filled, and what that does to the epochs of the live stream (from
//! the order to close to complete), before and meanwhile.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use connectors::file::lines::LinesSourceFactory;
use connectors::kafka::murmur2;
use connectors::topic::source::TopicSourceFactory;
use engine::batch::build::{RawBuilder, raw_schema};
use engine::checkpoint::disk::real::RealDisk;
use engine::checkpoint::layout::{decode_position, space};
use engine::checkpoint::writer::TopicMarks;
use engine::clock::Moment;
use engine::control::handle::Handle;
use engine::control::registry::SubmitOptions;
use engine::error::Fault;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::runtime::process::{Process, ProcessSettings};
use engine::runtime::thread::{SystemClock, run as run_engine};
use engine::source::reread::{Reread, RereadPosition};
use engine::source::{
    Description, Partition, PollBudget, Polled, Position, Replay, Source, SourceBatch,
    SourceFactory, Start,
};
use engine::state::backend::StateBackend;
use engine::state::fjall::{FjallBackend, FjallOptions};
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::ods::ods_db;
use jobs::{Job, Outside, Settings};
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use crate::passing;

/// Rows to be filled unless told otherwise.
pub(crate) const RECORDS: u32 = 1_000_000;
/// Live changes a second.
const RATE: u64 = 10_000;
/// How long the live stream is watched alone.
const ALONE: Duration = Duration::from_secs(30);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(600);
const WORKERS: usize = 2;

/// Measures and prints.
pub(crate) fn bench(records: u32) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let made = Made { burst: u64::from(records) };
    let limit = Arc::new(AtomicU64::new(1));
    std::fs::write(dir.path().join("config.jsonl"), config())?;
    let tables = dir.path().join("store/dim");
    std::fs::create_dir_all(&tables)?;
    let store = DimensionStore::open(&tables)?;
    let marks = TopicMarks::default();
    let db = dir.path().join("state/db");
    std::fs::create_dir_all(&db)?;
    let backend: Arc<dyn StateBackend> =
        Arc::new(FjallBackend::open(&db, FjallOptions::default())?);
    let disk = Arc::new(RealDisk::open(dir.path()).map_err(|error| anyhow!("{error}"))?);
    let settings = ProcessSettings::new(WORKERS, 1);
    let process = Process::open(&settings, disk.clone(), backend.clone(), marks.clone())?;
    let handle = process.handle.clone();
    let mut plans = vec![made.plan()?];
    plans.extend(dimensions(dir.path(), &limit, &store, &marks, disk)?);
    let submitted = handle.submit(plans, SubmitOptions::default())?;
    let engine = std::thread::spawn(move || run_engine(process, Arc::new(SystemClock::default())));

    let mut watch = Watch { handle: handle.clone(), closed: Vec::new(), seen: 0, complete: 0 };
    let until = |watch: &mut Watch, what: &str, reached: &dyn Fn() -> bool| -> Result<Vec<f64>> {
        let (started, mut latencies) = (Instant::now(), Vec::new());
        while !reached() {
            if let Some(Err(refused)) = submitted.take() {
                return Err(refused).context("the engine refused the jobs");
            }
            if started.elapsed() > LIMIT || engine.is_finished() {
                bail!("it did not come to {what}");
            }
            latencies.extend(watch.look());
            std::thread::park_timeout(Duration::from_micros(500));
        }
        Ok(latencies)
    };
    let burst = made.burst;
    let visible = || marks.all().iter().map(|(_, mark)| mark.next_base).sum::<u64>() > burst;
    until(&mut watch, "the end of the burst", &visible)?;
    let calm = Instant::now();
    until(&mut watch, "a calm stream", &|| calm.elapsed() > Duration::from_secs(3))?;
    let alone_from = Instant::now();
    let alone = until(&mut watch, "live epochs", &|| alone_from.elapsed() > ALONE)?;
    let began = Instant::now();
    limit.store(u64::MAX, Ordering::SeqCst);
    until(&mut watch, "the back-fill", &|| is_reading_again(backend.as_ref()))?;
    let filled = || !is_reading_again(backend.as_ref());
    let meanwhile = until(&mut watch, "the end of the back-fill", &filled)?;
    let complete = watch.complete;
    until(&mut watch, "a filled table", &|| settled(&handle) >= complete)?;
    let seconds = began.elapsed().as_secs_f64();
    handle.stop()?;
    engine.join().map_err(|_panic| anyhow!("the engine panicked"))??;
    let tables = store.counts()?;
    let rows = tables.iter().find(|(table, _)| table == "DIM_USER_INFO").map(|(_, rows)| *rows);
    ensure!(rows == Some(burst), "{burst} rows should be there: {tables:?}");

    println!(
        "{burst} rows filled in {seconds:.1} s, {:.0}/s; {RATE} live changes a second",
        f64::from(records) / seconds
    );
    println!("{:22}{:>8}{:>8}{:>8}{:>8}", "epochs, ms to complete", "count", "p50", "p99", "max");
    for (name, latencies) in [("live alone", &alone), ("during the back-fill", &meanwhile)] {
        ensure!(!latencies.is_empty(), "no epoch completed");
        let (p50, p99) = (quantile(latencies, 50), quantile(latencies, 99));
        let max = quantile(latencies, 100);
        println!("{name:22}{:8}{p50:8.1}{p99:8.1}{max:8.1}", latencies.len());
    }
    println!("p99 ratio {:.2}", quantile(&meanwhile, 99) / quantile(&alone, 99));
    Ok(())
}

fn quantile(latencies: &[f64], percent: usize) -> f64 {
    let mut sorted = latencies.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// Whether a table is being filled, by the positions of the checkpoint.
fn is_reading_again(backend: &dyn StateBackend) -> bool {
    let space = space::positions(ods_db::NAME);
    let found = backend.view().and_then(|view| view.scan(&space, &[], &[], 100));
    found.expect("the checkpoint can be read").iter().any(|(key, value)| {
        decode_position(key, value)
            .filter(|(_, record)| Reread::of(&record.partition).is_some())
            .and_then(|(_, record)| RereadPosition::decode(&record.position))
            // At its end it has no parts.
            .is_some_and(|position| !position.parts.is_empty())
    })
}

fn settled(handle: &Handle) -> u64 {
    handle.status().groups.iter().map(|group| group.settled).max().unwrap_or(0)
}

/// Epochs of the group as they close and complete.
struct Watch {
    handle: Handle,
    closed: Vec<(u64, Instant)>,
    seen: u64,
    complete: u64,
}

impl Watch {
    /// Milliseconds from close to complete of the epochs that have completed since the last look.
    fn look(&mut self) -> Vec<f64> {
        let now = Instant::now();
        let status = self.handle.status();
        let of_changes = |group: &&engine::control::status::GroupStatus| {
            group.jobs.iter().any(|job| &**job == ods_db::NAME)
        };
        let Some(group) = status.groups.iter().find(of_changes) else { return Vec::new() };
        if group.closed > self.seen {
            self.seen = group.closed;
            self.closed.push((group.closed, now));
        }
        let complete = group.complete;
        self.complete = complete;
        let done = self.closed.extract_if(.., |(epoch, _)| *epoch <= complete);
        done.map(|(_, at)| now.duration_since(at).as_secs_f64() * 1e3).collect()
    }
}

/// The row of `sku_info`, then that of `user_info`.
fn config() -> String {
    let row = |source: &str, columns: &str| {
        format!(
            "{{\"before\":null,\"after\":{{\"source_table\":\"{source}\",\
             \"sink_table\":\"dim_{source}\",\"sink_columns\":\"{columns}\",\"sink_pk\":\"id\",\
             \"sink_extend\":null}},\"op\":\"c\",\"ts_ms\":1}}\n"
        )
    };
    row("sku_info", "id,login_name,name,user_level,birthday,gender,create_time")
        + &row("user_info", "id,login_name,name,user_level,birthday,gender,create_time")
}

fn dimensions(
    dir: &Path,
    limit: &Arc<AtomicU64>,
    store: &DimensionStore,
    marks: &TopicMarks,
    disk: Arc<RealDisk>,
) -> Result<Vec<Arc<JobPlan>>> {
    let outside = Outside {
        source: &|name| {
            if name == TABLE_PROCESS {
                let path = dir.join("config.jsonl");
                let limit = Some(limit.clone());
                return (
                    Arc::new(LinesSourceFactory { path, limit, snapshot: false }),
                    Start::Earliest,
                );
            }
            let topic = TopicSourceFactory {
                topic: name.to_owned(),
                partitions: 1,
                disk: disk.clone(),
                marks: marks.clone(),
                until: None,
                snapshot: false,
                on_lost_position: connectors::kafka::config::OnLostPosition::Stop,
            };
            (Arc::new(topic), Start::Earliest)
        },
        topics: &|names| {
            let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 1 };
            SinkTarget::Topics(names.iter().map(spec).collect(), murmur2::partition_of)
        },
        topic_prefix: "",
        table: &|_name| unreachable!("no DWS here"),
        dimensions: &|| Arc::new(DimensionSinkFactory { store: store.clone() }),
        publish: &|_name| true,
    };
    let settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
    Ok(jobs::plans(&[Job::Dimensions], &settings, &outside)?)
}

/// Changes of a table: a burst, then so many a second.
#[derive(Clone)]
struct Made {
    burst: u64,
}

impl Made {
    /// The job that writes them.
    fn plan(&self) -> Result<Arc<JobPlan>> {
        let topic = TopicSpec { name: ods_db::NAME.to_owned(), partitions: 1 };
        let target = SinkTarget::Topics(vec![topic], murmur2::partition_of);
        passing::plan("made", Arc::new(self.clone()), target, ods_db::NAME)
    }

    fn record(&self, number: u64) -> String {
        let table = if number < self.burst { "user_info" } else { "sku_info" };
        format!(
            "{{\"database\":\"gmall2022\",\"table\":\"{table}\",\"type\":\"insert\",\
             \"ts\":1651287720,\"xid\":{number},\"commit\":true,\"data\":{{\"id\":{number},\
             \"login_name\":\"user{number}\",\"nick_name\":\"nick\",\"passwd\":null,\
             \"name\":\"Name {number}\",\"phone_num\":\"13{number:09}\",\"email\":null,\
             \"head_img\":null,\"user_level\":\"1\",\"birthday\":\"1990-01-01\",\"gender\":\"F\",\
             \"create_time\":\"2022-04-30 11:02:00\",\"operate_time\":null,\"status\":null}}}}"
        )
    }
}

impl SourceFactory for Made {
    fn describe(&self) -> String {
        "changes made here".to_owned()
    }

    fn create(&self) -> Result<Box<dyn Source>, Fault> {
        Ok(Box::new(Making { made: self.clone(), next: 0, calm_from: None }))
    }
}

struct Making {
    made: Made,
    next: u64,
    /// Tick at which the steady stream began.
    calm_from: Option<u64>,
}

impl Making {
    fn partition() -> Partition {
        Partition { name: "made/0".into(), ordinal: 0 }
    }

    /// How many there should be by now.
    fn due(&mut self, now: Moment) -> u64 {
        if self.next < self.made.burst {
            return self.made.burst;
        }
        let from = *self.calm_from.get_or_insert(now.tick_us);
        self.made.burst + (now.tick_us - from) * RATE / 1_000_000
    }
}

impl Source for Making {
    fn describe(&self) -> Description {
        let name = self.made.describe();
        Description { name, replay: Replay::Exact, bounded: false, snapshot: false }
    }

    fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
        Ok(Some(vec![Self::partition()]))
    }

    fn open(&mut self, _partition: &Partition, _start: &Start) -> Result<(), Fault> {
        Ok(())
    }

    fn poll(&mut self, budget: PollBudget, now: Moment) -> Polled {
        let due = self.due(now).min(self.next + budget.rows as u64);
        let mut builder = RawBuilder::new(&raw_schema(), 0);
        while self.next < due {
            let record = self.made.record(self.next);
            builder.push(self.next, Some(b"any"), Some(record.as_bytes()));
            self.next += 1;
        }
        let (partition, next) = (Self::partition(), Position::of_number(self.next));
        match builder.finish() {
            Some(rows) => Polled::Rows(SourceBatch { partition, rows, next, boundary: true }),
            None => Polled::Idle,
        }
    }

    fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

    fn close(&mut self) {}
}
