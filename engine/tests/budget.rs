//! The budget of an operator: where a close is interrupted never shows, and others go on meanwhile.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::batch::Batch;
use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::key;
use engine::batch::order::Order;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::writer::TopicMarks;
use engine::control::handle::Handle;
use engine::counter::Counters;
use engine::epoch::hold::HoldReason;
use engine::graph::plan::{Asks, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::gate::{Gate, GateContext, GateLogic, GateMode};
use engine::operator::keyed::{Codec, Keyed, KeyedLogic, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::{Output, Stateful};
use engine::operator::window::{Aggregate, WindowFinal, WindowPartial};
use engine::random::Random;
use engine::testing::by_hand::ByHand;
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};
use engine::time::window::Tumbling;

const KEY: usize = 0;
const WINDOWS: Tumbling = Tumbling { size_ms: 20, lateness_ms: 10 };
/// 4096 batches, the most that can be set.
const WHOLE: usize = 4096 * 1024;

fn schema() -> Arc<Schema> {
    Schema::new("row", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

#[derive(Debug, Default, Clone)]
struct Number(u64);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

fn write(output: &mut Output, key: &[u8], value: u64, time: i64) {
    let builder = output.row(0, &schema());
    builder.begin();
    let key = builder.append(key);
    builder.slice(KEY, key);
    let value = builder.append(value.to_string().as_bytes());
    builder.slice(1, value);
    builder.end(Stamp { time, order: Order::default(), behind: None });
}

/// One logic for all: counts the rows of a key; every third one empties its state.
struct Counting {
    schema: Arc<Schema>,
}

impl Counting {
    fn new() -> Self {
        Self { schema: schema() }
    }

    fn count(row: Row<'_>, mut state: Slot<'_, Number>, output: &mut Output) {
        let number = state.take().unwrap_or_default().0 + 1;
        write(output, row.bytes(KEY).expect("set"), number, row.time());
        if number < 3 {
            state.set(Number(number));
        }
    }
}

impl KeyedLogic for Counting {
    type State = Number;

    fn row(
        &mut self,
        row: Row<'_>,
        state: Slot<'_, Number>,
        output: &mut Output,
        counters: &mut Counters,
    ) {
        counters.add("rows", 1);
        Self::count(row, state, output);
    }
}

impl OrderedLogic for Counting {
    type State = Number;

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn keep(&mut self, row: Row<'_>, kept: &mut BatchBuilder) -> bool {
        kept.copy(row);
        true
    }

    fn takes_late(&self) -> bool {
        true
    }

    fn late(&mut self, _: Row<'_>, _: &mut Output, _: &mut Counters) -> bool {
        unreachable!("late rows take their turn")
    }

    fn row(&mut self, event: Event<'_>, state: Slot<'_, Number>, context: &mut OrderedContext<'_>) {
        context.set_timer(event.at + 15);
        Self::count(event.row, state, context.output);
    }

    fn timer(&mut self, at: i64, mut state: Slot<'_, Number>, context: &mut OrderedContext<'_>) {
        let number = state.take().map_or(0, |number| number.0);
        write(context.output, b"timer", number, at);
    }
}

impl Aggregate for Counting {
    type Sum = Number;

    fn group(&self, _: usize, row: Row<'_>, group: &mut Vec<u8>) -> bool {
        key::push_bytes(group, row.bytes(KEY));
        true
    }

    fn add(&self, _: usize, _: Row<'_>, sum: &mut Number) {
        sum.0 += 1;
    }

    fn merge(&self, sum: &mut Number, other: &Number) {
        sum.0 += other.0;
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn emit(&self, _: i64, group: &[u8], sum: &Number, row: &mut BatchBuilder) {
        let group = row.append(group);
        row.slice(KEY, group);
        let sum = row.append(sum.0.to_string().as_bytes());
        row.slice(1, sum);
    }
}

impl GateLogic for Counting {
    fn config(&mut self, row: Row<'_>, context: &mut GateContext<'_>) {
        context.save_config(row.bytes(KEY).expect("set").to_vec(), Some(b"config".to_vec()));
        write(context.output, b"config", 0, row.time());
    }

    fn row(&mut self, _: usize, row: Row<'_>, context: &mut GateContext<'_>) {
        context.save(7, row.bytes(KEY).expect("set").to_vec(), None);
        write(context.output, row.bytes(KEY).expect("set"), 0, row.time());
    }

    fn closed(&mut self, context: &mut GateContext<'_>) {
        context.counters.add("closed", 1);
    }

    fn load(&mut self, _: &[u8], _: &[u8]) {}

    fn entries(&self) -> usize {
        0
    }
}

fn by_key() -> Route {
    Route::Key(vec![KEY])
}

/// Rows of few keys, times mostly growing.
fn input(random: &mut Random, epoch: i64) -> Vec<(usize, Batch)> {
    let mut batches = Vec::new();
    for input in 0..2 {
        let mut rows = BatchBuilder::new(&schema());
        for number in 0..random.below(60) {
            rows.begin();
            let key = rows.append(format!("k{}", random.below(7)).as_bytes());
            rows.slice(KEY, key);
            let value = rows.append(b"1");
            rows.slice(1, value);
            let time = epoch * 10 + i64::try_from(random.below(30)).expect("small");
            let partition = u32::try_from(input).expect("0 or 1");
            let order = Order { peak: epoch * 10, partition, position: number };
            rows.end(Stamp { time, order, behind: None });
        }
        batches.extend(rows.finish(None).map(|batch| (input, batch)));
    }
    batches
}

/// Port, columns and time of a row.
type Seen = (usize, Vec<Vec<u8>>, i64);

fn seen(batches: &[(usize, Batch)]) -> Vec<Seen> {
    let mut rows = Vec::new();
    for (port, batch) in batches {
        for row in (0..batch.len()).map(|index| batch.row(index)) {
            let columns = (0..2).map(|column| row.bytes(column).unwrap_or_default().to_vec());
            rows.push((*port, columns.collect(), row.time()));
        }
    }
    rows
}

/// All that a history of closes gives: rows, then state and counts after each.
fn history(seed: u64, budget: usize, logic: Box<dyn Stateful>) -> impl PartialEq + std::fmt::Debug {
    let mut random = Random::new(seed);
    let mut operator = ByHand::new(logic).with_budget(budget);
    let mut all = Vec::new();
    for epoch in 0..12 {
        let closed = operator.close_at(epoch * 12, input(&mut random, epoch));
        all.push((seen(&closed.rows), operator.state().clone(), operator.counts()));
    }
    all
}

#[test]
fn no_result_shows_where_a_turn_ended() {
    type Make = fn() -> Box<dyn Stateful>;
    let operators: [(&str, Make); 4] = [
        ("keyed", || Box::new(Keyed::new(by_key(), Counting::new()))),
        ("ordered", || Box::new(Ordered::new(by_key(), Counting::new()))),
        ("partial", || Box::new(WindowPartial::new(Counting::new(), WINDOWS))),
        ("gate", || Box::new(Gate::new(GateMode::Strict, Counting::new()))),
    ];
    for seed in seeds(1, 20) {
        for (name, make) in operators {
            let whole = history(seed, WHOLE, make());
            for budget in [1, 2, 7, 100] {
                let parts = history(seed, budget, make());
                assert_eq!(parts, whole, "seed {seed}: {name}, {budget} rows at a time");
            }
        }
        let whole = windows(seed, WHOLE);
        for budget in [1, 2, 7, 100] {
            assert_eq!(windows(seed, budget), whole, "seed {seed}: final, {budget} at a time");
        }
    }
}

/// Both steps of a window, one behind the other.
fn windows(seed: u64, budget: usize) -> impl PartialEq + std::fmt::Debug {
    let mut random = Random::new(seed);
    let partial = WindowPartial::new(Counting::new(), WINDOWS);
    let mut partial = ByHand::new(Box::new(partial)).with_budget(WHOLE);
    let last = WindowFinal::new(Counting::new(), WINDOWS);
    let mut last = ByHand::new(Box::new(last)).with_budget(budget);
    let mut all = Vec::new();
    for epoch in 0..12 {
        let sums = partial.close_at(epoch * 12, input(&mut random, epoch)).rows;
        let sums = sums.into_iter().filter(|(port, _)| *port == 0).collect();
        let fired = last.close_at(epoch * 12, sums);
        all.push((seen(&fired.rows), last.state().clone(), last.counts()));
    }
    assert!(all.iter().any(|(rows, ..)| rows.len() > 3), "windows come out");
    all
}

fn plan(name: &str, records: &Records) -> Arc<JobPlan> {
    let mut job = JobBuilder::new(name);
    let source = job.source("in", SourceSpec { bound_ms: 50, ..records.spec() });
    job.stateful(
        "count",
        &[(&source.rows, by_key())],
        StatefulSpec {
            what: "keyed",
            make: Arc::new(|| Box::new(Keyed::new(by_key(), Counting::new()))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    Arc::new(job.build().expect("a good plan"))
}

fn records(name: &'static str, count: u64, seed: u64) -> Records {
    let record = |number: u64| (vec![b'k'], format!("{}", 1000 + number).into_bytes());
    Records::new(name, vec![(0..count).map(record).collect()], seed)
}

/// Epochs that another job completes while a close of the large one is interrupted.
#[test]
fn another_job_goes_on_while_a_close_is_under_way() {
    for seed in seeds(1, 10) {
        let (large, small) = (records("large", 2_000, seed), records("small", 200, seed + 1));
        let mut simulation = Simulation::new(seed, 1_000_000);
        simulation.settings.operator_rows = 1;
        let handle: Rc<std::cell::OnceCell<Handle>> = Rc::default();
        let told = handle.clone();
        simulation.act_after(0, move |handle| drop(told.set(handle.clone())));
        let met = std::cell::Cell::new(false);
        // The epoch of the other job that was complete when the close was first seen interrupted.
        let begun = std::cell::RefCell::new(BTreeMap::new());
        let enough = || {
            let Some(status) = handle.get().map(Handle::status) else { return false };
            let mut holds = status.holds.iter();
            let held = |hold: &&engine::epoch::hold::HoldEntry| {
                *hold.job == *"large" && hold.reason == HoldReason::Budget
            };
            let Some(held) = holds.find(held).map(|hold| hold.epoch) else { return false };
            let complete = |name: &str| {
                let group = status.groups.iter().find(|group| *group.name == *name);
                group.map_or(0, |group| group.complete)
            };
            let before = *begun.borrow_mut().entry(held).or_insert(complete("small"));
            met.set(complete("small") > before);
            met.get()
        };
        let make = |_: &TopicMarks, _| vec![plan("large", &large), plan("small", &small)];
        simulation.run_until(u64::MAX, &make, &enough);
        assert!(met.get(), "seed {seed}: no epoch of the small job ended during a close");
    }
}
