//! `watershed demo`: the warehouse at work, with nothing installed but this binary.
//!
//! ```text
//!  generator (job) ─> ods_log ────────────┐
//!  shop (job) ──────> ods_db ─────────────┼─> the warehouse's jobs ─> DIM tables, DWD topics,
//!                └──> table_process ──────┘                           DWS tables, side outputs
//! ```
//!
//! The generators are jobs like the others and topics lie between, so the demo is what it shows:
//! exactly once, also through `kill -9`, and a second start goes on where the first ended. Without
//! `--records` event time is wall-clock time and there is no end; what happened while nothing ran
//! was made by nobody, but for the last minute. With `--records` all comes as fast as it goes, and
//! the rate means nothing.
//!
//! Looking never slows data: everything shown is a copy of what the engine publishes anyway.

mod bound;
mod display;
mod layer;
mod plans;
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
use engine::checkpoint::restore::Saved;
use engine::control::controller::EpochSettings;
use engine::control::handle::CloseRequest;
use engine::control::registry::SubmitOptions;
use engine::runtime::process::ProcessSettings;
use engine::time::zone::Zone;
use jobs::generate::Generator;
use jobs::ods::ods_db;
use jobs::{Job, Settings};

use self::bound::Bounds;
use self::display::{Display, Picture};
use self::sample::{Rates, Sample};
use self::stream::Stream;
use self::summary::Summary;
use crate::data_dir::{DataDir, now_ms};
use crate::injected::{CrashAt, PanicAt, crash_points, poison};
use crate::replay::random_seed;
use crate::socket::{Live, serve};
use crate::warehouse::{Running, Warehouse};
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
/// The same of the shop's changes, which begin with what its dimensions were at first.
const SHOP_RETENTION_BYTES: u64 = 2 << 30;

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

    let bounds = Bounds::of(&stream);
    let mut plans = plans::plans(request, &warehouse, &stream, bounds.as_ref())?;
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
        bounds,
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

fn process_settings(request: &Request) -> ProcessSettings {
    let mut settings = ProcessSettings::new(request.workers, random_seed());
    settings.inflight_bytes_max = INFLIGHT_BYTES_MAX;
    settings.crash_points = crash_points(&request.crash_at);
    // What ends may be looked at as a whole; what does not must not fill the disk.
    settings.retention.bytes = if request.records.is_some() { 0 } else { RETENTION_BYTES };
    // A back-fill reads this one from the beginning: days of it are kept.
    let shop = if request.records.is_some() { 0 } else { SHOP_RETENTION_BYTES };
    settings.retention.by_topic.insert(ods_db::NAME.to_owned(), shop);
    settings.epoch = EpochSettings {
        interval_ms: Some(request.epoch_interval_ms),
        stop_at_end: request.exit_when_done,
        ..EpochSettings::default()
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
    /// The end of a bounded stream.
    bounds: Option<Bounds>,
    /// A stop was asked for.
    stop: Arc<AtomicBool>,
    /// When the engine was told.
    stopping: Option<Instant>,
}

impl Watch<'_> {
    fn tick(&mut self, running: &Running) -> Result<()> {
        self.bounds.iter().for_each(|bounds| bounds.look(&self.warehouse.topics));
        if self.display.wants_stop() {
            self.stop.store(true, Ordering::SeqCst);
        }
        self.pass_on_stop(running)?;
        let now = Instant::now();
        if now.duration_since(self.started) < HURRY && self.bounds.is_none() {
            hurry(running);
        }
        if now >= self.show_at {
            self.show_at = now + SHOW_EVERY;
            self.show(running, now);
        }
        Ok(())
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
    let of_log = saved.topics.iter().filter(|((topic, _), _)| &**topic == layer::LOG);
    of_log.map(|(_, mark)| mark.next_base).sum()
}

/// Whether the warehouse has read all there will ever be.
fn is_done(warehouse: &Warehouse, stream: &Stream) -> Result<bool> {
    let saved = Saved::read(warehouse.backend.as_ref())?;
    let read = |job: Job| -> u64 {
        let counters = saved.counters().into_iter();
        let of_job = counters.filter(|c| c.name == "records_in" && c.labels[0].1 == job.name());
        of_job.map(|counter| counter.value).sum()
    };
    let readers = [Job::LogSplit, Job::OdsDb, Job::Dimensions];
    let mut topics = layer::ODS.into_iter().zip(readers);
    Ok(topics.all(|(topic, job)| stream.records_of(topic) == Some(read(job))))
}
