//! The jobs of the simulated histories: numbering, first records, windows, with links between them.

use std::sync::Arc;

use engine::batch::build::BatchBuilder;
use engine::batch::key;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::codec::Verbatim;
use engine::counter::Counters;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec, TopicSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::{Codec, Keyed, KeyedLogic, Slot};
use engine::operator::ordered::{Event, Ordered, OrderedContext, OrderedLogic};
use engine::operator::stateful::Output;
use engine::operator::window::{Aggregate, PARTIAL_KEY, PORT_LATE, WindowFinal, WindowPartial};
use engine::testing::records::{KEY, Records, VALUE};
use engine::testing::target::Target;
use engine::time::window::Tumbling;

/// How much later than a younger record an older one may come.
pub(crate) const BOUND_MS: i64 = 50;
pub(crate) const WINDOWS: Tumbling = Tumbling { size_ms: 100, lateness_ms: 100 };

/// A number as state.
#[derive(Debug, Default, Clone, PartialEq)]
struct Number(u64);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

/// Appends to each value how many records of its key came before: depends on order alone.
struct Numbering {
    schema: Arc<Schema>,
}

impl KeyedLogic for Numbering {
    type State = Number;

    fn row(
        &mut self,
        row: Row<'_>,
        mut state: Slot<'_, Number>,
        output: &mut Output,
        _counters: &mut Counters,
    ) {
        let number = state.get().map_or(0, |number| number.0);
        state.set(Number(number + 1));
        let value = row.bytes(VALUE).expect("always set");
        write_row(output.row(0, &self.schema), row, &[value, format!(" #{number}").as_bytes()]);
    }
}

fn write_row(builder: &mut BatchBuilder, row: Row<'_>, value: &[&[u8]]) {
    builder.begin();
    let key = builder.append(row.bytes(KEY).expect("always set"));
    builder.slice(KEY, key);
    let value =
        builder.append_with(|out| value.iter().for_each(|part| out.extend_from_slice(part)));
    builder.slice(VALUE, value);
    builder.end(engine::batch::build::Stamp::of(row));
}

pub(crate) fn schema() -> Arc<Schema> {
    Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)])
}

/// Passes the first record of each key in event-time order, for ever.
struct First {
    schema: Arc<Schema>,
}

impl OrderedLogic for First {
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

    fn late(&mut self, _row: Row<'_>, _output: &mut Output, _counters: &mut Counters) -> bool {
        unreachable!("late rows take their turn")
    }

    fn row(
        &mut self,
        event: Event<'_>,
        mut state: Slot<'_, Number>,
        context: &mut OrderedContext<'_>,
    ) {
        if event.late {
            context.counters.add("late", 1);
        }
        if state.get().is_none() {
            state.set(Number(1));
            context.output.copy(0, event.row);
        }
    }

    fn timer(&mut self, _: i64, _: Slot<'_, Number>, _: &mut OrderedContext<'_>) {}
}

/// Counts records per key, and first records a thousandfold.
#[derive(Clone)]
struct Count {
    schema: Arc<Schema>,
}

impl Aggregate for Count {
    type Sum = Number;

    fn group(&self, _input: usize, row: Row<'_>, group: &mut Vec<u8>) -> bool {
        key::push_bytes(group, row.bytes(KEY));
        true
    }

    fn add(&self, input: usize, _row: Row<'_>, sum: &mut Number) {
        sum.0 += if input == 0 { 1 } else { 1000 };
    }

    fn merge(&self, sum: &mut Number, other: &Number) {
        sum.0 += other.0;
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    fn emit(&self, start: i64, group: &[u8], sum: &Number, row: &mut BatchBuilder) {
        let place = row.append_with(|out| {
            key::push_int(out, start);
            out.extend_from_slice(group);
        });
        row.slice(KEY, place);
        let sum = row.append(sum.0.to_string().as_bytes());
        row.slice(VALUE, sum);
    }
}

fn verbatim() -> Arc<Verbatim> {
    Arc::new(Verbatim { key: KEY, value: VALUE })
}

pub(crate) fn plans(records: &Records, target: &Target) -> Vec<Arc<JobPlan>> {
    let by_key = Route::Key(vec![KEY]);
    let mut job = JobBuilder::new("numbers");
    let source = job.source("in", SourceSpec { bound_ms: BOUND_MS, ..records.spec() });
    let numbered = job.stateful(
        "numbering",
        &[(&source.rows, by_key.clone())],
        StatefulSpec {
            what: "keyed",
            make: Arc::new(|| {
                let key = Route::Key(vec![KEY]);
                Box::new(Keyed::new(key, Numbering { schema: schema() }))
            }),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let topics = ["numbered", "dead"].map(|name| TopicSpec { name: name.into(), partitions: 2 });
    job.sink(
        "topics",
        SinkTarget::Topics(topics.to_vec(), |key, partitions| {
            key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % partitions
        }),
        &["numbered", "dead"],
        vec![
            (&numbered[0], Feed::result(0, verbatim())),
            (&source.dead, Feed::uncounted(1, Arc::new(Verbatim { key: 0, value: 0 }))),
        ],
    );
    job.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["numbered"],
        vec![(&numbered[0], Feed::result(0, verbatim()))],
    );
    job.export("rows", &numbered[0]);

    let mut first = JobBuilder::new("first");
    let rows = first.import("numbers", "rows", 0);
    let firsts = first.stateful(
        "first",
        &[(&rows, by_key.clone())],
        StatefulSpec {
            what: "ordered",
            make: Arc::new(|| {
                Box::new(Ordered::new(Route::Key(vec![KEY]), First { schema: schema() }))
            }),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    first.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["_", "first"],
        vec![(&firsts[0], Feed::result(1, verbatim()))],
    );
    first.export("rows", &firsts[0]);

    let mut windows = JobBuilder::new("windows");
    let rows = windows.import("numbers", "rows", 0);
    let firsts = windows.import("first", "rows", 0);
    let partial = windows.stateful(
        "partial",
        &[(&rows, Route::Local), (&firsts, Route::Local)],
        StatefulSpec {
            what: "window partial",
            make: Arc::new(|| Box::new(WindowPartial::new(Count { schema: schema() }, WINDOWS))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let totals = windows.stateful(
        "final",
        &[(&partial[0], Route::Key(vec![PARTIAL_KEY]))],
        StatefulSpec {
            what: "window",
            make: Arc::new(|| Box::new(WindowFinal::new(Count { schema: schema() }, WINDOWS))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    windows.sink(
        "target",
        SinkTarget::Outside(Arc::new(target.clone())),
        &["_", "_", "w", "late"],
        vec![
            (&totals[0], Feed::uncounted(2, verbatim())),
            (&partial[PORT_LATE], Feed::uncounted(3, verbatim())),
        ],
    );
    [job, first, windows].map(|job| Arc::new(job.build().expect("a good plan"))).to_vec()
}
