//! Where in the stream each step of each story stands: pure arithmetic, no state.
//!
//! Behind the bootstrap the records are cut into *blocks* of [`BLOCK`]. A block has a *slot* for every
//! [`Step`], always at the same place, and each slot belongs to the step of one story; what a step
//! leaves free of its slot, and the end of the block, is filled with changes of dimensions, faults
//! and facts that stand alone. Blocks are put together to *groups*; a step of a story comes a fixed
//! number of groups later, shuffled inside the group by a mask that depends on the seed, the step and
//! the group. So there is one story for each block, and from a record to its story, or from a story
//! to the record of its payment, is a matter of a few additions.
//!
//! Two steps of one story in the same group would be in any order: a step is always at least one
//! group behind the one it follows.

use super::step::{STEPS, Step};
use crate::generate::random::Random;

/// Records of a block.
pub(super) const BLOCK: u64 = 64;

/// Records of a block that are no story's, at least.
pub(super) const FREE: u64 = BLOCK - ROOM;

/// Records of all slots.
const ROOM: u64 = slot_begin(STEPS);

/// About how long a group should last, the time between a step and the next one.
const GROUP_MS: u64 = 16_000;

/// What of ten thousand something is.
const WHOLE: u64 = 10_000;

/// The timetable of steps.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    seed: u64,
    /// Number of the first record that is no bootstrap.
    pub(super) first: u64,
    /// Blocks of a group; a power of two.
    group: u64,
    /// For each step: how many groups it comes after the story's own.
    shifts: [u64; STEPS],
    /// Changes of dimensions and faults in ten thousand blocks.
    dimensions: u64,
    faults: u64,
}

/// How many records come in so many milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// So many records.
    pub(super) records: u64,
    /// In this time; at least 1.
    pub(super) span_ms: u64,
}

impl Layout {
    /// A layout of blocks that begin with record `first`; shares in ten thousand, cut to what has
    /// room in every block, faults before changes of dimensions.
    pub(super) fn new(seed: u64, first: u64, rate: Rate, dimensions: u32, faults: u32) -> Self {
        let blocks = u128::from(rate.records) * u128::from(GROUP_MS)
            / u128::from(rate.span_ms)
            / u128::from(BLOCK);
        let blocks = u64::try_from(blocks).unwrap_or(u64::MAX).max(1);
        let group = 1 << blocks.ilog2();
        let room = FREE * WHOLE;
        let faults = (u64::from(faults) * BLOCK).min(room / 2);
        let left = room - faults.div_ceil(WHOLE) * WHOLE;
        let dimensions = (u64::from(dimensions) * BLOCK).min(left);
        let shifts = shifts(rate, group);
        Self { seed, first, group, shifts, dimensions, faults }
    }

    /// The block of a record and its place in it.
    pub(super) fn place(&self, number: u64) -> (u64, u64) {
        let number = number - self.first;
        (number / BLOCK, number % BLOCK)
    }

    /// The number of the first record of a block.
    pub(super) fn begin(&self, block: u64) -> u64 {
        self.first + block * BLOCK
    }

    /// The story whose `step` lies in this block; none before the first.
    pub(super) fn story(&self, step: Step, block: u64) -> Option<u64> {
        let origin = (block / self.group).checked_sub(self.shifts[step.index()])?;
        Some(origin * self.group + ((block % self.group) ^ self.mask(step, origin)))
    }

    /// The number of the first record of a story's `step`.
    pub(super) fn number(&self, step: Step, story: u64) -> u64 {
        let origin = story / self.group;
        let group = origin + self.shifts[step.index()];
        let block = group * self.group + ((story % self.group) ^ self.mask(step, origin));
        self.begin(block) + slot_begin(step.index())
    }

    /// How many changes of dimensions lie in the blocks before this one.
    pub(super) fn dimensions_before(&self, block: u64) -> u64 {
        share(block, self.dimensions)
    }

    /// How many faults lie in the blocks before this one.
    pub(super) fn faults_before(&self, block: u64) -> u64 {
        share(block, self.faults)
    }

