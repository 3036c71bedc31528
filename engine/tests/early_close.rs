//! Epochs that close early because memory fills: none is small, and one is filled while another is on
//! its way.
//!
//! An epoch costs a commit with all its syncs and one of the few places in flight. If memory that is
//! still held by one epoch closed the next ones, these would be nearly empty, and the sources would wait
//! until all of them are complete.

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use engine::checkpoint::writer::TopicMarks;
use engine::control::handle::Handle;
use engine::graph::plan::{Asks, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::stateful::{Close, Stateful};
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};

const RECORDS: u64 = 12_000;
const PARTITIONS: u64 = 4;
/// A record has some 203 bytes.
const INFLIGHT_BYTES: u64 = 400_000;
/// Records in an eighth of it, or nearly.
const SHARE: u64 = 200;

/// Rows by epoch, of all workers.
type Seen = Mutex<BTreeMap<u64, u64>>;

/// Looks at its rows one by one.
struct Slow(Arc<Seen>);

impl Stateful for Slow {
    fn close(&mut self, close: &mut Close<'_>) {
        let mut rows = 0;
        while close.next_row().is_some() {
            rows += 1;
        }
        *self.0.lock().expect("no worker panics").entry(close.epoch).or_default() += rows;
    }

    fn load(&mut self, _: u16, _: &[u8], _: &[u8]) {}

    fn entries(&self) -> usize {
        0
    }
}

fn plan(records: &Records, seen: &Arc<Seen>) -> Vec<Arc<JobPlan>> {
    let mut job = JobBuilder::new("slow");
    let source = job.source("in", SourceSpec { bound_ms: 50, ..records.spec() });
    let seen = seen.clone();
    job.stateful(
        "slow",
        &[(&source.rows, Route::Local)],
        StatefulSpec {
            what: "slow",
            make: Arc::new(move || Box::new(Slow(seen.clone()))),
            outputs: 0,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    vec![Arc::new(job.build().expect("a good plan"))]
}

fn records(seed: u64) -> Records {
    let record = |number: u64| (vec![b'k'; 200], format!("{}", 1000 + number).into_bytes());
    let partition = |_| (0..RECORDS / PARTITIONS).map(record).collect();
    Records::new("in", (0..PARTITIONS).map(partition).collect(), seed)
}

#[test]
fn memory_that_fills_ends_epochs_with_rows_and_sources_go_on_meanwhile() {
    for (seed, workers) in seeds(1, 6).into_iter().zip([1, 2, 3].into_iter().cycle()) {
        let (records, seen) = (records(seed), Arc::<Seen>::default());
        let mut simulation = Simulation::new(seed, 1_000_000).with_workers(&[workers], false);
        // Nothing but memory ends an epoch.
        simulation.settings.epoch.interval_ms = None;
        simulation.settings.inflight_bytes_max = INFLIGHT_BYTES;
        // A close takes far longer than the least time between two.
        simulation.settings.operator_rows = 1;
        let handle: Rc<OnceCell<Handle>> = Rc::default();
        let told = handle.clone();
        simulation.act_after(0, move |handle| drop(told.set(handle.clone())));
        // Epochs that were closed while the one before was not complete.
        let overlapped = RefCell::new(BTreeSet::new());
        let look = || {
            let status = handle.get().map(Handle::status).unwrap_or_default();
            let both = status.groups.iter().filter(|group| group.closed > group.complete + 1);
            overlapped.borrow_mut().extend(both.map(|group| group.closed));
            false
        };
        let make = |_: &TopicMarks, _| plan(&records, &seen);
        assert!(simulation.run_until(u64::MAX, &make, &look), "seed {seed}: it did not end");
        let rows: Vec<u64> = seen.lock().expect("no worker panics").values().copied().collect();
        assert_eq!(rows.iter().sum::<u64>(), RECORDS, "seed {seed}");
        assert!(rows.len() >= 20, "seed {seed}: {} epochs, memory did not fill", rows.len());
        // The input ends with what is left, and that is closed once more.
        let small = rows.iter().filter(|rows| **rows < SHARE).count();
        assert!(small <= 3, "seed {seed}: {small} small epochs of {}: {rows:?}", rows.len());
        let times = overlapped.borrow().len();
        assert!(times >= 10, "seed {seed}: only {times} epochs were filled during another's close");
    }
}
