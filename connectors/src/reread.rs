//! What a source does to be read again: requests one after the other, their parts in order.
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
use engine::source::{Partition, Polled, Position, SourceBatch};

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