    /// The block in which this change of a dimension lies.
    pub(super) fn block_of_dimension(&self, change: u64) -> u64 {
        let parts = (u128::from(change) + 1) * u128::from(WHOLE);
        let block = parts.div_ceil(u128::from(self.dimensions)) - 1;
        u64::try_from(block).expect("not above the count of records")
    }

    fn mask(&self, step: Step, origin: u64) -> u64 {
        if step == Step::Browse {
            return 0;
        }
        let index = u64::try_from(step.index()).expect("a few steps");
        Random::of(&[self.seed, 10, index, origin]).bits() % self.group
    }
}

/// Where in a block the slot of the step with this index begins.
pub(super) const fn slot_begin(index: usize) -> u64 {
    let (mut begin, mut step) = (0, 0);
    while step < index {
        begin += Step::ALL[step].room();
        step += 1;
    }
    begin
}

fn share(block: u64, parts: u64) -> u64 {
    let count = u128::from(block) * u128::from(parts) / u128::from(WHOLE);
    u64::try_from(count).expect("less than there are records")
}

/// How many groups each step comes after the story's own.
fn shifts(rate: Rate, group: u64) -> [u64; STEPS] {
    let records = u128::from(group * BLOCK);
    let mut shifts = [0; STEPS];
    for step in Step::ALL {
        if let Some((before, delay_ms)) = step.follows() {
            let parts = u128::from(delay_ms) * u128::from(rate.records);
            let groups = parts / (u128::from(rate.span_ms) * records);
            let groups = u64::try_from(groups).unwrap_or(u64::MAX).max(1);
            shifts[step.index()] = shifts[before.index()] + groups;
        }
    }
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(records: u64, dimensions: u32, faults: u32) -> Layout {
        Layout::new(7, 1_000, Rate { records, span_ms: 1_000 }, dimensions, faults)
    }

    #[test]
    fn a_step_of_a_story_is_where_it_was_put_and_later_than_the_one_before() {
        for records in [1, 200, 5_000] {
            let layout = layout(records, 100, 50);
            for story in (0..2_000).chain([123_456_789]) {
                for step in Step::ALL {
                    let number = layout.number(step, story);
                    let (block, place) = layout.place(number);
                    assert_eq!(place, slot_begin(step.index()));
                    assert_eq!(layout.story(step, block), Some(story), "{step:?} at {records}/s");
                    if let Some((before, _)) = step.follows() {
                        assert!(number > layout.number(before, story), "{step:?} at {records}/s");
                    }
                }
            }
        }
    }

    #[test]
    fn delays_are_about_what_was_asked_for() {
        let layout = layout(1_000, 0, 0);
        let delay = |from, to| {
            let of = |story| layout.number(to, story) - layout.number(from, story);
            (0..3_000).map(of).sum::<u64>() / 3_000 / 1_000
        };
        assert!((16..=48).contains(&delay(Step::Order, Step::Pay)));
        assert!((880..=920).contains(&delay(Step::Order, Step::Cancel)));
    }

    #[test]
    fn shares_are_exact_and_every_change_lies_in_its_block() {
        let layout = layout(1_000, 3_333, 100);
        let blocks = 10_000;
        assert_eq!(layout.dimensions_before(blocks), 3_333 * BLOCK);
        assert_eq!(layout.faults_before(blocks), 100 * BLOCK);
        for change in 0..10_000 {
            let block = layout.block_of_dimension(change);
            let range = layout.dimensions_before(block)..layout.dimensions_before(block + 1);
            assert!(range.contains(&change), "{change} in {block}: {range:?}");
        }
    }

    #[test]
    fn greater_shares_are_cut_to_the_room_of_a_block() {
        for (dimensions, faults) in [(10_000, 0), (10_000, 10_000), (3_000, 700), (0, 10_000)] {
            let layout = layout(1_000, dimensions, faults);
            for block in 0..1_000 {
                let count = |of: &dyn Fn(u64) -> u64| of(block + 1) - of(block);
                let all =
                    count(&|b| layout.dimensions_before(b)) + count(&|b| layout.faults_before(b));
                assert!(all <= FREE, "{all} in block {block}");
            }
        }
    }
}
