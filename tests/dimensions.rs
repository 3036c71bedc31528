//! Dimensions under a seed: changes and config rows in any interleaving, crashes at any point; the
//! tables must be those of a batch that knew the configuration from the start.
//!
//! `WATERSHED_SEED=n cargo test --test dimensions` repeats a failure.

mod support {
    pub(crate) mod shop;
}

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::source::Start;
use engine::state::memory::MemoryBackend;
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};
use jobs::{Job, Outside, Settings};
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;
use support::shop::{self, Change, ConfigEvent, Table};

const START_MS: i64 = 1_651_330_800_000;
const PARTITIONS: u32 = 2;

fn partitioner(key: &[u8], partitions: u32) -> u32 {
    key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
}

/// One history: what is read, and the store that outlives crashes.
struct History {
    ods_db: Records,
    table_process: Records,
    store: DimensionStore,
    settings: Settings,
}

impl History {
    fn new(seed: u64, changes: &[Change], events: &[ConfigEvent]) -> Self {
        let mut partitions = vec![Vec::new(); PARTITIONS as usize];
        for change in changes {
            let key = change.table.as_bytes().to_vec();
            let at = partitioner(&key, PARTITIONS) as usize;
            partitions[at].push((key, change.json(START_MS / 1000)));
        }
        let config = events.iter().map(|event| (Vec::new(), event.json())).collect();
        Self {
            ods_db: Records::new("ods_db", partitions, seed),
            table_process: Records::new("table_process", vec![config], seed ^ 7),
            store: DimensionStore::new(Arc::new(MemoryBackend::new())).expect("a fresh store"),
            settings: Settings { idle_timeout_ms: 0, ..Settings::default() },
        }
    }

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
            table: &|_name| unreachable!("no DWS here"),
            dimensions: &|| Arc::new(DimensionSinkFactory { store: self.store.clone() }),
            publish: &|_job| true,
        };
        jobs::plans(&[Job::Dimensions], &self.settings, &outside).expect("good plans")
    }

    fn run(&self, seed: u64, crashes: u32, interval_ms: u64) -> Simulation {
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.settings.epoch.interval_ms = Some(interval_ms);
        simulation.run(crashes, &|_, _| self.plans());
        assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
        simulation
    }

    fn tables(&self) -> BTreeMap<String, Table> {
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
}

fn check(seed: u64, changes: u64, crashes: u32, interval_ms: u64) -> u32 {
    let changes = shop::changes(seed, changes);
    let events = shop::widening(seed);
    let history = History::new(seed, &changes, &events);
    let simulation = history.run(seed, crashes, interval_ms);
    let expected = shop::outcome(&changes, &events);
    assert_eq!(history.tables(), expected, "seed {seed}: {:#?}", simulation.counters());
    simulation.generations
}

#[test]
fn crashes_and_config_churn_do_not_change_the_tables() {
    let seeds = seeds(1, 50);
    let generations: u32 = seeds.iter().map(|&seed| check(seed, 150, 5, 5 + seed % 40)).sum();
    assert!(seeds.len() == 1 || generations > 100, "only {generations} generations");
}

/// Ten thousand interleavings, on as many processors as there are for tests.
fn any_interleaving(first: u64) {
    for seed in seeds(first, 2_500) {
        check(seed, 40, 0, 1 + seed % 30);
    }
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_1() {
    any_interleaving(10_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_2() {
    any_interleaving(20_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_3() {
    any_interleaving(30_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_4() {
    any_interleaving(40_000);
}
