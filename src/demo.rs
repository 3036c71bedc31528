//! `watershed demo`: the warehouse at work, with nothing installed but this binary.
//!
//! ```text
//!  generator (job) ─> ods_log ─> the warehouse's jobs ─> DWD topics, DWS tables, side outputs
//! ```
//!
//! The generator is a job like the others and the topic lies between, so the demo is what it shows:
//! exactly once, also through `kill -9`, and a second start goes on where the first ended. Without
//! `--records` event time is wall-clock time and there is no end; what happened while nothing ran
//! was made by nobody, but for the last minute. With `--records` all comes as fast as it goes, and
//! the rate means nothing.
//!
//! Looking never slows data: everything shown is a copy of what the engine publishes anyway.

mod display;
mod layer;
mod sample;
pub(crate) mod start;
mod stream;
mod summary;
mod table;
mod text;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use connectors::topic::source::TopicSourceFactory;
use engine::checkpoint::restore::Saved;
use engine::control::controller::EpochSettings;
use engine::control::handle::CloseRequest;
use engine::control::registry::SubmitOptions;
use engine::graph::JobPlan;
use engine::runtime::process::ProcessSettings;
use engine::source::Start;
use engine::time::zone::Zone;
use jobs::dim::dimensions;
use jobs::generate::Generator;
use jobs::generate::job as generator;
use jobs::generate::source::GeneratorSourceFactory;
use jobs::ods::ods_db;
use jobs::{Job, Outside, Settings};

use self::display::{Display, Picture};
use self::sample::{Rates, Sample};
use self::stream::Stream;
use self::summary::Summary;
use crate::data_dir::{DataDir, now_ms};
use crate::injected::{CrashAt, PanicAt, crash_points, poison};
use crate::replay::random_seed;
use crate::socket::{Live, serve};
use crate::warehouse::{Running, TOPIC_PARTITIONS, Warehouse};
use crate::{crash, signal};

/// How often is looked whether there is something to do.
const TICK: Duration = Duration::from_millis(50);
/// How often the display changes.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// How long a stop may take before the process is left as it is.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How long after a start a live demo closes epochs as soon as it can, so that the first numbers are
/// there at once, and those after a kill.
const HURRY: Duration = Duration::from_secs(2);
/// Bytes under way above which sources stop. A demo shares the machine with whoever looks at it: a
/// quarter of the engine's usual limit costs it a sixth of its speed and saves two thirds of its
/// memory.
const INFLIGHT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Bytes kept of each partition of a live demo's topics: minutes of the records.
const RETENTION_BYTES: u64 = 64 * 1024 * 1024;

/// What `demo` was asked.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Data directory.
    pub(crate) data: PathBuf,
    /// Worker threads.
    pub(crate) workers: usize,
    /// Seed of the records.
    pub(crate) seed: u64,
    /// How many; `None` = no end, at the pace of the clock.
    pub(crate) records: Option<u64>,
    /// With `records`: end when all are through.
    pub(crate) exit_when_done: bool,
    /// With `records`: how many days they fill; the last ends at the first start.
    pub(crate) days: u32,
    /// Without `records`: how many a second; 0 = none.
    pub(crate) rate: u64,
    /// Whether the last line is a JSON object.
    pub(crate) json: bool,
    /// Time between two checkpoints; results become visible at this pace.
    pub(crate) epoch_interval_ms: u64,
    /// Operators, as `job.uid`, whose jobs are left out.
    pub(crate) quarantine: Vec<String>,
    /// Where the process is to die, for tests.
    pub(crate) crash_at: Vec<CrashAt>,
    /// Operators that are to fail, for tests.
    pub(crate) panic_at: Vec<PanicAt>,
    /// The switches.
    pub(crate) settings: Settings,
    /// Process that supervises this one; what it uses is counted, too.
    pub(crate) supervisor: Option<u32>,
}

