//! The first epoch of a process: whoever waits for results behind a crash does not wait for an interval.

use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;

use engine::checkpoint::piece::Delta;
use engine::checkpoint::writer::TopicMarks;
use engine::control::handle::Handle;
use engine::graph::plan::{Asks, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::hash::key_group;
use engine::operator::stateful::{Close, Stateful};
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};

/// Entries of state that have to be there before anything is closed.
const ENTRIES: u64 = 10_000;
/// Some seconds of simulated time.
const STEPS: u64 = 20_000;
const HOUR_MS: u64 = 3_600_000;

/// Writes some entries at every close.
struct State(u64);

impl Stateful for State {
    fn close(&mut self, close: &mut Close<'_>) {
        for number in self.0..ENTRIES {
            let key = number.to_be_bytes().to_vec();
            close.deltas.push(Delta { group: key_group(&key), key, value: Some(vec![1]) });
        }
        self.0 = ENTRIES;
    }

    fn load(&mut self, _group: u16, _key: &[u8], _value: &[u8]) {
        self.0 += 1;
    }

    fn entries(&self) -> usize {
        usize::try_from(self.0).expect("some thousands")
    }
}

fn plan(records: &Records) -> Arc<JobPlan> {
    let mut job = JobBuilder::new("job");
    let source = job.source("in", SourceSpec { bound_ms: 50, ..records.spec() });
    job.stateful(
        "state",
        &[(&source.rows, Route::Key(vec![]))],
        StatefulSpec {
            what: "state",
            make: Arc::new(|| Box::new(State(0))),
            outputs: 0,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    Arc::new(job.build().expect("a good plan"))
}

#[test]
fn the_first_epoch_ends_before_its_interval() {
    for seed in seeds(1, 10) {
        let all: Vec<_> = (0..4_000)
            .map(|number| (vec![b'k'], format!("{}", 1000 + number).into_bytes()))
            .collect();
        let mut simulation = Simulation::new(seed, 1_000_000);
        simulation.settings.epoch.interval_ms = Some(HOUR_MS);
        simulation.settings.epoch.stop_at_end = false;
        let mut complete = 0;
        for generation in 1..=2_usize {
            // A source that begins has something to give, also the second time.
            let records = Records::new(
                "in",
                vec![all.iter().take(2_000 * generation).cloned().collect()],
                seed,
            );
            let handle: Rc<OnceCell<Handle>> = Rc::default();
            let told = handle.clone();
            simulation.act_after(0, move |handle| drop(told.set(handle.clone())));
            let reached = || {
                let status = handle.get().map(Handle::status);
                status.and_then(|status| status.groups.first().map(|group| group.complete))
            };
            let make = |_: &TopicMarks, _| vec![plan(&records)];
            let enough = || reached().is_some_and(|epoch| epoch > complete);
            let ended = simulation.run_until(STEPS, &make, &enough);
            assert!(ended, "seed {seed}: nothing complete in generation {generation}");
            complete = reached().expect("it runs");
        }
    }
}
