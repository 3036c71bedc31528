//! Blocks that are still in memory when their unit is delivered: taken from there and not from the
//! outbox, let go when a sink stands still.
//!
//! A block is damaged on the disk just before its sink begins: who reads it there notices.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::TopicMarks;
use engine::codec::Verbatim;
use engine::control::handle::Handle;
use engine::control::status::Status;
use engine::crash_point::{CrashPoint, CrashPoints};
use engine::error::exit;
use engine::graph::plan::{Feed, SinkTarget, SourceSpec};
use engine::graph::{JobBuilder, JobPlan};
use engine::limit::KEPT_UNITS_MAX;
use engine::outbox::block::BlockRef;
use engine::sink::UnitPolicy;
use engine::state::memory::MemoryBackend;
use engine::testing::disk::SimDisk;
use engine::testing::records::{KEY, Records, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

const START_MS: i64 = 1_000_000;
const ROWS: usize = 400;
/// Enough for some epochs of [`LONG_MS`].
const MANY_ROWS: usize = 2_000;
/// So long that a sink which tries again does not stand still for many epochs.
const LONG_MS: u64 = 60;
const SHORT_MS: u64 = 4;
/// Bytes of blocks that are kept, where a test looks at them.
const BOUND: u64 = 2_000;

fn plans(records: &Records, target: &Target) -> Vec<Arc<JobPlan>> {
    let mut job = JobBuilder::new("j");
    let source = job.source("in", SourceSpec { bound_ms: 50, ..records.spec() });
    let sink = SinkTarget::Outside(Arc::new(target.clone()));
    let verbatim = Arc::new(Verbatim { key: KEY, value: VALUE });
    job.sink("out", sink, &["rows"], vec![(&source.rows, Feed::uncounted(0, verbatim))]);
    vec![Arc::new(job.build().expect("a good plan"))]
}

fn records(seed: u64, rows: usize) -> Records {
    let row = |number: usize| (vec![b'k'], (1_000 + number).to_string().into_bytes());
    Records::new("in", vec![(0..rows).map(row).collect()], seed)
}

fn simulation(seed: u64, interval_ms: u64) -> Simulation {
    let mut simulation = Simulation::new(seed, START_MS);
    simulation.settings.epoch.interval_ms = Some(interval_ms);
    simulation
}

/// One that keeps up to [`BOUND`], and how to see its status.
fn bounded(seed: u64) -> (Simulation, impl Fn() -> Status) {
    let mut simulation = simulation(seed, SHORT_MS);
    simulation.settings.kept_bytes_max = Some(BOUND);
    let handle: Rc<OnceCell<Handle>> = Rc::default();
    let told = handle.clone();
    simulation.act_after(0, move |handle| drop(told.set(handle.clone())));
    (simulation, move || handle.get().map(Handle::status).unwrap_or_default())
}

/// The values that have arrived, in order.
fn arrived(target: &Target) -> Vec<String> {
    let text = |value: Option<Vec<u8>>| String::from_utf8(value.expect("a value")).expect("text");
    target.rows().into_iter().map(|(_, _, value)| text(value)).collect()
}

fn all(rows: usize) -> Vec<String> {
    (0..rows).map(|number| (1_000 + number).to_string()).collect()
}

/// Damages the first block of each unit before its first attempt, and makes it good before another.
struct Damage {
    disk: SimDisk,
    backend: MemoryBackend,
    target: Target,
    /// Epoch and block that is damaged now.
    damaged: Option<(u64, BlockRef)>,
    times: usize,
}

impl Damage {
    fn of(simulation: &mut Simulation, target: &Target) -> Arc<Mutex<Self>> {
        let (disk, backend) = (simulation.disk.clone(), simulation.backend.clone());
        let damage = Self { disk, backend, target: target.clone(), damaged: None, times: 0 };
        let damage = Arc::new(Mutex::new(damage));
        let told = damage.clone();
        simulation.settings.crash_points = CrashPoints::new(move |point| {
            if point == CrashPoint::Published {
                told.lock().expect("one thread").before_attempt();
            }
            Ok(())
        });
        damage
    }

    fn before_attempt(&mut self) {
        let before = self.damaged.take();
        if let Some((_, block)) = before {
            self.flip(&block);
        }
        let delivered = self.target.delivered("j.out", 0).unwrap_or(0);
        let outbox = Saved::read(&self.backend).expect("a checkpoint of ours").outbox;
        let mut blocks = outbox.into_values().flatten();
        let next = blocks.find(|((epoch, _), _)| *epoch > delivered);
        let next = next.map(|((epoch, _), block)| (epoch, block));
        let fresh = next.filter(|(epoch, _)| before.is_none_or(|(before, _)| before != *epoch));
        if let Some((_, block)) = fresh {
            self.flip(&block);
            self.times += 1;
        }
        self.damaged = fresh;
    }

    fn flip(&self, block: &BlockRef) {
        let last = block.offset + u64::from(block.length) - 1;
        self.disk.flip_bit(&file_of(block), last);
    }
}

fn file_of(block: &BlockRef) -> String {
    format!("state/outbox/{:020}.log", block.file)
}

#[test]
fn a_block_that_is_in_memory_is_not_read_from_the_outbox() {
    for seed in seeds(1, 20) {
        let (records, target) =
            (records(seed, MANY_ROWS), Target::new(seed, UnitPolicy::EVERY_EPOCH));
        let mut simulation = simulation(seed, LONG_MS);
        simulation.settings.kept_bytes_max = None;
        let damage = Damage::of(&mut simulation, &target);
        let make = |_: &TopicMarks, _| plans(&records, &target);
        assert!(simulation.run_until(u64::MAX, &make, &|| false), "seed {seed}");
        assert_eq!(arrived(&target), all(MANY_ROWS), "seed {seed}");
        let times = damage.lock().expect("one thread").times;
        assert!(times >= 5, "seed {seed}: only {times} units");
    }
}

#[test]
fn a_block_that_is_not_kept_is_read_and_its_damage_noticed() {
    for seed in seeds(1, 20) {
        let (records, target) = (records(seed, ROWS), Target::new(seed, UnitPolicy::EVERY_EPOCH));
        let mut simulation = simulation(seed, SHORT_MS);
        simulation.settings.kept_bytes_max = Some(0);
        let damage = Damage::of(&mut simulation, &target);
        let fatal = simulation.run_to_stop(&|_: &TopicMarks, _| plans(&records, &target));
        assert_eq!(fatal.code, exit::DISK, "seed {seed}: {fatal}");
        let (_, block) = damage.lock().expect("one thread").damaged.expect("it was read");
        assert!(fatal.message.contains(&file_of(&block)), "seed {seed}: {fatal}");
        assert!(
            all(ROWS).starts_with(&arrived(&target)),
            "seed {seed}: only whole units before it"
        );
    }
}

/// With the target gone, what is kept stays within its bound, and nothing is kept any more once it is
/// known to stand still; sources read on. When it is back, everything arrives.
#[test]
fn a_sink_that_stands_still_keeps_no_memory_and_stops_no_source() {
    for seed in seeds(1, 20) {
        let (records, target) =
            (records(seed, MANY_ROWS), Target::new(seed, UnitPolicy::EVERY_EPOCH));
        target.set_gone(true);
        let (mut simulation, status) = bounded(seed);
        let (most, let_go) = (Cell::new(0), Cell::new(false));
        let done = || {
            let status = status();
            most.set(most.get().max(status.kept_bytes));
            if !let_go.get() && stands_still(&status) && status.kept_bytes == 0 {
                let_go.set(true);
                target.set_gone(false);
            }
            let_go.get() && arrived(&target).len() == MANY_ROWS && status.kept_bytes == 0
        };
        let make = |_: &TopicMarks, _| plans(&records, &target);
        assert!(simulation.run_until(u64::MAX, &make, &done), "seed {seed}: it did not end");
        assert!(let_go.get(), "seed {seed}: it has kept its memory");
        assert!((1..=BOUND).contains(&most.get()), "seed {seed}: {} bytes kept", most.get());
        assert_eq!(arrived(&target), all(MANY_ROWS), "seed {seed}");
    }
}

/// While a sink delivers, however slowly, its sources wait for it: hardly more is planned than is kept.
#[test]
fn a_sink_that_delivers_holds_its_sources() {
    for seed in seeds(1, 20) {
        let (records, target) =
            (records(seed, MANY_ROWS), Target::new(seed, UnitPolicy::EVERY_EPOCH));
        let (mut simulation, status) = bounded(seed);
        let most = Cell::new(0);
        let done = || {
            let status = status();
            let units = status.sinks.iter().map(|sink| sink.units).max();
            most.set(most.get().max(units.unwrap_or(0)));
            arrived(&target).len() == MANY_ROWS
        };
        let make = |_: &TopicMarks, _| plans(&records, &target);
        assert!(simulation.run_until(u64::MAX, &make, &done), "seed {seed}: it did not end");
        // One under way, what the bound allows, and the epochs in flight when the sources stop.
        assert!((2..=8).contains(&most.get()), "seed {seed}: {} units", most.get());
        assert_eq!(arrived(&target), all(MANY_ROWS), "seed {seed}");
    }
}

/// Whether more units wait for the sink than may while blocks are kept for it.
fn stands_still(status: &Status) -> bool {
    status.sinks.iter().any(|sink| sink.units as u64 > KEPT_UNITS_MAX)
}
