//! A stop while state is being restored: it ends at once, and nothing is lost by it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::checkpoint::piece::Delta;
use engine::checkpoint::writer::TopicMarks;
use engine::graph::plan::{Asks, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::hash::key_group;
use engine::operator::stateful::{Close, Stateful};
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};

/// Entries of state: more than a loader reads in some thirty steps.
const ENTRIES: u64 = 40_000;
/// Steps of a generation before it is asked to stop; its machines step by turns.
const STEPS: u64 = 25;

/// Writes all its entries at the first close, and counts what it takes back.
struct Large {
    entries: u64,
    loaded: Arc<AtomicU64>,
}

impl Stateful for Large {
    fn close(&mut self, close: &mut Close<'_>) {
        for number in self.entries..ENTRIES {
            let key = number.to_be_bytes().to_vec();
            close.deltas.push(Delta { group: key_group(&key), key, value: Some(vec![1]) });
        }
        self.entries = ENTRIES;
    }

    fn load(&mut self, _group: u16, _key: &[u8], _value: &[u8]) {
        self.entries += 1;
        self.loaded.fetch_add(1, Ordering::Relaxed);
    }

    fn entries(&self) -> usize {
        usize::try_from(self.entries).expect("some thousands")
    }
}

fn plans(records: &Records, loaded: &Arc<AtomicU64>) -> Vec<Arc<JobPlan>> {
    let mut job = JobBuilder::new("large");
    let source = job.source("in", SourceSpec { bound_ms: 50, ..records.spec() });
    let loaded = loaded.clone();
    job.stateful(
        "state",
        &[(&source.rows, Route::Key(vec![]))],
        StatefulSpec {
            what: "large",
            make: Arc::new(move || Box::new(Large { entries: 0, loaded: loaded.clone() })),
            outputs: 0,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    vec![Arc::new(job.build().expect("a good plan"))]
}

#[test]
fn a_stop_does_not_wait_for_state_that_is_being_restored() {
    for seed in seeds(1, 20) {
        let records = (0..10).map(|number| (vec![b'k'], format!("{}", 1000 + number).into_bytes()));
        let records = Records::new("in", vec![records.collect()], seed);
        let loaded = Arc::new(AtomicU64::new(0));
        let make = |_: &TopicMarks, _| plans(&records, &loaded);
        let mut simulation = Simulation::new(seed, 1_000_000);
        simulation.run(0, &make);
        let complete = simulation.saved().complete;
        assert_eq!(loaded.load(Ordering::Relaxed), 0, "seed {seed}: nothing was there before");

        simulation.act_after(STEPS, |handle| handle.stop().expect("nobody else asks"));
        simulation.run(0, &make);
        let taken = loaded.swap(0, Ordering::Relaxed);
        assert!(taken < ENTRIES, "seed {seed}: all state was waited for");
        assert_eq!(simulation.saved().complete, complete, "seed {seed}: nothing was completed");

        simulation.run(0, &make);
        assert_eq!(loaded.load(Ordering::Relaxed), ENTRIES, "seed {seed}: all is there again");
        assert!(simulation.saved().complete > complete, "seed {seed}: and it goes on");
    }
}
