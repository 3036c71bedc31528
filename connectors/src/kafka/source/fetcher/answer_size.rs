//! How large an answer is asked for: small from a broker nearby, larger from one that is far.
//!
//! An answer is read once into memory and once more record by record. A small one is still in the
//! processor's cache then: reading 1 MiB at a time takes a sixteenth less processor time than 4 MiB
//! (of all that a log split from Kafka to Kafka takes), and less memory. But only one request is under
//! way, so a broker that is 50 ms away gives no more than 20 answers a second.

use engine::clock::Moment;

/// What is asked for first; smaller ones cost more than they save.
const FIRST_BYTES: i32 = 1 << 20;
/// So long no broker nearby takes for what it has, unless it is busy.
const FAR_MS: u64 = 20;
/// A busy one is not so slow so often, one after the other.
const LATE_MAX: u32 = 8;

/// Bytes to ask one leader for.
#[derive(Debug)]
pub(super) struct AnswerSize {
    bytes: i32,
    most: i32,
    /// Whether the last answer was full.
    was_full: bool,
    /// Tick from which on the answer is late, once it was looked for.
    late_at: Option<u64>,
    /// Whether it was looked for in vain even then. (When it came is not known: whoever is slow himself
    /// may look much later.)
    is_late: bool,
    /// Full answers that were late, since the last one that was not.
    late: u32,
}

impl AnswerSize {
    /// For an answer of at most `most` bytes.
    pub(super) fn new(most: i32) -> Self {
        let bytes = FIRST_BYTES.min(most);
        Self { bytes, most, was_full: false, late_at: None, is_late: false, late: 0 }
    }

    /// Bytes to ask for now.
    pub(super) fn ask(&mut self) -> i32 {
        (self.late_at, self.is_late) = (None, false);
        self.bytes
    }

    /// The answer was looked for and is not there.
    pub(super) fn waits(&mut self, now: Moment) {
        let late_at = *self.late_at.get_or_insert(now.tick_after_ms(FAR_MS));
        self.is_late |= now.reached(late_at);
    }

    /// It has come, of so many bytes. After [`LATE_MAX`] full ones that were late twice as much is asked
    /// for, as far as that goes.
    pub(super) fn came(&mut self, bytes: usize) {
        self.was_full = i32::try_from(bytes).is_ok_and(|bytes| bytes >= self.bytes / 4 * 3);
        if self.was_full {
            self.late = if self.is_late { self.late + 1 } else { 0 };
        }
        if self.late == LATE_MAX {
            self.bytes = self.bytes.saturating_mul(2).min(self.most);
            self.late = 0;
        }
    }

    /// Whether the next one should be here at once: the broker has more than it gave.
    pub(super) fn is_due(&self) -> bool {
        self.was_full && !self.is_late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: i32 = 3 << 20;

    fn at(ms: u64) -> Moment {
        Moment { wall_ms: 0, tick_us: ms * 1000 }
    }

    /// What is asked for after so many answers of `bytes` that were missed from 0 to `missed_ms`.
    fn after(size: &mut AnswerSize, answers: u32, bytes: i32, missed_ms: u64) -> i32 {
        for _ in 0..answers {
            size.ask();
            size.waits(at(0));
            size.waits(at(missed_ms));
            size.came(usize::try_from(bytes).unwrap());
        }
        size.ask()
    }

    #[test]
    fn full_answers_from_afar_grow_and_no_others() {
        let mut size = AnswerSize::new(MOST);
        let full = FIRST_BYTES;
        assert_eq!(after(&mut size, 2 * LATE_MAX, full, FAR_MS - 1), full);
        assert_eq!(after(&mut size, 2 * LATE_MAX, full / 2, FAR_MS), full, "there was no more");
        for _ in 0..3 {
            assert_eq!(after(&mut size, LATE_MAX - 1, full, FAR_MS), full, "it was busy");
            assert_eq!(after(&mut size, 1, full, 0), full);
        }
        assert_eq!(after(&mut size, LATE_MAX, full, FAR_MS), 2 * full);
        assert_eq!(after(&mut size, LATE_MAX, full, FAR_MS), 2 * full, "half empty now");
        assert_eq!(after(&mut size, LATE_MAX, 2 * full, FAR_MS), MOST);
        assert_eq!(after(&mut size, LATE_MAX, MOST, FAR_MS), MOST);
        assert_eq!(AnswerSize::new(5).ask(), 5);
    }

    #[test]
    fn the_next_one_is_due_after_a_full_one_and_not_for_long() {
        let mut size = AnswerSize::new(MOST);
        assert!(!size.is_due());
        after(&mut size, 1, FIRST_BYTES, FAR_MS);
        assert!(size.is_due());
        size.waits(at(0));
        size.waits(at(FAR_MS - 1));
        assert!(size.is_due());
        size.waits(at(FAR_MS));
        assert!(!size.is_due());
        after(&mut size, 1, FIRST_BYTES / 2, 0);
        assert!(!size.is_due());
    }
}
