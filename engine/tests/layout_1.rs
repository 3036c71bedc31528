//! State of ordered operators as layout 1 stored it: it is taken back, and goes as it changes.
//!
//! Layout 1 had the state of a key and each of its timers in entries of their own. The histories here are
//! restarted again and again with some of their keys put back into that form; what comes out is that of
//! an operator that never was restarted.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::batch::Batch;
use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::order::Order;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::counter::Counters;
use engine::graph::Route;
use engine::operator::keyed::{Codec, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::{Output, Stateful};
use engine::random::Random;
use engine::testing::by_hand::ByHand;
use engine::testing::simulate::seeds;

const KEY: usize = 0;
/// First bytes of the stored keys.
const KEPT: u8 = 0;
const OLD_STATE: u8 = 1;
const OLD_TIMER: u8 = 3;

fn schema() -> Arc<Schema> {
    Schema::new("row", &[("key", Kind::Slice), ("count", Kind::Int)])
}

struct Count(u8);

impl Codec for Count {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|count| Self(*count))
    }
}

/// Counts rows of a key, each with two timers; the later of them ends the count.
struct Counting(Arc<Schema>);

fn write(output: &mut Output, key: &[u8], count: i64, time: i64) {
    let builder = output.row(0, &schema());
    builder.begin();
    let key = builder.append(key);
    builder.slice(KEY, key);
    builder.int(1, Some(count));
    builder.end(Stamp { time, order: Order::default(), behind: None });
}

impl OrderedLogic for Counting {
    type State = Count;

    fn schema(&self) -> &Arc<Schema> {
        &self.0
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

    fn row(
        &mut self,
        event: Event<'_>,
        mut state: Slot<'_, Count>,
        context: &mut OrderedContext<'_>,
    ) {
        let count = state.take().map_or(1, |count| count.0 + 1);
        write(context.output, event.row.bytes(KEY).expect("set"), count.into(), event.at);
        state.set(Count(count));
        context.set_timer(event.at / 10 * 10 + 30);
        context.set_timer(event.at / 40 * 40 + 80);
    }

    fn timer(&mut self, at: i64, mut state: Slot<'_, Count>, context: &mut OrderedContext<'_>) {
        let count = state.get().map_or(0, |count| count.0);
        write(context.output, b"timer", count.into(), at);
        if at % 40 == 0 {
            state.take();
        }
    }
}

fn operator() -> Box<dyn Stateful> {
    Box::new(Ordered::new(Route::Key(vec![KEY]), Counting(schema())))
}

fn input(random: &mut Random, epoch: i64) -> Vec<(usize, Batch)> {
    let mut rows = BatchBuilder::new(&schema());
    for position in 0..random.below(40) {
        rows.begin();
        let key = rows.append(format!("k{}", random.below(30)).as_bytes());
        rows.slice(KEY, key);
        rows.int(1, None);
        let time = epoch * 10 + i64::try_from(random.below(30)).expect("small");
        let order = Order { peak: epoch * 10, partition: 0, position };
        rows.end(Stamp { time, order, behind: None });
    }
    rows.finish(None).map(|batch| (0, batch)).into_iter().collect()
}

type State = BTreeMap<(u16, Vec<u8>), Vec<u8>>;

/// Puts some of the keys of today into the form of layout 1; answers how many.
fn age(state: &mut State, random: &mut Random) -> usize {
    let some: Vec<_> =
        state.keys().filter(|(_, key)| key[0] == KEPT && random.below(2) == 0).cloned().collect();
    for (group, stored) in &some {
        let value = state.remove(&(*group, stored.clone())).expect("seen above");
        let key = &stored[1..];
        // Fewer than 32 timers: the header is one byte.
        let (timers, has_state) = (usize::from(value[0] >> 2), value[0] & 1 == 1);
        let (timers, rest) = value[1..].split_at(timers * 8);
        for at in timers.chunks(8) {
            state.insert((*group, [&[OLD_TIMER], at, key].concat()), Vec::new());
        }
        if has_state {
            state.insert((*group, [&[OLD_STATE], key].concat()), rest.to_vec());
        }
    }
    some.len()
}

/// Rows by epoch: key, count, time.
type Rows = Vec<Vec<(Vec<u8>, Option<i64>, i64)>>;

/// What comes out, the keys that were put back at a restart, and what is left in the old form.
fn history(seed: u64, restarts: bool) -> (Rows, usize, usize) {
    let (mut random, mut luck) = (Random::new(seed), Random::new(seed));
    let mut operator_by_hand = ByHand::new(operator());
    let (mut rows, mut aged) = (Vec::new(), 0);
    for epoch in 0..40 {
        let given = if epoch < 25 { input(&mut random, epoch) } else { Vec::new() };
        let closed = operator_by_hand.close_at(epoch * 10, given);
        let batches = closed.rows.iter().map(|(_, batch)| batch);
        let all = batches.flat_map(|batch| (0..batch.len()).map(move |row| batch.row(row)));
        let cells = |row: Row<'_>| (row.bytes(KEY).expect("set").to_vec(), row.int(1), row.time());
        rows.push(all.map(cells).collect());
        if restarts && luck.below(3) == 0 {
            let mut state = operator_by_hand.state().clone();
            aged += age(&mut state, &mut luck);
            operator_by_hand.restart_with(operator(), state);
        }
    }
    let old =
        operator_by_hand.state().keys().filter(|(_, key)| [OLD_STATE, OLD_TIMER].contains(&key[0]));
    (rows, aged, old.count())
}

#[test]
fn state_of_layout_1_goes_on() {
    for seed in seeds(1, 50) {
        let (expected, ..) = history(seed, false);
        let (rows, aged, old) = history(seed, true);
        assert!(aged > 5, "seed {seed}: only {aged} keys were put into the old form");
        assert_eq!(rows, expected, "seed {seed}");
        assert_eq!(old, 0, "seed {seed}: old entries are left after everything has ended");
    }
}

/// Entries as the version before wrote them: byte for byte.
#[test]
fn golden_entries_of_layout_1() {
    let group = engine::hash::key_group(b"k7");
    let at = |at: u64| (at ^ 1 << 63).to_be_bytes();
    let entry = |parts: &[&[u8]], value: &[u8]| ((group, parts.concat()), value.to_vec());
    let state: State = [
        entry(&[&[OLD_STATE], b"k7"], &[4]),
        entry(&[&[OLD_TIMER], &at(50), b"k7"], &[]),
        entry(&[&[OLD_TIMER], &at(80), b"k7"], &[]),
    ]
    .into();
    let mut ordered = ByHand::new(operator());
    ordered.restart_with(operator(), state);
    let rows = |ordered: &mut ByHand, watermark: i64| {
        let closed = ordered.close_at(watermark, Vec::new());
        let batches = closed.rows.iter().map(|(_, batch)| batch);
        let all = batches.flat_map(|batch| (0..batch.len()).map(move |row| batch.row(row)));
        all.map(|row| (row.int(1), row.time())).collect::<Vec<_>>()
    };
    assert_eq!(rows(&mut ordered, 49), []);
    assert_eq!(rows(&mut ordered, 60), [(Some(4), 50)]);
    assert_eq!(ordered.entries(), 2);
    assert_eq!(rows(&mut ordered, 90), [(Some(4), 80)]);
    assert_eq!(ordered.entries(), 0);
}
