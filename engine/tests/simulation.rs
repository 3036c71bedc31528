//! The engine under a seed: three linked jobs, crashes at any point, results equal to naive ones.

#[path = "simulation/jobs.rs"]
mod jobs;
#[path = "simulation/oracle.rs"]
mod oracle;

use std::collections::BTreeMap;

use engine::checkpoint::writer::TopicMarks;
use engine::counter::StoredCounter;
use engine::crash_point::CrashPoint;
use engine::sink::UnitPolicy;
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

use crate::jobs::plans;
use crate::oracle::{input, observed, oracle, text};

fn check(seed: u64, crashes: u32, interval_ms: u64, policy: UnitPolicy) -> Ran {
    let simulation = Simulation::new(seed, 1_000_000);
    check_in(simulation, seed, crashes, interval_ms, policy)
}

fn check_in(
    mut simulation: Simulation,
    seed: u64,
    crashes: u32,
    interval_ms: u64,
    policy: UnitPolicy,
) -> Ran {
    let partitions = input(seed);
    let expected = oracle(&partitions);
    let records = Records::new("in", partitions.clone(), seed);
    let target = Target::new(seed, policy);
    simulation.settings.epoch.interval_ms = Some(interval_ms);
    // Every other history has so small files that each block needs a new one, and old ones go.
    if seed.is_multiple_of(2) {
        simulation.settings.log.file_bytes = 300;
    }
    simulation.run(crashes, &|_: &TopicMarks, _| plans(&records, &target));

    assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
    assert_eq!(observed(&target.rows(), &expected), expected, "seed {seed}");
    let mut by_key: BTreeMap<Vec<u8>, Vec<String>> = BTreeMap::new();
    for (_, key, value) in simulation.topic("numbered") {
        by_key.entry(key).or_default().push(text(&Some(value)));
    }
    assert_eq!(by_key, expected.numbered, "seed {seed}: topic");
    assert_eq!(simulation.topic("dead").len(), expected.dead, "seed {seed}: dead letters");
    let counter = |name: &str| {
        let all = simulation.counters();
        let of_source = |counter: &&StoredCounter| {
            counter.name == name && (name != "records_in" || counter.labels[0].1 == "numbers")
        };
        all.iter().filter(of_source).map(|counter| counter.value).sum::<u64>()
    };
    let total = partitions.iter().map(Vec::len).sum::<usize>() as u64;
    assert_eq!(counter("records_in"), total, "seed {seed}: no record counted twice or not at all");
    assert_eq!(counter("dirty"), expected.dead as u64, "seed {seed}");
    assert_eq!(counter("windows_fired"), expected.windows.len() as u64, "seed {seed}");
    Ran {
        generations: simulation.generations,
        repeated: target.repeated(),
        blocks: target.blocks(),
        deaths: simulation.deaths,
    }
}

/// What a history was like.
#[derive(Default)]
struct Ran {
    generations: u32,
    repeated: u64,
    /// Of records of one partition, and others.
    blocks: (u64, u64),
    deaths: BTreeMap<CrashPoint, u32>,
}

#[test]
fn crashes_lose_nothing_and_double_nothing() {
    let mut all = Ran::default();
    let seeds = seeds(1, 50);
    for &seed in &seeds {
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..LAZY };
        let ran = check(seed, 8, 20 + seed % 80, policy);
        all.generations += ran.generations;
        all.repeated += ran.repeated;
        all.blocks = (all.blocks.0 + ran.blocks.0, all.blocks.1 + ran.blocks.1);
        for (point, deaths) in ran.deaths {
            *all.deaths.entry(point).or_default() += deaths;
        }
    }
    // That the histories are worth running: they do die, and replies do get lost.
    if seeds.len() > 1 {
        assert!(all.generations > 150, "{} generations", all.generations);
        assert!(all.repeated > 0, "no unit was ever sent twice");
        let (records, others) = all.blocks;
        assert!(records > 100 && others > 100, "{records} blocks of records, {others} others");
        // The sinks have transactions in Kafka only, and one worker has one shard.
        let elsewhere =
            [CrashPoint::TransactionBegun, CrashPoint::HalfSent, CrashPoint::BetweenShards];
        for point in CrashPoint::ALL.into_iter().filter(|point| !elsewhere.contains(point)) {
            assert!(all.deaths.contains_key(&point), "nobody died at {point}: {:?}", all.deaths);
        }
    }
}

const LAZY: UnitPolicy =
    UnitPolicy { epochs_max: 3, rows_max: u64::MAX, bytes_max: u64::MAX, interval_ms: i64::MAX };

/// S2: workers in threads of their own that take turns; the number changes from life to life.
#[test]
fn workers_lose_nothing_and_double_nothing() {
    let crews: [&[usize]; 5] = [&[2], &[3], &[1, 4, 2], &[3, 1], &[2, 4]];
    let mut all = Ran::default();
    let seeds = seeds(5_001, 50);
    for &seed in &seeds {
        let crew = crews[usize::try_from(seed % 5).expect("below five")];
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..LAZY };
        let simulation =
            Simulation::new(seed, 1_000_000).with_workers(crew, seed.is_multiple_of(2));
        let ran = check_in(simulation, seed, 5, 20 + seed % 80, policy);
        all.generations += ran.generations;
        all.repeated += ran.repeated;
    }
    if seeds.len() > 1 {
        assert!(all.generations > 120, "{} generations", all.generations);
        assert!(all.repeated > 0, "no unit was ever sent twice");
    }
}

/// One seed is one history, also with threads: the outside sees the same rows in the same order.
#[test]
fn a_seed_repeats_its_history_with_workers_too() {
    let history = |seed, binary| {
        let records = Records::new("in", input(seed), seed);
        let target = Target::new(seed, LAZY);
        let mut simulation = Simulation::new(seed, 1_000_000).with_workers(&[3, 2], binary);
        simulation.run(3, &|_: &TopicMarks, _| plans(&records, &target));
        let deliveries = format!("{:?}", target.rows());
        (deliveries, simulation.topic("numbered"), simulation.generations)
    };
    for seed in seeds(31, 4) {
        let first = history(seed, false);
        assert!(first == history(seed, false), "seed {seed}: another history");
        if seed == 31 {
            assert!(history(32, true) == history(32, true), "as bytes");
            assert!(first.0 != history(33, false).0, "another seed, another history");
        }
    }
}

#[test]
fn results_do_not_depend_on_where_epochs_are_cut() {
    for interval_ms in [1, 1_000, 3_600_000] {
        check(7, 0, interval_ms, UnitPolicy::EVERY_EPOCH);
    }
}
