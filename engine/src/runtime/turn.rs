//! Whose turn it is in a source: its live records, or what is read again.
//!
//! Live records first. While they keep coming, one poll of [`POLLS_PER_TURN`] goes to what is read
//! again: that takes a quarter of the source's thread at most, and a back-fill still moves under full
//! load. How much of it an epoch may hold is decided where it is let in (`operator/source.rs`).

use crate::clock::Moment;
use crate::source::{PollBudget, Polled, Source};

/// One of so many polls goes to what is read again.
const POLLS_PER_TURN: u32 = 4;

/// For which of the two the queues have room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) live: bool,
    pub(super) again: bool,
}

/// Polls that brought live records since something was read again.
#[derive(Debug, Default)]
pub(super) struct Turn(u32);

impl Turn {
    /// Polls one, and the other if it has nothing.
    pub(super) fn poll(
        &mut self,
        source: &mut dyn Source,
        room: Room,
        budget: PollBudget,
        now: Moment,
    ) -> Polled {
        let due = room.again && (self.0 + 1 >= POLLS_PER_TURN || !room.live);
        let mut again = due;
        let mut polled = match (due, room.live) {
            (true, _) => source.poll_again(budget, now),
            (false, true) => source.poll(budget, now),
            (false, false) => Polled::Idle,
        };
        if matches!(polled, Polled::Idle) {
            again = !due;
            polled = match again {
                true if room.again && room.live => source.poll_again(budget, now),
                false if room.live => source.poll(budget, now),
                true | false => Polled::Idle,
            };
        }
        self.0 = if again { 0 } else { (self.0 + 1).min(POLLS_PER_TURN) };
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;
    use crate::source::{Description, Partition, Position, Replay, Start};

    /// Gives so many of each, then nothing.
    struct Lists {
        live: u32,
        again: u32,
    }

    fn polled(left: &mut u32, name: &str) -> Polled {
        match left.checked_sub(1) {
            Some(fewer) => {
                *left = fewer;
                Polled::End(Partition { name: name.into(), ordinal: 0 })
            }
            None => Polled::Idle,
        }
    }

    impl Source for Lists {
        fn describe(&self) -> Description {
            let name = "lists".to_owned();
            Description { name, replay: Replay::Exact, bounded: true, snapshot: false }
        }

        fn discover(&mut self, _now: Moment) -> Result<Option<Vec<Partition>>, Fault> {
            Ok(None)
        }

        fn open(&mut self, _partition: &Partition, _start: &Start) -> Result<(), Fault> {
            Ok(())
        }

        fn poll(&mut self, _budget: PollBudget, _now: Moment) -> Polled {
            polled(&mut self.live, "l")
        }

        fn poll_again(&mut self, _budget: PollBudget, _now: Moment) -> Polled {
            polled(&mut self.again, "a")
        }

        fn acknowledge(&mut self, _positions: &[(Partition, Position)]) {}

        fn close(&mut self) {}
    }

    fn drain(turn: &mut Turn, (live, again): (u32, u32), room: Room) -> String {
        let mut lists = Lists { live, again };
        let mut seen = String::new();
        let budget = PollBudget { rows: 1, bytes: 1 };
        while let Polled::End(partition) = turn.poll(&mut lists, room, budget, Moment::default()) {
            seen.push_str(&partition.name);
        }
        seen
    }

    #[test]
    fn live_records_come_first_and_leave_every_fourth_poll() {
        let both = Room { live: true, again: true };
        let fresh = |lists| drain(&mut Turn::default(), lists, both);
        assert_eq!(fresh((9, 2)), "lllalllalll");
        assert_eq!(fresh((4, 4)), "lllalaaa");
        assert_eq!(fresh((0, 3)), "aaa");
        assert_eq!(fresh((6, 0)), "llllll");
        // A turn that found nothing is not lost, and not saved up either.
        let mut turn = Turn::default();
        assert_eq!(drain(&mut turn, (9, 0), both), "lllllllll");
        assert_eq!(drain(&mut turn, (4, 2), both), "alllal");
    }

    #[test]
    fn without_room_nothing_is_polled() {
        let room = |live, again| Room { live, again };
        let fresh = |room| drain(&mut Turn::default(), (5, 2), room);
        assert_eq!(fresh(room(true, false)), "lllll");
        assert_eq!(fresh(room(false, true)), "aa");
        assert_eq!(fresh(room(false, false)), "");
    }
}
