//! What a leader has sent of one partition, record by record.
//!
//! Batches are looked through once when they come: whole, undamaged, and where to go on behind them.
//! Their records are given out later, as many at a time as somebody wants. Markers and what belongs to
//! aborted transactions are passed over (Kafka's protocol guide, fetch with isolation level 1: the
//! broker names the producers of aborted transactions, and a marker of each ends it).

use std::collections::BTreeSet;
use std::ops::Range;

use engine::source::PollBudget;

use crate::kafka::source::inquiry::Place;
use crate::kafka::wire::bytes::Reader;
use crate::kafka::wire::records::{self, Codec, Header, Record, Unreadable};
use crate::kafka::wire::unpack::unpack;

/// Takes a record: whose, its offset, key and value.
pub(in crate::kafka::source) type Take<'a> =
    &'a mut dyn FnMut(Place, u64, Option<&[u8]>, Option<&[u8]>);

/// Record batches of one partition in an answer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) place: Place,
    /// Offset of the first record wanted; then the one after the last given out.
    pub(super) next: u64,
    /// The leader's epoch of the record before that, -1 if it is not known.
    pub(super) epoch: i32,
    /// Where the batches lie in the answer that were not begun.
    rest: Range<usize>,
    aborted: Aborted,
    batch: Option<Begun>,
}

/// The batch whose records are being given out.
#[derive(Debug)]
struct Begun {
    first: u64,
    epoch: i32,
    /// Records left.
    left: u32,
    /// Where the records left lie: in the answer, or in what was unpacked.
    rest: Range<usize>,
    unpacked: Option<Vec<u8>>,
}

/// What was found in the batches of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Bytes of whole, undamaged batches.
    pub(super) bytes: usize,
    /// The offset behind them.
    pub(super) next: u64,
    /// The leader's epoch of the last one.
    pub(super) epoch: i32,
}

/// Looks through batches: how many of the bytes can be read; `None` if there is no whole batch.
///
/// # Errors
/// The first batch cannot be read. A later one is then the first of the next answer.
pub(super) fn scan(bytes: &[u8]) -> Result<Option<Scanned>, Unreadable> {
    let mut found = None;
    let mut at = 0;
    loop {
        let batch = &bytes[at..];
        let checked = Header::read(batch).and_then(|header| {
            header.map_or(Ok(()), |header| records::check(&batch[..header.bytes]))?;
            Ok(header)
        });
        match checked {
            Ok(Some(header)) => {
                at += header.bytes;
                let (next, epoch) = (header.last + 1, header.epoch);
                found = Some(Scanned { bytes: at, next, epoch });
            }
            Err(unreadable) if found.is_none() => return Err(unreadable),
            Ok(None) | Err(_) => return Ok(found),
        }
    }
}

impl Part {
    /// Batches that were scanned, at this place of the answer, of which records from `next` on are
    /// wanted; `epoch` is that of the record before.
    pub(super) fn new(
        place: Place,
        (next, epoch): (u64, i32),
        rest: Range<usize>,
        aborted: Vec<(i64, i64)>,
    ) -> Self {
        Self { place, next, epoch, rest, aborted: Aborted::new(aborted), batch: None }
    }

    /// Gives out records of `answer` until the budget is used up; true if there are no more.
    pub(super) fn give(
        &mut self,
        answer: &[u8],
        budget: &mut PollBudget,
        take: Take<'_>,
    ) -> Result<bool, Unreadable> {
        loop {
            if let Some(batch) = &mut self.batch {
                let from = self.next;
                let given = give_records(batch, self.place, &mut self.next, answer, budget, take);
                if self.next > from {
                    self.epoch = batch.epoch;
                }
                given?;
                if batch.left > 0 {
                    return Ok(false);
                }
                self.batch = None;
            }
            if self.rest.is_empty() {
                return Ok(true);
            }
            self.batch = self.begin(answer)?;
        }
    }

    /// The next batch, unless it is to be passed over.
    fn begin(&mut self, answer: &[u8]) -> Result<Option<Begun>, Unreadable> {
        let at = self.rest.start;
        let header = Header::read(&answer[self.rest.clone()])?.ok_or(CUT)?;
        self.rest.start += header.bytes;
        let packed = records::packed(&answer[at..self.rest.start]);
        if self.aborted.pass(&header, packed)? || header.last < self.next {
            return Ok(None);
        }
        let unpacked = match header.codec()? {
            Codec::None => None,
            codec => Some(unpack(codec, packed)?),
        };
        let rest = match &unpacked {
            Some(unpacked) => 0..unpacked.len(),
            None => self.rest.start - packed.len()..self.rest.start,
        };
        let Header { first, epoch, records: left, .. } = header;
        Ok(Some(Begun { first, epoch, left, rest, unpacked }))
    }
}

const CUT: Unreadable = Unreadable::Damaged("a batch is not whole");

fn give_records(
    batch: &mut Begun,
    place: Place,
    next: &mut u64,
    answer: &[u8],
    budget: &mut PollBudget,
    take: Take<'_>,
) -> Result<(), Unreadable> {
    let bytes = batch.unpacked.as_deref().unwrap_or(answer);
    let mut reader = Reader::new(&bytes[batch.rest.clone()]);
    while batch.left > 0 && budget.rows > 0 && budget.bytes > 0 {
        let record = Record::read(&mut reader)?;
        batch.left -= 1;
        batch.rest.start = batch.rest.end - reader.left();
        let offset = batch.first + u64::from(record.delta);
        // The batch may begin before what is wanted.
        if offset < *next {
            continue;
        }
        *next = offset + 1;
        budget.rows -= 1;
        let bytes = [record.key, record.value].into_iter().flatten().map(<[u8]>::len).sum();
        budget.bytes = budget.bytes.saturating_sub(bytes);
        take(place, offset, record.key, record.value);
    }
    Ok(())
}

