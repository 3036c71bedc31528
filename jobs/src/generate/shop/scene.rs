//! A story in its place: the records it is made of, with the ids and instants of all its steps.
//!
//! An id is the number of the record that inserts the row, counted from 1, so ids rise and are never used twice in a
//! table. An instant is that of the first record of the transaction, to the second what the record's
//! `ts` says.

use super::Shop;
use super::change::change_of;
use super::envelope::Stamp;
use super::row::{Change, id};
use super::step::Step;
use super::story::{Part, Story};

/// A story with the shop it happens in.
pub(super) struct Scene<'a> {
    pub(super) shop: &'a Shop,
    pub(super) story: Story,
}

impl<'a> Scene<'a> {
    /// The scene of the story with this number.
    pub(super) fn at(shop: &'a Shop, story: u64) -> Self {
        Self { shop, story: Story::at(shop, story) }
    }

    /// The change that the record with this index of a step is.
    pub(super) fn change(&self, step: Step, index: usize) -> Change {
        change_of(self, self.story.parts(step)[index])
    }

    /// Where in its transaction the record with this index of a step stands.
    pub(super) fn stamp(&self, step: Step, index: usize) -> Stamp {
        let first = self.shop.layout.number(step, self.story.number);
        let offset = u64::try_from(index).expect("a step has few records");
        if !step.is_one_transaction() {
            let number = first + offset;
            return Stamp { seconds: self.shop.seconds(number), xid: number + 1, offset: None };
        }
        let last = index + 1 == self.story.parts(step).len();
        let offset = (!last).then_some(offset);
        Stamp { seconds: self.shop.seconds(first), xid: first + 1, offset }
    }

    /// The id of the row that this part inserts.
    pub(super) fn id(&self, part: Part) -> i64 {
        id(self.number(part) + 1)
    }

    /// When this part happens, in milliseconds since the epoch.
    pub(super) fn at_ms(&self, part: Part) -> i64 {
        let step = part.step();
        let number = if step.is_one_transaction() {
            self.shop.layout.number(step, self.story.number)
        } else {
            self.number(part)
        };
        self.shop.arrival_ms(number)
    }

    fn number(&self, part: Part) -> u64 {
        let step = part.step();
        let index = self.story.parts(step).iter().position(|of_step| *of_step == part);
        let index = index.expect("only parts of the story are asked for");
        let first = self.shop.layout.number(step, self.story.number);
        first + u64::try_from(index).expect("a step has few records")
    }
}
