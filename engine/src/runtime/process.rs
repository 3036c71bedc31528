//! One process of the engine: all its machines, wired but not yet running.
//!
//! The same assembly serves production ([`thread`](super::thread)) and simulation
//! (`testing::simulate`), so what is tested is what runs.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::pump::RereadCount;
use super::step::{Inbox, Machine, Waker};
use super::worker::WorkerSeat;
use crate::batch::buffer::Budget;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::{self, space};
use crate::checkpoint::reserve::{self, Reserve};
use crate::checkpoint::restore::Saved;
use crate::checkpoint::writer::{
    Retention, TopicMarks, Writer, WriterGauges, WriterSetup, plan_rest,
};
use crate::control::controller::{Controller, ControllerSetup, EpochSettings, WorkerPort};
use crate::control::handle::Handle;
use crate::control::status::Status;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::epoch::hold::HoldTable;
use crate::epoch::stall::{StallDetector, StallLimits};
use crate::error::Fatal;
use crate::event::{Event, EventLog};
use crate::limit::{
    BATCH_ROWS_TARGET, HASH_VERSION, INFLIGHT_BYTES_MAX, KEY_GROUPS, LAYOUT_VERSION,
    OPERATOR_BUDGET, REREAD_ROWS_PER_EPOCH, RESERVE_BYTES, SOURCE_QUEUE_BYTES,
};
use crate::outbox::log::LogOptions;
use crate::outbox::quota::Quota;
use crate::random::Random;
use crate::state::backend::{Durability, StateBackend, StateBatch};
use crate::state::size::SizeTable;

/// Settings of a process.
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// Worker threads.
    pub workers: usize,
    /// How epochs close.
    pub epoch: EpochSettings,
    /// Live bytes above which sources stop.
    pub inflight_bytes_max: u64,
    /// Bytes of written blocks that are kept for their sinks at most; a share of the in-flight budget,
    /// unless told otherwise. With 0 a sink gets what is in the outbox.
    pub kept_bytes_max: Option<u64>,
    /// Bytes of state in memory above which the process stops; no limit, unless told otherwise.
    pub state_bytes_max: u64,
    /// How much may wait for a sink before its group stops.
    pub quota: Quota,
    /// When standing still is reported.
    pub stall: StallLimits,
    /// Bytes a source reads ahead, per worker.
    pub source_queue_bytes: u64,
    /// Rows an operator takes before it lets the others of its worker have their turn. At least 1.
    pub operator_rows: usize,
    /// Rows an epoch takes of what a source reads again, per worker.
    pub reread_rows: usize,
    /// How logs are written.
    pub log: LogOptions,
    /// How much of embedded topics is kept; all, unless told otherwise.
    pub retention: Retention,
    /// Bytes held back on the disk; 0 = none.
    pub reserve_bytes: u64,
    /// Seed of all random choices (family id, jitter).
    pub seed: u64,
    /// Where log events go.
    pub events: EventLog,
    /// Who is told of crash points; nobody, outside of tests.
    pub crash_points: CrashPoints,
}

impl ProcessSettings {
    /// Defaults with `workers` workers and epochs of one second.
    pub fn new(workers: usize, seed: u64) -> Self {
        Self {
            workers,
            epoch: EpochSettings::default(),
            inflight_bytes_max: INFLIGHT_BYTES_MAX,
            kept_bytes_max: None,
            state_bytes_max: u64::MAX,
            quota: Quota::default(),
            stall: StallLimits::default(),
            source_queue_bytes: SOURCE_QUEUE_BYTES,
            operator_rows: OPERATOR_BUDGET * BATCH_ROWS_TARGET,
            reread_rows: REREAD_ROWS_PER_EPOCH,
            log: LogOptions::default(),
            retention: Retention::default(),
            reserve_bytes: RESERVE_BYTES,
            seed,
            events: EventLog::default(),
            crash_points: CrashPoints::default(),
        }
    }
}

/// A process ready to run.
pub struct Process {
    /// One per worker, in order of index.
    pub seats: Vec<WorkerSeat>,
    /// Machines that run from the start.
    pub machines: Vec<Box<dyn Machine>>,
    /// Machines born while it runs.
    pub births: Inbox<Box<dyn Machine>>,
    /// The way in from outside.
    pub handle: Handle,
    /// Visible ends of embedded topics.
    pub topics: TopicMarks,
    /// Gauges of the writer.
    pub gauges: Arc<Mutex<WriterGauges>>,
    /// Records that source operators have let in.
    pub emitted: Arc<AtomicU64>,
    /// Whom a birth wakes.
    pub births_waker: Waker,
}

