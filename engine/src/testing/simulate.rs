//! Simulation: the whole process stepped by a seed. S1 has one naked worker in the test's thread, S2
//! several that take turns ([`Simulation::with_workers`]).
//!
//! A seed decides which machine steps next, how much time passes, what the outside answers, and
//! when the process dies. A crash drops the worker and every machine, applies the crash models of
//! disk and store, and starts the next generation. One seed is one history.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::crew::Crew;
use super::disk::SimDisk;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::topic_dir;
use crate::checkpoint::reserve;
use crate::checkpoint::restore::Saved;
use crate::checkpoint::writer::TopicMarks;
use crate::clock::Moment;
use crate::control::handle::Handle;
use crate::control::registry::SubmitOptions;
use crate::counter::StoredCounter;
use crate::crash_point::{CrashPoint, CrashPoints};
use crate::error::Fatal;
use crate::graph::JobPlan;
use crate::outbox::log::LogReader;
use crate::outbox::rows::RowReader;
use crate::random::Random;
use crate::runtime::process::{Process, ProcessSettings};
use crate::runtime::step::Step;
use crate::state::backend::StateBackend;
use crate::state::memory::MemoryBackend;

/// Steps after which a history that has not finished is stuck.
const STEPS_MAX: u64 = 2_000_000;
/// Steps between two crashes, at most.
const CRASH_WITHIN: u64 = 600;

/// Bytes held back on the simulated disk: enough for the records of a few stops.
const RESERVE_BYTES: u64 = 2_000;
/// Bytes of blocks kept for their sinks in some histories: a few blocks, fewer than wait.
const KEPT_BYTES: u64 = 1_000;
/// Bytes of the record of one stop.
const RECORD_BYTES: usize = 100;
const CRASH_DIR: &str = "state/crash";

/// Makes the jobs of a generation; topic sources need the marks and the disk.
pub type MakePlans<'a> = &'a dyn Fn(&TopicMarks, Arc<dyn Disk>) -> Vec<Arc<JobPlan>>;

/// One simulated history.
pub struct Simulation {
    /// Settings of each process; its seed is replaced per generation.
    pub settings: ProcessSettings,
    /// How the jobs are submitted.
    pub options: SubmitOptions,
    /// What survives a crash, in part.
    pub disk: SimDisk,
    /// Likewise.
    pub backend: MemoryBackend,
    /// Workers by generation, over and over.
    workers: Vec<usize>,
    /// Whether workers exchange bytes.
    binary: bool,
    random: Random,
    now: Moment,
    seed: u64,
    /// How many generations ran.
    pub generations: u32,
    /// How often a generation died at which crash point.
    pub deaths: BTreeMap<CrashPoint, u32>,
    /// Why machines asked for the end of the process, with the exit code.
    pub fatals: Vec<Fatal>,
    /// After how many such stops the disk is made good again.
    pub heals_after: usize,
    /// Stops that could not be written down, as the binary does it: with the space of the reserve.
    pub unrecorded: usize,
    /// Something to do once, after this many steps of a generation.
    act: Option<(u64, Act)>,
    /// What readers of this generation can see of topics.
    visible: TopicMarks,
}

/// The crash point at which a generation is to die, and how often it is passed before.
struct Doom {
    point: CrashPoint,
    left: AtomicU64,
    reached: AtomicBool,
    backend: MemoryBackend,
}

impl Doom {
    /// A point chosen by the seed. Those of sinks that are not simulated are never reached, and the
    /// generation dies in another way.
    ///
    /// A generation after one that left a unit unsent (`unsent`) often dies while draining it, which
    /// few others have to do.
    fn choose(random: &mut Random, backend: &MemoryBackend, unsent: bool) -> Arc<Self> {
        let point = match unsent && random.one_in(2) {
            true => CrashPoint::Draining,
            false => CrashPoint::ALL[random.index(CrashPoint::ALL.len())],
        };
        let first = random.one_in(2);
        let left = AtomicU64::new(if first { 0 } else { random.below(4) });
        Arc::new(Self { point, left, reached: AtomicBool::new(false), backend: backend.clone() })
    }

    fn passed(&self, point: CrashPoint) -> Result<(), Fatal> {
        let early = |left: u64| left.checked_sub(1);
        if point != self.point || self.left.fetch_update(SeqCst, SeqCst, early).is_ok() {
            return Ok(());
        }
        self.reached.store(true, SeqCst);
        if point == CrashPoint::InsideBatch {
            // The batch takes effect or not, as the crash will have it.
            self.backend.fail_next_commit();
            return Ok(());
        }
        Err(Fatal::failed(format!("died at crash point {point}")))
    }

    fn is_reached(&self) -> bool {
        self.reached.load(SeqCst)
    }
}

/// A request made in the middle of a history.
pub type Act = Box<dyn FnOnce(&Handle)>;

