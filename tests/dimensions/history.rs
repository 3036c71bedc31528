//! One simulated history of the dimensions job: what it reads grows phase by phase, the tables
//! outlive every crash.
//!
//! A phase ends when all is read, read again and delivered; so between two phases nothing is under
//! way, and what a phase makes of the tables is certain.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use engine::control::status::Status;
use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::random::Random;
use engine::sink::SinkFactory;
use engine::source::Start;
use engine::state::memory::MemoryBackend;
use engine::testing::records::{Record, Records};
use engine::testing::simulate::Simulation;
use jobs::{Job, Outside, Settings};
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

use super::shop::{self, Change, ConfigEvent, Table};

/// When the histories begin.
pub(crate) const START_MS: i64 = 1_651_330_800_000;
const PARTITIONS: u32 = 2;
/// Steps within which a crash comes, if it comes early.
pub(crate) const SOON: u64 = 600;

fn partitioner(key: &[u8], partitions: u32) -> u32 {
    key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
}

/// A history.
pub(crate) struct History {
    pub(crate) settings: Settings,
    /// Where rows go; by default the embedded tables themselves.
    pub(crate) sink: Arc<dyn SinkFactory>,
    pub(crate) store: DimensionStore,
    pub(crate) simulation: Simulation,
    random: Random,
    changes: Vec<Vec<Record>>,
    config: Vec<Record>,
}

impl History {
    /// Nothing has happened. Nothing but the end of a phase ends an epoch, not even the first one of a
    /// start ends early.
    pub(crate) fn with_an_epoch_per_phase(seed: u64) -> Self {
        let mut history = Self::new(seed, 1);
        history.simulation.settings.epoch.interval_ms = None;
        history
    }

    /// Nothing has happened. Epochs are `interval_ms` long.
    pub(crate) fn new(seed: u64, interval_ms: u64) -> Self {
        let store = DimensionStore::new(Arc::new(MemoryBackend::new())).expect("a fresh store");
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.settings.epoch.interval_ms = Some(interval_ms);
        Self {
            settings: Settings { idle_timeout_ms: 0, ..Settings::default() },
            sink: Arc::new(DimensionSinkFactory { store: store.clone() }),
            store,
            simulation,
            random: Random::new(seed ^ 0xd1e),
            changes: vec![Vec::new(); PARTITIONS as usize],
            config: Vec::new(),
        }
    }

    /// With so many workers in the first life, the second and so on, over and over.
    pub(crate) fn with_workers(mut self, workers: &[usize], binary: bool) -> Self {
        self.simulation = self.simulation.with_workers(workers, binary);
        self
    }

    /// Adds to what there is to read. Changes of one table keep their order, config rows keep theirs.
    pub(crate) fn add(&mut self, changes: &[Change], events: &[ConfigEvent]) {
        for change in changes {
            let key = change.table.as_bytes().to_vec();
            let at = partitioner(&key, PARTITIONS) as usize;
            self.changes[at].push((key, change.json(START_MS / 1000)));
        }
        self.config.extend(events.iter().map(|event| (Vec::new(), event.json())));
    }

    /// A phase: these come, and everything is worked off, dying `crashes` times on the way.
    pub(crate) fn then(&mut self, changes: &[Change], events: &[ConfigEvent], crashes: u32) {
        self.add(changes, events);
        let after: Vec<u64> = (0..crashes).map(|_| 1 + self.random.below(SOON)).collect();
        self.work_off(&after);
    }

    /// Works for so many steps, which MUST NOT be enough to finish, and dies.
    pub(crate) fn die_after(&mut self, steps: u64) {
        let world = self.world();
        assert!(!self.simulation.run_until(steps, &|_, _| world.plans(), &|| false), "finished");
        self.crash();
    }

    fn crash(&mut self) {
        let random = &mut self.random;
        self.simulation.disk.crash(&mut |n| random.below(n));
        self.simulation.backend.crash(&mut |n| random.below(n));
    }