/// The aborted transactions of an answer, by producer.
#[derive(Debug)]
struct Aborted {
    /// Producers and first offsets of those that have not begun, the first one last.
    to_come: Vec<(i64, i64)>,
    /// Producers whose transaction has begun.
    begun: BTreeSet<i64>,
}

impl Aborted {
    fn new(mut to_come: Vec<(i64, i64)>) -> Self {
        to_come.sort_unstable_by_key(|(_, first)| std::cmp::Reverse(*first));
        Self { to_come, begun: BTreeSet::new() }
    }

    /// Whether the next batch is to be passed over.
    fn pass(&mut self, batch: &Header, packed: &[u8]) -> Result<bool, Unreadable> {
        let begins = |(_, first): &mut (i64, i64)| {
            u64::try_from(*first).is_ok_and(|first| first <= batch.last)
        };
        while let Some((producer, _)) = self.to_come.pop_if(begins) {
            self.begun.insert(producer);
        }
        if !batch.is_marker() {
            return Ok(batch.is_transactional() && self.begun.contains(&batch.producer));
        }
        if records::is_abort(packed)? {
            self.begun.remove(&batch.producer);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::batch::{Stamp, of_rows};

    const PLACE: Place = Place { topic: 0, number: 3 };
    const ABORT: &[u8] = &[0, 0, 0, 0];
    const COMMIT: &[u8] = &[0, 0, 0, 1];

    /// A batch that begins at this offset, under leader 7.
    fn batch(first: u8, producer: i64, records: &[(&[u8], &str)], is_marker: bool) -> Vec<u8> {
        let rows: Vec<_> =
            records.iter().map(|(key, value)| (Some(*key), Some(value.as_bytes()))).collect();
        let mut bytes = of_rows(&rows, &[], Stamp { producer, epoch: 0, sequence: 0 });
        bytes[7] = first;
        bytes[12..16].copy_from_slice(&[0, 0, 0, 7]);
        if is_marker {
            bytes[22] |= 1 << 5;
            let crc = crc32c::crc32c(&bytes[21..]);
            bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        }
        bytes
    }

    fn rows(first: u8, producer: i64, values: &[&str]) -> Vec<u8> {
        let records: Vec<_> = values.iter().map(|value| (&b"k"[..], *value)).collect();
        batch(first, producer, &records, false)
    }

    fn marker(first: u8, producer: i64, kind: &[u8]) -> Vec<u8> {
        batch(first, producer, &[(kind, "")], true)
    }

    /// All that an answer gives from this offset on, so many records at a time.
    fn given(answer: &[u8], from: u64, aborted: &[(i64, i64)], rows: usize) -> Vec<(u64, String)> {
        let scanned = scan(answer).unwrap().unwrap();
        let mut part = Part::new(PLACE, (from, -1), 0..scanned.bytes, aborted.to_vec());
        let mut all = Vec::new();
        for _ in 0..100 {
            let mut budget = PollBudget { rows, bytes: 1000 };
            let before = all.len();
            let over = part.give(answer, &mut budget, &mut |place, offset, _key, value| {
                assert_eq!(place, PLACE);
                all.push((offset, String::from_utf8(value.unwrap().to_vec()).unwrap()));
            });
            assert_eq!(all.len() - before, rows - budget.rows);
            assert_eq!(part.epoch, if all.is_empty() { -1 } else { 7 });
            if over.unwrap() {
                return all;
            }
        }
        panic!("it does not end");
    }

    fn numbered(all: &[(u64, &str)]) -> Vec<(u64, String)> {
        all.iter().map(|(offset, value)| (*offset, (*value).to_owned())).collect()
    }

    #[test]
    fn records_come_from_the_offset_asked_for_on_however_many_at_a_time() {
        let answer = [rows(10, 5, &["a", "b", "c"]), rows(20, 5, &["d"])].concat();
        let expected = numbered(&[(11, "b"), (12, "c"), (20, "d")]);
        for rows in [1, 2, 3, 50] {
            assert_eq!(given(&answer, 11, &[], rows), expected, "{rows}");
        }
    }

    #[test]
    fn what_was_aborted_is_passed_over() {
        let answer = [
            rows(0, 5, &["never", "never"]),
            rows(2, 6, &["a"]),
            rows(3, 5, &["never"]),
            marker(4, 5, ABORT),
            rows(5, 5, &["b"]),
            marker(6, 6, COMMIT),
            marker(7, 5, COMMIT),
            rows(8, 5, &["never"]),
        ];
        let aborted = [(5, 8), (5, 0)];
        let expected = numbered(&[(2, "a"), (5, "b")]);
        assert_eq!(given(&answer.concat(), 0, &aborted, 9), expected);
    }

    #[test]
    fn batches_are_looked_through_before_any_is_given_out() {
        let (first, second) = (rows(10, 5, &["a", "b"]), rows(12, 5, &["c"]));
        let both = [&first[..], &second].concat();
        let one = Some(Scanned { bytes: first.len(), next: 12, epoch: 7 });
        assert_eq!(scan(&both), Ok(Some(Scanned { bytes: both.len(), next: 13, epoch: 7 })));
        // The second is not whole, or not as it was written.
        assert_eq!(scan(&both[..both.len() - 1]), Ok(one.as_ref().map(|one| Scanned { ..*one })));
        let mut damaged = both;
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(scan(&damaged), Ok(one));
        assert_eq!(scan(&first[..30]), Ok(None));
        let fits_not = Unreadable::Damaged("its checksum does not fit");
        assert_eq!(scan(&damaged[first.len()..]), Err(fits_not));
    }
}