/// Runs the demo until it is stopped, or done.
pub(crate) fn demo(request: &Request) -> Result<()> {
    let started = Instant::now();
    request.settings.check()?;
    let warehouse = Warehouse::open(&request.data, "watershed demo")?;
    let saved = Saved::read(warehouse.backend.as_ref())?;
    crash::set_generation(saved.generation + 1);
    let stream = Stream::of_directory(request, saved.generation == 0, now_ms())?;
    let before = records_of(&saved);
    drop(saved);
    let stop = Arc::<AtomicBool>::default();
    let asked = stop.clone();
    signal::on_stop(move || asked.store(true, Ordering::SeqCst))
        .context("cannot listen for signals")?;

    let all_there = stream.records().map(|_bounded| Arc::<AtomicBool>::default());
    let mut plans = plans(request, &warehouse, &stream, all_there.clone())?;
    poison(&mut plans, &request.panic_at);
    let settings = process_settings(request);
    let options =
        SubmitOptions { quarantine: request.quarantine.clone(), ..SubmitOptions::default() };
    let running = warehouse.start(&settings, plans, options)?;
    serve(&DataDir::new(&request.data), live(&warehouse, &running))?;
    let mut watch = Watch {
        request,
        warehouse: &warehouse,
        stream: &stream,
        generator: stream.generator(),
        zone: request.settings.zone(),
        display: Display::choose(request, &stream, &warehouse)?,
        rates: Rates::new(started),
        show_at: started,
        started,
        all_there,
        stop,
        stopping: None,
    };
    let ended = running.wait(TICK, |running| watch.tick(running));
    // The terminal is given back before anything is said.
    drop(watch);
    ended?;
    let summary = Summary::of(&warehouse, started.elapsed(), request.supervisor)?;
    summary.print(request, before, is_done(&warehouse, &stream)?);
    Ok(())
}

/// The generator and the warehouse; the topic between them is all they share.
fn plans(
    request: &Request,
    warehouse: &Warehouse,
    stream: &Stream,
    until: Option<Arc<AtomicBool>>,
) -> Result<Vec<Arc<JobPlan>>> {
    let source = GeneratorSourceFactory { generator: stream.generator(), pace: stream.pace() };
    let target = Warehouse::topic_sink(&[layer::ODS], TOPIC_PARTITIONS);
    let mut plans = vec![Arc::new(generator::plan(source, target)?)];
    // Records as fast as they go have nothing to do with the clock: no partition is ever idle.
    let idle_timeout_ms = if until.is_some() { 0 } else { request.settings.idle_timeout_ms };
    let settings = Settings { idle_timeout_ms, ..request.settings.clone() };
    let outside = Outside {
        source: &|topic| {
            let factory = TopicSourceFactory {
                topic: topic.to_owned(),
                partitions: TOPIC_PARTITIONS,
                disk: warehouse.disk.clone(),
                marks: warehouse.topics.clone(),
                until: until.clone(),
                snapshot: false,
            };
            (Arc::new(factory), Start::Earliest)
        },
        topics: &|names| Warehouse::topic_sink(names, TOPIC_PARTITIONS),
        table: &|name| warehouse.table_sink(name),
        dimensions: &|| warehouse.dimension_sink(),
        publish: &|_job| true,
    };
    plans.extend(jobs::plans(&Job::LOGS, &settings, &outside)?);
    Ok(plans)
}

fn process_settings(request: &Request) -> ProcessSettings {
    let mut settings = ProcessSettings::new(request.workers, random_seed());
    settings.inflight_bytes_max = INFLIGHT_BYTES_MAX;
    settings.crash_points = crash_points(&request.crash_at);
    // What ends may be looked at as a whole; what does not must not fill the disk.
    settings.retention.bytes = if request.records.is_some() { 0 } else { RETENTION_BYTES };
    // A back-fill reads these from the beginning.
    for topic in [ods_db::NAME, dimensions::TABLE_PROCESS] {
        settings.retention.by_topic.insert(topic.to_owned(), 0);
    }
    settings.epoch = EpochSettings {
        interval_ms: Some(request.epoch_interval_ms),
        rows_max: None,
        fixed_stamp_ms: None,
        stop_at_end: request.exit_when_done,
    };
    settings
}

