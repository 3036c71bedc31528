//! Timers that are set while the state of their key stays as it is.

use super::*;
use crate::batch::build::Stamp;
use crate::batch::schema::Kind;
use crate::testing::by_hand::ByHand;

const KEY: usize = 0;
const NUMBER: usize = 1;

struct Number(u8);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.0);
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        bytes.first().map(|number| Self(*number))
    }
}

/// A row with a number is the state from then on; one without sets a timer, which tells the state.
struct Alarms(Arc<Schema>);

impl OrderedLogic for Alarms {
    type State = Number;

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
        mut state: Slot<'_, Number>,
        context: &mut OrderedContext<'_>,
    ) {
        match event.row.int(NUMBER) {
            Some(number) => state.set(Number(number.try_into().unwrap())),
            None => context.set_timer(event.at + 10),
        }
    }

    fn timer(&mut self, at: i64, state: Slot<'_, Number>, context: &mut OrderedContext<'_>) {
        push(context.output.row(0, &self.0), "", state.get().map(|number| number.0.into()), at);
    }
}

fn push(rows: &mut BatchBuilder, key: &str, number: Option<i64>, time: i64) {
    rows.begin();
    let key = rows.append(key.as_bytes());
    rows.slice(KEY, key);
    rows.int(NUMBER, number);
    rows.end(Stamp { time, order: Order::default(), behind: None });
}

#[test]
fn a_timer_is_kept_whether_or_not_the_state_changes() {
    let schema = Schema::new("row", &[("key", Kind::Slice), ("number", Kind::Int)]);
    let operator = || Box::new(Ordered::new(Route::Key(vec![KEY]), Alarms(schema.clone())));
    for restarts in [false, true] {
        let mut ordered = ByHand::new(operator());
        let mut close = |watermark, given: &[(&str, Option<i64>, i64)]| {
            let mut rows = BatchBuilder::new(&schema);
            given.iter().for_each(|(key, number, time)| push(&mut rows, key, *number, *time));
            let rows = rows.finish(None).map(|batch| (0, batch));
            let closed = ordered.close_at(watermark, rows.into_iter().collect());
            if restarts {
                ordered.restart(operator());
            }
            let batches = closed.rows.iter().map(|(_, batch)| batch);
            let told =
                batches.flat_map(|batch| batch.rows().map(|row| (row.int(NUMBER), row.time())));
            (told.collect::<Vec<_>>(), ordered.entries())
        };
        assert_eq!(close(10, &[("has state", Some(7), 1)]), (vec![], 1));
        assert_eq!(close(20, &[("has state", None, 11), ("has none", None, 12)]), (vec![], 2));
        assert_eq!(close(40, &[]), (vec![(Some(7), 21), (None, 22)], 1), "restarts: {restarts}");
    }
}