    /// Works everything off, dying after so many steps each time.
    pub(crate) fn work_off(&mut self, crashes: &[u64]) {
        let world = self.world();
        for steps in crashes {
            if self.simulation.run_until(*steps, &|_, _| world.plans(), &|| false) {
                return;
            }
            self.crash();
        }
        self.simulation.run(0, &|_, _| world.plans());
        assert_eq!(self.simulation.fatals, [], "it stopped by itself");
    }

    /// Works everything off; `see` is called before every step, with its number and a way to ask for
    /// the state of the process.
    pub(crate) fn watch(&mut self, see: &dyn Fn(u64, &dyn Fn() -> Status)) {
        let world = self.world();
        let handle = Arc::new(OnceLock::new());
        let given = handle.clone();
        self.simulation.act_after(0, move |handle| drop(given.set(handle.clone())));
        let step = Cell::new(0);
        let finished = self.simulation.run_until(u64::MAX, &|_, _| world.plans(), &|| {
            step.set(step.get() + 1);
            if let Some(handle) = handle.get() {
                see(step.get(), &|| handle.status());
            }
            false
        });
        assert!(finished);
    }

    fn world(&mut self) -> World {
        let ods_db = Records::new("ods_db", self.changes.clone(), self.random.next_u64());
        let config = vec![self.config.clone()];
        let table_process = Records::new("table_process", config, self.random.next_u64());
        World { ods_db, table_process, sink: self.sink.clone(), settings: self.settings.clone() }
    }

    /// All tables in the oracle's form.
    pub(crate) fn tables(&self) -> BTreeMap<String, Table> {
        let tables = self.store.tables();
        let read = tables.iter().map(|table| {
            let mut rows = Table::new();
            let keys: Vec<String> =
                table.key_names().iter().map(|name| name.to_lowercase()).collect();
            for row in self.store.scan(&table.name).expect("there") {
                let mut line = Vec::new();
                row.expect("whole").write_json(&mut line);
                let row = shop::dumped(&line);
                let key = keys.iter().map(|key| row[key].clone().expect("a key")).collect();
                rows.insert(key, row);
            }
            (table.name.to_lowercase(), rows)
        });
        read.collect()
    }

    /// A counter of the job, by its label if it has one more.
    pub(crate) fn counter(&self, name: &str, label: Option<(&str, &str)>) -> u64 {
        let counters = self.simulation.counters();
        let is = |labels: &[(String, String)]| {
            let of_job = labels.iter().any(|(_, value)| value == "dimensions");
            let more = labels.iter().find(|(name, _)| name != "job");
            of_job && more.map(|(name, value)| (name.as_str(), value.as_str())) == label
        };
        let counter = counters.iter().find(|counter| counter.name == name && is(&counter.labels));
        counter.map_or(0, |counter| counter.value)
    }

    /// The values of a side output, as text.
    pub(crate) fn side(&self, topic: &str) -> Vec<String> {
        let text = |(_, _, value)| String::from_utf8(value).expect("records of this test are text");
        self.simulation.topic(topic).into_iter().map(text).collect()
    }
}

/// What the jobs of a generation are connected to.
struct World {
    ods_db: Records,
    table_process: Records,
    sink: Arc<dyn SinkFactory>,
    settings: Settings,
}

impl World {
    fn plans(&self) -> Vec<Arc<JobPlan>> {
        let outside = Outside {
            source: &|name| {
                let records = if name == "ods_db" { &self.ods_db } else { &self.table_process };
                (Arc::new(records.clone()), Start::Earliest)
            },
            topics: &|names| {
                let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 1 };
                SinkTarget::Topics(names.iter().map(spec).collect(), partitioner)
            },
            topic_prefix: "",
            table: &|_name| unreachable!("no DWS here"),
            dimensions: &|| self.sink.clone(),
            publish: &|_job| true,
        };
        jobs::plans(&[Job::Dimensions], &self.settings, &outside).expect("good plans")
    }
}
