//! What a source does to be read again: requests one after the other, and their turns.
//!
//! A source keeps [`Rereads`] beside its live partitions and reads the parts of the first request in
//! their order, which is that of their partitions. A row read again is numbered by its partition and
//! its place there ([`Reread::place`]), so numbers grow within the extra partition and tell where
//! the row came from; a part whose next position moved back would break that, and so would two parts
//! read at once.

use std::collections::VecDeque;

use engine::batch::Batch;
use engine::error::Fault;
use engine::source::reread::{Reread, RereadPart, RereadPosition};
use engine::source::{Partition, PollBudget, Polled, Position, SourceBatch};

/// While live records keep coming, one poll of this many goes to what is read again: that takes a
/// quarter of the source's thread at most, and a back-fill still moves under full load.
const POLLS_PER_TURN: u32 = 4;

/// Polls that brought live records since something was read again.
#[derive(Debug, Default)]
pub(crate) struct Turn(u32);

/// A source with live partitions and extra ones.
pub(crate) trait Twofold {
    /// The count of this source.
    fn turn(&mut self) -> &mut Turn;
    /// Polls the live partitions.
    fn poll_live(&mut self, budget: PollBudget) -> Polled;
    /// Polls what is read again; `Idle` if that is nothing.
    fn poll_again(&mut self, budget: PollBudget) -> Polled;

    /// Live records first; what is read again in its turn, and whenever there are none.
    fn poll_in_turn(&mut self, budget: PollBudget) -> Polled {
        let due = self.turn().0 + 1 >= POLLS_PER_TURN;
        let first = if due { self.poll_again(budget) } else { self.poll_live(budget) };
        let (polled, again) = match first {
            Polled::Idle if due => (self.poll_live(budget), false),
            Polled::Idle => (self.poll_again(budget), true),
            first => (first, due),
        };
        let turn = self.turn();
        turn.0 = if again { 0 } else { (turn.0 + 1).min(POLLS_PER_TURN) };
        polled
    }
}

/// A request and what is left of it.
pub(crate) struct Rereading<R> {
    partition: Partition,
    at: RereadPosition,
    /// What reads the part under way, once it has begun.
    pub(crate) reader: Option<R>,
}

impl<R> Rereading<R> {
    /// The part under way; `None` once all have passed.
    pub(crate) fn part(&self) -> Option<RereadPart> {
        self.at.parts.iter().find(|part| part.next < part.upto).cloned()
    }

    /// The extra partition.
    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// What to add to the number of a record of the part under way to get its place in the extra
    /// partition.
    pub(crate) fn base(&self) -> u64 {
        self.part().map_or(0, |part| Reread::place(part.ordinal, 0))
    }

    /// The part under way has been read up to `next`, and these are its records.
    pub(crate) fn batch(&mut self, rows: Batch, next: Position) -> SourceBatch {
        self.advance(next);
        let (partition, next) = (self.partition.clone(), self.at.encode());
        SourceBatch { partition, rows, next, boundary: true }
    }

    /// Nothing more will come in the part under way.
    pub(crate) fn finish_part(&mut self) {
        if let Some(part) = self.part() {
            self.advance(part.upto);
        }
    }

    fn advance(&mut self, next: Position) {
        let under_way = self.at.parts.iter_mut().find(|part| part.next < part.upto);
        let part = under_way.expect("only a part under way has records");
        part.next = next;
        if part.next >= part.upto {
            self.reader = None;
        }
    }
}

/// All re-readings of a source; the first is under way.
pub(crate) struct Rereads<R> {
    all: VecDeque<Rereading<R>>,
}

impl<R> Rereads<R> {
    /// None.
    pub(crate) fn new() -> Self {
        Self { all: VecDeque::new() }
    }

    /// Takes a request, in place of an earlier one of its name: goes on at `saved`, or reads `parts`.
    pub(crate) fn begin(
        &mut self,
        request: &Reread,
        saved: Option<&Position>,
        parts: impl FnOnce() -> Vec<RereadPart>,
    ) -> Result<(), Fault> {
        let partition = request.partition();
        let mut at = match saved {
            Some(saved) => RereadPosition::decode(saved).ok_or_else(|| damaged(&partition))?,
            None => RereadPosition { number: request.number, parts: parts() },
        };
        at.parts.sort_by_key(|part| part.ordinal);
        self.withdraw(request);
        self.all.push_back(Rereading { partition, at, reader: None });
        Ok(())
    }

    /// Forgets what was asked for under the name of `request`.
    pub(crate) fn withdraw(&mut self, request: &Reread) {
        let name = request.partition().name;
        self.all.retain(|earlier| earlier.partition.name != name);
    }

    /// The one under way.
    pub(crate) fn first(&mut self) -> Option<&mut Rereading<R>> {
        self.all.front_mut()
    }

