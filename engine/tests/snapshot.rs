//! A source that begins with a snapshot, under a seed: no epoch ends with a part of it.

use std::sync::Arc;

use engine::batch::build::Stamp;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::piece::Delta;
use engine::checkpoint::writer::TopicMarks;
use engine::codec::Verbatim;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::stateful::{Close, SHARED_GROUP, Stateful};
use engine::sink::UnitPolicy;
use engine::testing::records::{KEY, Record, Records, VALUE};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;

const CONFIG: usize = 0;
/// Records of the snapshot.
const WHOLE: u64 = 100;
/// Records of the other source.
const OTHERS: u64 = 80;

/// Says at each close that brought rows how much of the snapshot has come by then.
#[derive(Default)]
struct Gate {
    seen: u64,
}

impl Stateful for Gate {
    fn close(&mut self, close: &mut Close<'_>) {
        let of_config = close.rows.iter().filter(|(input, _)| *input == CONFIG).count();
        self.seen += of_config as u64;
        let schema = schema();
        if let Some((_, row)) = close.rows.iter().next() {
            let builder = close.output.row(0, &schema);
            builder.begin();
            for (column, number) in [(KEY, close.epoch), (VALUE, self.seen)] {
                let slice = builder.append(number.to_string().as_bytes());
                builder.slice(column, slice);
            }
            builder.end(Stamp::of(row));
            let value = Some(self.seen.to_be_bytes().to_vec());
            close.deltas.push(Delta { group: SHARED_GROUP, key: b"seen".to_vec(), value });
        }
    }

    fn load(&mut self, _group: u16, _key: &[u8], value: &[u8]) {
        self.seen = u64::from_be_bytes(value.try_into().expect("eight bytes"));
    }

    fn entries(&self) -> usize {
        1
    }
}

fn schema() -> Arc<Schema> {
    Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

fn source(records: &Records) -> SourceSpec {
    SourceSpec { bound_ms: 50, ..records.spec() }
}

fn plans(config: &Records, others: &Records, target: &Target) -> Vec<Arc<JobPlan>> {
    let mut job = JobBuilder::new("gated");
    let inputs = [job.source("config", source(config)), job.source("in", source(others))];
    let one_worker = || Route::Key(vec![]);
    let seen = job.stateful(
        "gate",
        &inputs.each_ref().map(|edges| (&edges.rows, one_worker())),
        StatefulSpec {
            what: "gate",
            make: Arc::new(|| Box::new(Gate::default())),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let verbatim = Arc::new(Verbatim { key: KEY, value: VALUE });
    job.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["seen"],
        vec![(&seen[0], Feed::result(0, verbatim))],
    );
    vec![Arc::new(job.build().expect("a good plan"))]
}

fn records(count: u64) -> Vec<Record> {
    (0..count).map(|number| (b"k".to_vec(), format!("{}", 1000 + number).into_bytes())).collect()
}

/// Runs a history and returns after how many closes rows had come.
fn check(seed: u64, crashes: u32, interval_ms: u64) -> usize {
    // One partition of the snapshot is empty.
    let partitions = vec![records(WHOLE - 30), vec![], records(30)];
    let config = Records::new("config", partitions, seed).snapshot();
    let others = Records::new("in", vec![records(OTHERS)], seed + 1);
    let target = Target::new(seed, UnitPolicy::EVERY_EPOCH);
    let mut simulation = Simulation::new(seed, 1_000_000);
    simulation.settings.epoch.interval_ms = Some(interval_ms);
    simulation.run(crashes, &|_: &TopicMarks, _| plans(&config, &others, &target));
    assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
    let whole = WHOLE.to_string().into_bytes();
    for (_, epoch, seen) in target.rows() {
        assert_eq!(seen.as_ref(), Some(&whole), "seed {seed}: at the close of {epoch:?}");
    }
    let counter = |name: &str| {
        let all = simulation.counters();
        all.iter().filter(|counter| counter.name == name).map(|counter| counter.value).sum::<u64>()
    };
    assert_eq!(counter("records_in"), WHOLE + OTHERS, "seed {seed}");
    target.rows().len()
}

#[test]
fn no_epoch_ends_with_a_part_of_the_snapshot() {
    let seeds = seeds(1, 50);
    let closes: usize = seeds.iter().map(|seed| check(*seed, 4, 1 + seed % 5)).sum();
    // That there were closes at all between which the snapshot could have been cut.
    if seeds.len() > 1 {
        assert!(closes > 2 * seeds.len(), "{closes} closes");
    }
}
