//! Rows too large for their target under a seed: dead letters, through crashes and with workers.

use std::sync::Arc;

use engine::codec::Verbatim;
use engine::graph::plan::{Feed, SinkTarget};
use engine::graph::{JobBuilder, JobPlan};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::testing::records::{KEY, Record, Records, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

const ROWS: u16 = 0;
const DEAD: u16 = 1;
/// What a row may have, with its key.
const BYTES_MAX: u64 = 200;
/// What a dead letter may have: less, and more than its headers.
const DEAD_BYTES_MAX: u64 = 150;

fn plan(records: &Records, target: &Target) -> Arc<JobPlan> {
    let mut job = JobBuilder::new("j");
    let source = job.source("in", records.spec());
    let verbatim = Arc::new(Verbatim { key: KEY, value: VALUE });
    job.sink_with_dead_letters(
        "out",
        (SinkTarget::Outside(Arc::new(target.afresh())), Some(DEAD)),
        &["rows", "j_dead"],
        vec![(&source.rows, Feed::result(ROWS, verbatim))],
    );
    Arc::new(job.build().expect("a good plan"))
}

/// Values with their time first; one of ten is too large.
fn input(seed: u64) -> Vec<Vec<Record>> {
    let mut random = Random::new(seed);
    let mut record = |partition: usize, number: usize| {
        let length = if random.one_in(10) { 200 + random.below(9_000) } else { random.below(150) };
        let filling = "x".repeat(usize::try_from(length).expect("small"));
        let value = format!("{} {partition}-{number} {filling}", 1000 + number);
        (format!("k{partition}").into_bytes(), value.into_bytes())
    };
    (0..2).map(|partition| (0..150).map(|number| record(partition, number)).collect()).collect()
}

#[test]
fn rows_that_are_too_large_become_dead_letters_and_the_rest_goes_on() {
    let crews: [&[usize]; 3] = [&[1], &[2, 1], &[1, 3]];
    for seed in seeds(7_001, 30) {
        let partitions = input(seed);
        let fits = |(key, value): &&Record| (key.len() + value.len()) as u64 <= BYTES_MAX;
        let (mut rows, large): (Vec<&Record>, Vec<&Record>) =
            partitions.iter().flatten().partition(fits);
        let records = Records::new("in", partitions.clone(), seed);
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..UnitPolicy::EVERY_EPOCH };
        let target = Target::new(seed, policy).with_row_limits(&[BYTES_MAX, DEAD_BYTES_MAX]);
        let crew = crews[usize::try_from(seed % 3).expect("below three")];
        let mut simulation = Simulation::new(seed, 1_000_000).with_workers(crew, false);
        simulation.settings.epoch.interval_ms = Some(20 + seed % 80);
        simulation.run(4, &|_, _| vec![plan(&records, &target)]);
        assert_eq!(simulation.fatals, [], "seed {seed}");

        let delivered = target.rows();
        let of = |number: u16| delivered.iter().filter(move |(to, ..)| *to == number);
        let mut got: Vec<Record> = of(ROWS)
            .map(|(_, key, value)| (key.clone().expect("a key"), value.clone().expect("a value")))
            .collect();
        got.sort();
        rows.sort();
        assert!(got.iter().eq(rows.iter().copied()), "seed {seed}: each row once");
        let mut letters: Vec<&[u8]> =
            of(DEAD).map(|(_, _, value)| value.as_deref().expect("a value")).collect();
        letters.sort_unstable();
        let mut values: Vec<&[u8]> = large.iter().map(|(_, value)| value.as_slice()).collect();
        values.sort_unstable();
        assert_eq!(letters.len(), values.len(), "seed {seed}");
        let cut =
            |(letter, value): (&&[u8], &&[u8])| !letter.is_empty() && value.starts_with(letter);
        assert!(letters.iter().zip(&values).all(cut), "seed {seed}: {letters:?}");

        let counters = simulation.counters();
        let counted = |name: &str| {
            let found = counters.iter().filter(|counter| counter.name == name);
            found.map(|counter| counter.value).sum::<u64>()
        };
        assert!(!large.is_empty(), "seed {seed}: worth running");
        let expected = (large.len() as u64, rows.len() as u64);
        assert_eq!((counted("dirty"), counted("records_out")), expected, "seed {seed}");
    }
}