    /// The one under way has been read.
    pub(crate) fn end(&mut self) -> Polled {
        self.all.pop_front().map_or(Polled::Idle, |ended| Polled::End(ended.partition))
    }
}

/// The fault for a position that this source did not write.
pub(crate) fn damaged(partition: &Partition) -> Fault {
    Fault::never(format!("position of \"{}\" is none of this source", partition.name))
}

#[cfg(test)]
mod tests {
    use engine::batch::build::{RawBuilder, raw_schema};

    use super::*;

    const BUDGET: PollBudget = PollBudget { rows: 1, bytes: 1 };

    /// Gives what is in its lists: `Fault` for live, `Idle` if empty.
    #[derive(Default)]
    struct Lists {
        turn: Turn,
        live: u32,
        again: u32,
    }

    impl Twofold for Lists {
        fn turn(&mut self) -> &mut Turn {
            &mut self.turn
        }

        fn poll_live(&mut self, _budget: PollBudget) -> Polled {
            polled(&mut self.live, "l")
        }

        fn poll_again(&mut self, _budget: PollBudget) -> Polled {
            polled(&mut self.again, "a")
        }
    }

    fn polled(left: &mut u32, what: &str) -> Polled {
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Polled::End(Partition { name: what.into(), ordinal: 0 })
            }
            None => Polled::Idle,
        }
    }

    fn drain(lists: &mut Lists) -> String {
        let mut seen = String::new();
        while let Polled::End(partition) = lists.poll_in_turn(BUDGET) {
            seen.push_str(&partition.name);
        }
        seen
    }

    #[test]
    fn live_records_come_first_and_leave_every_fourth_poll() {
        let lists = |live, again| Lists { live, again, ..Lists::default() };
        assert_eq!(drain(&mut lists(9, 2)), "lllalllalll");
        assert_eq!(drain(&mut lists(4, 4)), "lllalaaa");
        assert_eq!(drain(&mut lists(0, 3)), "aaa");
        assert_eq!(drain(&mut lists(6, 0)), "llllll");
        // A turn that found nothing is not lost, and not saved up either.
        let mut late = lists(9, 0);
        assert_eq!(drain(&mut late), "lllllllll");
        (late.live, late.again) = (4, 2);
        assert_eq!(drain(&mut late), "alllal");
    }

    fn part(ordinal: u32, next: u64, upto: u64) -> RereadPart {
        let (next, upto) = (Position::of_number(next), Position::of_number(upto));
        RereadPart { ordinal, next, upto }
    }

    fn request(name: &str, number: u32) -> Reread {
        Reread { name: name.into(), number }
    }

    #[test]
    fn numbers_grow_over_all_parts_and_over_a_restart() {
        let mut rereads = Rereads::<()>::new();
        let parts = || vec![part(0, 0, 5), part(1, 7, 7), part(2, 3, 9)];
        rereads.begin(&request("t", 1), None, parts).unwrap();
        let mut numbers = Vec::new();
        // Of each part the records asked for, and where the part is afterwards.
        for (records, next) in [(vec![0, 1], 2), (vec![4], 5), (vec![3, 8], 9)] {
            let first = rereads.first().expect("one");
            let mut builder = RawBuilder::new(&raw_schema(), first.partition().ordinal);
            records.iter().for_each(|record| builder.push(first.base() + record, None, None));
            let rows = builder.finish().expect("some");
            numbers.extend(rows.rows().map(|row| row.order().position));
            let batch = first.batch(rows, Position::of_number(next));
            assert_eq!(batch.partition, request("t", 1).partition());
            rereads.begin(&request("t", 1), Some(&batch.next), Vec::new).unwrap();
        }
        assert!(numbers.is_sorted_by(|one, next| one < next), "{numbers:?}");
        assert!(rereads.first().expect("one").part().is_none());
        assert!(matches!(rereads.end(), Polled::End(_)));
        assert!(matches!(rereads.end(), Polled::Idle));
    }

    #[test]
    fn a_later_request_of_a_name_replaces_the_earlier_one_only() {
        let mut rereads = Rereads::<()>::new();
        for (name, number) in [("a", 1), ("b", 1), ("a", 2)] {
            rereads.begin(&request(name, number), None, Vec::new).unwrap();
        }
        for expected in [request("b", 1), request("a", 2)] {
            let Polled::End(partition) = rereads.end() else { panic!("two are left") };
            assert_eq!(partition, expected.partition());
        }
        assert!(rereads.first().is_none());
        let odd = Position(vec![1, 2]);
        let fault = rereads.begin(&request("a", 3), Some(&odd), Vec::new).unwrap_err();
        assert!(fault.message.contains("\"backfill/a\""), "{fault}");
    }
}