/// How a generation ended.
enum Ended {
    Finished,
    Crashed,
    /// A machine asked for the end of the process.
    Fatal(Fatal),
    /// Stopped because the test had seen enough.
    Enough,
}

impl Simulation {
    /// A history that depends on `seed` only. Time starts at `start_ms`.
    pub fn new(seed: u64, start_ms: i64) -> Self {
        let mut settings = ProcessSettings::new(1, seed);
        settings.epoch.interval_ms = Some(50);
        settings.epoch.stop_at_end = true;
        settings.reserve_bytes = RESERVE_BYTES;
        // Few enough that what is read again takes many epochs.
        // From a few rows in each turn to whole epochs.
        settings.operator_rows =
            [10, 30, 100, usize::MAX][usize::try_from(seed % 4).expect("below 4")];
        // From sinks that read every block in the outbox to those that read none.
        settings.kept_bytes_max =
            [None, Some(0), Some(KEPT_BYTES)][usize::try_from(seed / 4 % 3).expect("below 3")];
        settings.reread_rows = 1 + usize::try_from(seed % 30).expect("below 30");
        Self {
            settings,
            options: SubmitOptions::default(),
            disk: SimDisk::new(),
            backend: MemoryBackend::new(),
            workers: vec![1],
            binary: false,
            random: Random::new(seed),
            now: Moment { wall_ms: start_ms, tick_us: 1 },
            seed,
            generations: 0,
            deaths: BTreeMap::new(),
            fatals: Vec::new(),
            heals_after: 1,
            unrecorded: 0,
            act: None,
            visible: TopicMarks::default(),
        }
    }

    /// S2: so many workers in the first generation, the second and so on, over and over. They
    /// exchange bytes if `binary`, else pointers.
    #[must_use]
    pub fn with_workers(mut self, workers: &[usize], binary: bool) -> Self {
        self.workers = workers.to_vec();
        self.binary = binary;
        self
    }

    /// Calls `act` after `steps` steps of the next generation.
    pub fn act_after(&mut self, steps: u64, act: impl FnOnce(&Handle) + 'static) {
        self.act = Some((steps, Box::new(act)));
    }

    /// Runs one generation without crash, for at most `steps` steps or until `enough`; true if it
    /// was enough.
    pub fn run_until(
        &mut self,
        steps: u64,
        make: MakePlans<'_>,
        enough: &dyn Fn() -> bool,
    ) -> bool {
        match self.generation(Some(steps), None, make, enough) {
            Ended::Enough | Ended::Finished => true,
            Ended::Crashed => false,
            Ended::Fatal(fatal) => panic!("seed {}: {fatal}", self.seed),
        }
    }

    /// Runs one generation, which must stop by itself for want of something; answers why.
    pub fn run_to_stop(&mut self, make: MakePlans<'_>) -> Fatal {
        match self.generation(None, None, make, &|| false) {
            Ended::Fatal(fatal) => fatal,
            Ended::Finished | Ended::Crashed | Ended::Enough => {
                panic!("seed {}: it did not stop", self.seed)
            }
        }
    }

    /// Runs until everything has been read and delivered, dying `crashes` times on the way (or
    /// fewer, if it finishes first). Panics, naming the seed, if it gets stuck. What made it stop by
    /// itself is in `fatals`, which MUST be empty where no fault was injected.
    pub fn run(&mut self, crashes: u32, make: MakePlans<'_>) {
        let (mut left, mut unsent) = (crashes, false);
        loop {
            // Half of the crashes happen anywhere, half at a point with a name, if it is reached.
            let doom = (left > 0 && self.random.one_in(2))
                .then(|| Doom::choose(&mut self.random, &self.backend, unsent));
            let within = if doom.is_some() { CRASH_WITHIN * 5 } else { CRASH_WITHIN };
            let crash_after = (left > 0).then(|| 1 + self.random.below(within));
            let ended = self.generation(crash_after, doom.as_ref(), make, &|| false);
            let doomed = doom.filter(|doom| doom.is_reached());
            match ended {
                Ended::Finished | Ended::Enough => return,
                Ended::Crashed => left -= 1,
                Ended::Fatal(_) if let Some(doom) = doomed => {
                    unsent = [CrashPoint::BatchSynced, CrashPoint::Published].contains(&doom.point);
                    *self.deaths.entry(doom.point).or_default() += 1;
                    left -= 1;
                }
                Ended::Fatal(fatal) => {
                    self.record(&fatal);
                    self.fatals.push(fatal);
                    assert!(self.fatals.len() < 10, "seed {}: {:?}", self.seed, self.fatals);
                    if self.fatals.len() >= self.heals_after {
                        self.disk.heal();
                    }
                }
            }
            self.crash();
        }
    }

    /// What survives the death of the process does so, in part. Panics if a reader has seen something of
    /// a topic that does not.
    pub fn crash(&mut self) {
        let durable = self.saved().topics;
        for (partition, mark) in self.visible.all() {
            let durable = durable.get(&partition).map_or(0, |mark| mark.next_base);
            assert!(mark.next_base <= durable, "seed {}: {partition:?}, {mark:?}", self.seed);
        }
        let random = &mut self.random;
        self.disk.crash(&mut |n| random.below(n));
        self.backend.crash(&mut |n| random.below(n));
    }

