//! Changes whose row no table can take, because it has no key or is too large: each told once for its
//! sink, be it that it comes live, is read again, or both, and however often.
//!
//! So the side output does not depend on when a table was configured. Which changes were told is
//! state, as places in their partitions: two bytes each where they are many, as with a key that the
//! source table does not have. Nothing is kept where nothing is read again.

use std::sync::Arc;

use engine::batch::build::{BatchBuilder, Stamp};
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::counter::Counters;
use engine::operator::decode::{
    DEAD_PARTITION, DEAD_POSITION, DEAD_REASON, DEAD_VALUE, dead_schema,
};
use engine::operator::keyed::{Codec, KeyedLogic, Slot};
use engine::operator::stateful::Output;
use engine::source::reread::Reread;

use super::notice::push_text;
use connectors::format::maxwell::decoder::VALUE;

/// Column beside those of a dead letter: sink, partition and block of places. Slice.
pub(super) const PLACE: usize = DEAD_POSITION + 1;
/// Places in a block of state.
const BLOCK: u64 = 1 << 12;

/// Schema of what may have been told already.
pub(super) fn schema() -> Arc<Schema> {
    let columns = [
        ("value", Kind::Slice),
        ("reason", Kind::Slice),
        ("partition", Kind::Slice),
        ("position", Kind::Int),
        ("place", Kind::Slice),
    ];
    Schema::new("keyless", &columns)
}

/// Writes the record of `row`, which `sink` cannot take.
pub(super) fn write(rows: &mut BatchBuilder, row: Row<'_>, sink: &str, reason: &str) {
    let (partition, position) = Reread::origin(row.order());
    rows.begin();
    let value = rows.append(row.bytes(VALUE).unwrap_or_default());
    rows.slice(DEAD_VALUE, value);
    let reason = rows.append(reason.as_bytes());
    rows.slice(DEAD_REASON, reason);
    let name = rows.append(partition.to_string().as_bytes());
    rows.slice(DEAD_PARTITION, name);
    rows.int(DEAD_POSITION, i64::try_from(position).ok());
    let place = rows.append_with(|out| {
        push_text(out, sink);
        out.extend_from_slice(&partition.to_be_bytes());
        out.extend_from_slice(&(position / BLOCK).to_be_bytes());
    });
    rows.slice(PLACE, place);
    rows.end(Stamp::of(row));
}

/// Places of a block that were told, ascending. On disk two bytes each, big-endian.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told(Vec<u16>);

impl Codec for Told {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|place| out.extend_from_slice(&place.to_be_bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (places, rest) = bytes.as_chunks();
        rest.is_empty().then(|| Self(places.iter().map(|two| u16::from_be_bytes(*two)).collect()))
    }
}

/// The logic, by [`PLACE`].
pub(super) struct Keyless {
    remembers: bool,
    dead: Arc<Schema>,
}

impl Keyless {
    /// `remembers`: records may come again.
    pub(super) fn new(remembers: bool) -> Self {
        Self { remembers, dead: dead_schema() }
    }

    fn is_told(&self, row: Row<'_>, mut told: Slot<'_, Told>) -> bool {
        let position = row.int(DEAD_POSITION).and_then(|position| u64::try_from(position).ok());
        let Some(position) = position.filter(|_| self.remembers) else { return false };
        let place = u16::try_from(position % BLOCK).expect("below the size of a block");
        let mut places = told.get().cloned().unwrap_or_default();
        let Err(at) = places.0.binary_search(&place) else { return true };
        places.0.insert(at, place);
        told.set(places);
        false
    }
}

impl KeyedLogic for Keyless {
    type State = Told;

    fn row(
        &mut self,
        row: Row<'_>,
        state: Slot<'_, Told>,
        output: &mut Output,
        counters: &mut Counters,
    ) {
        if self.is_told(row, state) {
            return;
        }
        let reason = row.bytes(DEAD_REASON).unwrap_or_default();
        match std::str::from_utf8(reason).expect("reasons are text") {
            "null_pk" => counters.add("null_pk", 1),
            other => counters.add_labelled("refused_row", ("reason", other.to_owned()), 1),
        }
        let rows = output.row(0, &self.dead);
        rows.begin();
        for column in [DEAD_VALUE, DEAD_REASON, DEAD_PARTITION] {
            let slice = rows.append(row.bytes(column).unwrap_or_default());
            rows.slice(column, slice);
        }
        rows.int(DEAD_POSITION, row.int(DEAD_POSITION));
        rows.end(Stamp::of(row));
    }
}