impl Process {
    /// Reads the checkpoint, writes the new generation durably, opens the logs, wires everything.
    /// `topics` is handed in because topic sources of the plans share it.
    pub fn open(
        settings: &ProcessSettings,
        disk: Arc<dyn Disk>,
        backend: Arc<dyn StateBackend>,
        topics: TopicMarks,
    ) -> Result<Self, Fatal> {
        hold_reserve(settings, disk.as_ref())?;
        let mut random = Random::new(settings.seed);
        let mut saved = Saved::read(backend.as_ref())?;
        begin_generation(&mut saved, backend.as_ref(), &mut random)?;
        let points = settings.crash_points.clone();
        points.pass(CrashPoint::GenerationWritten)?;

        let budget = match settings.kept_bytes_max {
            Some(most) => Budget::keeping(settings.inflight_bytes_max, most),
            None => Budget::new(settings.inflight_bytes_max),
        };
        let (controller_waker, writer_waker) = (Waker::default(), Waker::default());
        let events = Inbox::new(controller_waker.clone());
        let writer = Inbox::new(writer_waker.clone());
        let births_waker = Waker::default();
        let births = Inbox::new(births_waker.clone());
        let gauges = Arc::<Mutex<WriterGauges>>::default();
        let units = Arc::new(Mutex::new(BTreeMap::new()));
        let handle = Handle {
            requests: Inbox::new(controller_waker.clone()),
            closes: Inbox::new(controller_waker.clone()),
            status: Arc::new(Mutex::new(Status::default())),
        };

        let emitted = Arc::<AtomicU64>::default();
        let rereads = RereadCount::default();
        let sizes = SizeTable::default();
        let (mut seats, mut ports) = (Vec::new(), Vec::new());
        for _ in 0..settings.workers {
            let (waker, holds) = (Waker::default(), HoldTable::default());
            let commands = Inbox::new(waker.clone());
            ports.push(WorkerPort {
                commands: commands.clone(),
                waker: waker.clone(),
                holds: holds.clone(),
            });
            let (events, writer, budget) = (events.clone(), writer.clone(), budget.clone());
            let (emitted, points) = (emitted.clone(), points.clone());
            seats.push(WorkerSeat {
                commands,
                events,
                writer,
                budget,
                operator_rows: settings.operator_rows.max(1),
                emitted,
                holds,
                sizes: sizes.clone(),
                waker,
                points,
            });
        }
        tell_news(&budget, &seats, &controller_waker);
        let writer_machine = Writer::open(
            WriterSetup {
                disk: disk.clone(),
                backend: backend.clone(),
                inbox: writer.clone(),
                waker: writer_waker,
                events: events.clone(),
                units: units.clone(),
                topics: topics.clone(),
                gauges: gauges.clone(),
                generation: saved.generation,
                workers: settings.workers,
                log_options: settings.log,
                retention: settings.retention.clone(),
                points: points.clone(),
            },
            &saved,
        )?;
        let controller = Controller::new(ControllerSetup {
            epoch: settings.epoch,
            workers: ports,
            requests: handle.requests.clone(),
            closes: handle.closes.clone(),
            events,
            writer,
            gauges: gauges.clone(),
            units,
            births: births.clone(),
            status: handle.status.clone(),
            budget,
            sizes,
            state_bytes_max: settings.state_bytes_max,
            quota: settings.quota,
            emitted: emitted.clone(),
            rereads,
            disk,
            backend,
            saved,
            waker: controller_waker,
            random,
            source_queue_bytes: settings.source_queue_bytes,
            reread_rows: settings.reread_rows,
            points,
            log: settings.events.clone(),
        });
        let stall =
            StallDetector::new(handle.status.clone(), settings.stall, settings.events.clone());
        let machines: Vec<Box<dyn Machine>> =
            vec![Box::new(controller), Box::new(writer_machine), Box::new(stall)];
        Ok(Self { seats, machines, births, handle, topics, gauges, emitted, births_waker })
    }
}

/// The controller looks at a budget that fills, and workers go on once it is open again.
fn tell_news(budget: &Budget, seats: &[WorkerSeat], controller: &Waker) {
    let workers: Vec<Waker> = seats.iter().map(|seat| seat.waker.clone()).collect();
    let controller = controller.clone();
    budget.listen(move || controller.wake(), move || workers.iter().for_each(Waker::wake));
}

/// Holds space back before the first write may find that there is none.
fn hold_reserve(settings: &ProcessSettings, disk: &dyn Disk) -> Result<(), Fatal> {
    let bytes = settings.reserve_bytes;
    if bytes == 0 {
        return Ok(());
    }
    let reserve = reserve::hold(disk, bytes).map_err(Fatal::disk)?;
    if reserve != Reserve::Held(bytes) {
        settings.events.log(&Event::NoReserve { bytes, reserve });
    }
    Ok(())
}

/// The new generation is durable before anything else happens: it is the fencing number.
fn begin_generation(
    saved: &mut Saved,
    backend: &dyn StateBackend,
    random: &mut Random,
) -> Result<(), Fatal> {
    let mut batch = StateBatch::default();
    let meta: Arc<str> = space::META.into();
    let mut put = |key: &str, number: u64| {
        batch.put(&meta, key.as_bytes().to_vec(), layout::encode_u64(number));
    };
    if saved.family == 0 {
        saved.family = random.next_u64().max(1);
        put("family", saved.family);
        put("key_groups", u64::from(KEY_GROUPS));
        put("hash", u64::from(HASH_VERSION));
    }
    if saved.layout < u64::from(LAYOUT_VERSION) {
        saved.layout = u64::from(LAYOUT_VERSION);
        put("layout", saved.layout);
    }
    saved.generation += 1;
    put("generation", saved.generation);
    plan_rest(saved, &mut batch);
    backend.commit(batch, Durability::Synced).map_err(Fatal::disk)
}