    fn generation(
        &mut self,
        crash_after: Option<u64>,
        doom: Option<&Arc<Doom>>,
        make: MakePlans<'_>,
        enough: &dyn Fn() -> bool,
    ) -> Ended {
        self.generations += 1;
        let mut settings = self.settings.clone();
        settings.seed = self.random.next_u64();
        settings.workers = self.workers[self.generations as usize % self.workers.len()];
        if let Some(doom) = doom.cloned() {
            settings.crash_points = CrashPoints::new(move |point| doom.passed(point));
        }
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let backend: Arc<dyn StateBackend> = Arc::new(self.backend.clone());
        let topics = TopicMarks::default();
        self.visible = topics.clone();
        let process = match Process::open(&settings, disk.clone(), backend, topics.clone()) {
            Ok(process) => process,
            Err(fatal) => return Ended::Fatal(fatal),
        };
        let Process { seats, mut machines, births, handle, .. } = process;
        let mut crew = Crew::new(seats, self.binary);
        let plans = make(&topics, disk);
        let reply = handle.submit(plans, self.options.clone()).expect("nothing else asks");
        for step in 0..STEPS_MAX {
            if crash_after == Some(step) {
                return Ended::Crashed;
            }
            if enough() {
                return Ended::Enough;
            }
            if let Some((_, act)) = self.act.take_if(|(after, _)| *after <= step) {
                act(&handle);
            }
            self.pass_time();
            machines.extend(births.drain());
            let pick = self.random.index(machines.len() + crew.len());
            if let Some(worker) = pick.checked_sub(machines.len()) {
                if let Err(fatal) = crew.step(worker) {
                    return Ended::Fatal(fatal);
                }
            } else {
                match machines[pick].step(self.now) {
                    Ok(Step::Done) => {
                        if pick == 0 {
                            return Ended::Finished;
                        }
                        drop(machines.remove(pick));
                    }
                    Ok(_) => {}
                    Err(fatal) => return Ended::Fatal(fatal),
                }
            }
            if let Some(Err(error)) = reply.take() {
                panic!("seed {}: {error}", self.seed);
            }
        }
        panic!("seed {}: stuck after {STEPS_MAX} steps: {:#?}", self.seed, handle.status());
    }

    /// What the binary does on its way out.
    fn record(&mut self, fatal: &Fatal) {
        if fatal.no_space {
            reserve::free(&self.disk).expect("a file is always removed");
        }
        let name = format!("{CRASH_DIR}/{}", self.fatals.len());
        self.disk.create_dir(CRASH_DIR).expect("directories cost nothing");
        if self.disk.replace(&name, &[b' '; RECORD_BYTES]).is_err() {
            self.unrecorded += 1;
        }
    }

    /// Mostly a little, now and then a jump of the wall clock either way (fault 6).
    fn pass_time(&mut self) {
        let us = self.random.below(400);
        self.now.tick_us += us;
        if us < 4 {
            self.now.wall_ms += 1;
        }
        if self.random.one_in(5000) {
            let jump = i64::try_from(self.random.below(7200)).expect("small") - 3600;
            self.now.wall_ms += jump;
        }
    }

    /// What the checkpoint holds.
    pub fn saved(&self) -> Saved {
        Saved::read(&self.backend).expect("a checkpoint of ours")
    }

    /// All counters, sorted.
    pub fn counters(&self) -> Vec<StoredCounter> {
        self.saved().counters()
    }

    /// Visible rows of an embedded topic: partition, key and value, in the order of each partition.
    pub fn topic(&self, topic: &str) -> Vec<(u32, Vec<u8>, Vec<u8>)> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let mut rows = Vec::new();
        for ((name, partition), mark) in self.saved().topics {
            if &*name != topic {
                continue;
            }
            let dir = topic_dir(topic, partition);
            let mut reader = LogReader::open(disk.clone(), &dir, mark, 0);
            while let Some(block) = reader.read().expect("visible blocks are whole") {
                for row in RowReader::new(&block.bytes) {
                    let row = row.expect("checked by the block's checksum");
                    let owned = |bytes: Option<&[u8]>| bytes.unwrap_or_default().to_vec();
                    rows.push((partition, owned(row.key), owned(row.value)));
                }
            }
        }
        rows
    }
}

/// Seeds for a test: `WATERSHED_SEED` repeats one, else `count` seeds from `first`.
pub fn seeds(first: u64, count: u64) -> Vec<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test may be told which seed to repeat")]
    let one = std::env::var("WATERSHED_SEED").ok().and_then(|seed| seed.parse().ok());
    one.map_or_else(|| (first..first + count).collect(), |seed| vec![seed])
}