#[cfg(test)]
mod tests {
    use engine::batch::Batch;
    use engine::batch::NO_TIME;
    use engine::batch::order::Order;
    use engine::graph::plan::Route;
    use engine::operator::keyed::Keyed;
    use engine::testing::by_hand::{ByHand, Closed};

    use super::*;

    fn operator(remembers: bool) -> Box<Keyed<Keyless>> {
        Box::new(Keyed::new(Route::Key(vec![PLACE]), Keyless::new(remembers)))
    }

    /// Records at these places of partition 2, live or (with a number) read again.
    fn refused(sink: &str, again: Option<u32>, positions: &[u64]) -> (usize, Batch) {
        let mut rows = BatchBuilder::new(&schema());
        for &position in positions {
            let order = match again {
                None => Order { peak: 0, partition: 2, position },
                Some(number) => {
                    let partition = Reread { name: "t".into(), number }.partition().ordinal;
                    Order { peak: 0, partition, position: Reread::place(2, position) }
                }
            };
            let mut record =
                BatchBuilder::new(&Schema::new("record", &[("", Kind::Slice); VALUE + 1]));
            record.begin();
            let value = record.append(position.to_string().as_bytes());
            (0..=VALUE).for_each(|column| record.slice(column, value));
            record.end(Stamp { time: NO_TIME, order, behind: None });
            let record = record.finish(None).expect("one row");
            write(&mut rows, record.row(0), sink, "null_pk");
        }
        (0, rows.finish(None).expect("some rows"))
    }

    fn told(closed: &Closed) -> Vec<String> {
        let rows = closed.rows.iter().flat_map(|(_, batch)| batch.rows());
        let line = |row: Row<'_>| {
            let text = |column| String::from_utf8(row.bytes(column).expect("there").to_vec());
            let partition = text(DEAD_PARTITION).expect("text");
            let position = row.int(DEAD_POSITION).expect("there");
            format!("{} at {partition}/{position}", text(DEAD_VALUE).expect("text"))
        };
        rows.map(line).collect()
    }

    #[test]
    fn a_record_is_told_once_for_each_sink_and_over_a_restart() {
        let mut keyless = ByHand::new(operator(true));
        let far = BLOCK * 9 + 1;
        let closed = keyless.close(vec![refused("a", None, &[3, far])]);
        assert_eq!(told(&closed), ["3 at 2/3".to_owned(), format!("{far} at 2/{far}")]);
        keyless.restart(operator(true));
        // It is known where it came from, though it comes in another partition now.
        let closed = keyless.close(vec![refused("a", Some(1), &[1, 3, far])]);
        assert_eq!(told(&closed), ["1 at 2/1"]);
        let closed = keyless.close(vec![refused("b", Some(2), &[3])]);
        assert_eq!(told(&closed), ["3 at 2/3"]);
        // Live and read again in one epoch.
        let closed = keyless.close(vec![refused("a", Some(3), &[5]), refused("a", None, &[5])]);
        assert_eq!(told(&closed), ["5 at 2/5"]);
        let counts: Vec<u64> = keyless.counts().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [5]);
    }

    #[test]
    fn nothing_is_kept_where_nothing_is_read_again() {
        let mut keyless = ByHand::new(operator(false));
        for _ in 0..2 {
            assert_eq!(told(&keyless.close(vec![refused("a", None, &[3])])), ["3 at 2/3"]);
        }
        assert_eq!(keyless.entries(), 0);
    }

    #[test]
    fn places_survive_their_bytes() {
        let told = Told(vec![0, 7, 4095]);
        let mut bytes = Vec::new();
        told.encode(&mut bytes);
        assert_eq!(bytes, [0, 0, 0, 7, 15, 255]);
        assert_eq!(Told::decode(&bytes), Some(told));
        assert_eq!(Told::decode(&bytes[..3]), None);
    }
}
