//! Each fact once, though its change may come twice: live, and read again for a row that came late.
//!
//! Of each route and partition two places are remembered: from where on facts were sent live, and up to
//! where they were sent of what was read again. Either stream comes in the order of places, so a change
//! whose place lies beyond one of the two has been sent. A route that goes and comes again has sent
//! what lies beyond its first live fact, or was not to send it: what came in between stays out.

use std::sync::Arc;

use engine::batch::Slice;
use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::counter::Counters;
use engine::operator::keyed::{Codec, KeyedLogic, Slot};
use engine::operator::stateful::Output;

use super::lane::{AGAIN, KEY, POSITION, TOPIC, VALUE};

/// What was sent of a partition. On disk two numbers of eight bytes, big-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Place of the first fact sent live; the greatest number if there was none.
    live_from: u64,
    /// The place after the last one sent of what was read again.
    again_to: u64,
}

impl Sent {
    const NOTHING: Self = Self { live_from: u64::MAX, again_to: 0 };

    /// Whether the change at `place` was not sent before; it has been afterwards.
    fn take(&mut self, place: u64, again: bool) -> bool {
        if place < self.again_to || again && place >= self.live_from {
            return false;
        }
        if again {
            self.again_to = place + 1;
        } else {
            self.live_from = self.live_from.min(place);
        }
        true
    }
}

impl Codec for Sent {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.live_from.to_be_bytes());
        out.extend_from_slice(&self.again_to.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (live_from, rest) = bytes.split_first_chunk()?;
        let again_to = u64::from_be_bytes(rest.try_into().ok()?);
        Some(Self { live_from: u64::from_be_bytes(*live_from), again_to })
    }
}

/// The logic, by route and partition.
pub(super) struct Once {
    facts: Arc<Schema>,
}

impl Once {
    /// Facts with this schema come out as they go in.
    pub(super) fn new(facts: Arc<Schema>) -> Self {
        Self { facts }
    }
}

impl KeyedLogic for Once {
    type State = Sent;

    fn row(
        &mut self,
        row: Row<'_>,
        mut state: Slot<'_, Sent>,
        output: &mut Output,
        _counters: &mut Counters,
    ) {
        let before = state.get().copied().unwrap_or(Sent::NOTHING);
        let mut sent = before;
        let place = row.int(POSITION).and_then(|place| u64::try_from(place).ok());
        let place = place.expect("every fact has a place");
        if !sent.take(place, row.int(AGAIN) == Some(1)) {
            return;
        }
        if sent != before {
            state.set(sent);
        }
        let facts = output.row(0, &self.facts);
        facts.begin();
        for column in [TOPIC, KEY, VALUE] {
            let slice = row.bytes(column).map_or(Slice::NULL, |bytes| facts.append(bytes));
            facts.slice(column, slice);
        }
        facts.end(Stamp::of(row));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_comes_first_each_place_is_sent_once() {
        // Live from 5 on, read again from 0 to 8: all ways to lay the two side by side.
        let (live, again) = (5..12_u64, 0..8_u64);
        for ways in 0..1_u32 << 15 {
            let (mut live, mut again) = (live.clone(), again.clone());
            let (mut sent, mut places) = (Sent::NOTHING, Vec::new());
            for turn in 0..15 {
                let is_again = ways >> turn & 1 == 1;
                let next = if is_again { again.next() } else { live.next() };
                places.extend(next.filter(|place| sent.take(*place, is_again)));
            }
            places.extend(again.filter(|place| sent.take(*place, true)));
            places.extend(live.filter(|place| sent.take(*place, false)));
            places.sort_unstable();
            assert_eq!(places, (0..12).collect::<Vec<_>>(), "{ways:b}");
        }
    }

    #[test]
    fn a_route_that_comes_again_sends_nothing_twice() {
        let mut sent = Sent::NOTHING;
        let mut take = |places: std::ops::Range<u64>, again| {
            places.filter(|place| sent.take(*place, again)).collect::<Vec<_>>()
        };
        assert_eq!(take(0..2, true), [0, 1]);
        assert_eq!(take(4..6, false), [4, 5]);
        // It went before all was read again, and 6 and 7 came while it was away.
        assert_eq!(take(0..8, true), [2, 3]);
        assert_eq!(take(8..9, false), [8]);
    }

    #[test]
    fn what_was_sent_survives_its_bytes() {
        let sent = Sent { live_from: u64::MAX, again_to: 258 };
        let mut bytes = Vec::new();
        sent.encode(&mut bytes);
        assert_eq!(bytes, [[255; 8], [0, 0, 0, 0, 0, 0, 1, 2]].concat());
        assert_eq!(Sent::decode(&bytes), Some(sent));
        assert_eq!(Sent::decode(&bytes[..15]), None);
    }
}