/// What `watershed status` may look at.
fn live(warehouse: &Warehouse, running: &Running) -> Live {
    Live {
        handle: running.handle.clone(),
        topics: warehouse.topics.clone(),
        gauges: running.gauges.clone(),
        dir: DataDir::new(&warehouse.data),
        backend: warehouse.backend.clone(),
    }
}

/// What the main thread does while the engine runs.
struct Watch<'a> {
    request: &'a Request,
    warehouse: &'a Warehouse,
    stream: &'a Stream,
    generator: Generator,
    zone: Zone,
    display: Display,
    rates: Rates,
    show_at: Instant,
    started: Instant,
    /// Set once all records of a bounded stream are visible: the warehouse may see the end.
    all_there: Option<Arc<AtomicBool>>,
    /// A stop was asked for.
    stop: Arc<AtomicBool>,
    /// When the engine was told.
    stopping: Option<Instant>,
}

impl Watch<'_> {
    fn tick(&mut self, running: &Running) -> Result<()> {
        self.announce_end();
        if self.display.wants_stop() {
            self.stop.store(true, Ordering::SeqCst);
        }
        self.pass_on_stop(running)?;
        let now = Instant::now();
        if now.duration_since(self.started) < HURRY && self.all_there.is_none() {
            hurry(running);
        }
        if now >= self.show_at {
            self.show_at = now + SHOW_EVERY;
            self.show(running, now);
        }
        Ok(())
    }

    fn announce_end(&self) {
        if let (Some(all_there), Some(records)) = (&self.all_there, self.stream.records()) {
            let visible = (0..TOPIC_PARTITIONS)
                .filter_map(|partition| self.warehouse.topics.get(layer::ODS, partition))
                .map(|mark| mark.next_base)
                .sum::<u64>();
            if visible >= records {
                all_there.store(true, Ordering::Release);
            }
        }
    }

    fn pass_on_stop(&mut self, running: &Running) -> Result<()> {
        match self.stopping {
            Some(since) if since.elapsed() > STOP_LIMIT => bail!(
                "could not stop within {} s; it goes on from its last complete epoch next time",
                STOP_LIMIT.as_secs()
            ),
            // Busy: asked again with the next tick.
            None if self.stop.load(Ordering::SeqCst) && running.handle.stop().is_ok() => {
                self.stopping = Some(Instant::now());
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn show(&mut self, running: &Running, now: Instant) {
        let sample = Sample::take(self.warehouse, running, self.request.supervisor);
        self.rates.observe(now, &sample);
        let event_ms = match self.stream.records() {
            None => now_ms(),
            Some(_) => self.generator.arrival_ms(sample.read().saturating_sub(1)),
        };
        let picture = Picture {
            stream: self.stream,
            sample: &sample,
            rates: &self.rates,
            elapsed: now.duration_since(self.started),
            event_ms,
            window_ms: self.request.settings.window_ms,
            zone: &self.zone,
            stopping: self.stopping.is_some(),
        };
        if self.display.show(&picture).is_err() {
            // The terminal is gone; there is nobody to show anything to.
            self.stop.store(true, Ordering::SeqCst);
        }
    }
}

/// Closes the open epoch if none is waiting to complete.
fn hurry(running: &Running) {
    let status = running.handle.status();
    if status.groups.iter().all(|group| group.running && group.epoch_age_ms == 0) {
        // Whether and when it closes is of no interest: the next is asked for in its time.
        let _asked = running.handle.close(CloseRequest::default());
    }
}

/// Records in `ods_log`.
fn records_of(saved: &Saved) -> u64 {
    let of_log = saved.topics.iter().filter(|((topic, _), _)| &**topic == layer::ODS);
    of_log.map(|(_, mark)| mark.next_base).sum()
}

/// Whether the warehouse has read all there will ever be.
fn is_done(warehouse: &Warehouse, stream: &Stream) -> Result<bool> {
    let saved = Saved::read(warehouse.backend.as_ref())?;
    let of_log = |labels: &[(String, String)]| labels[0].1 == Job::LogSplit.name();
    let counters = saved.counters().into_iter();
    let read = counters.filter(|counter| counter.name == "records_in" && of_log(&counter.labels));
    Ok(stream.records() == Some(read.map(|counter| counter.value).sum()))
}
