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
