//! One block of records: what each of them is.
//!
//! Slots hold the steps of stories; changes of dimensions and faults are spread over the places that
//! are left, as many as fall into this block; what is still left are facts that stand alone. Dimension
//! changes keep their order: the one with the lower number has the lower place.

use super::envelope::{Stamp, write_change};
use super::layout::{BLOCK, slot_begin};
use super::scene::Scene;
use super::step::Step;
use super::story::Story;
use super::{Fault, Shop, dimension, filler};
use crate::generate::random::Random;

/// What stands at a place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Story { story: u64, step: Step, index: usize },
    Dimension(u64),
    Fault,
    Filler,
}

/// A block that is planned.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// Which one, from 0.
    pub(super) index: u64,
    /// One for each record.
    places: Vec<Place>,
}

impl Block {
    /// The plan of the block with this index.
    pub(super) fn plan(shop: &Shop, index: u64) -> Self {
        let length = usize::try_from(BLOCK).expect("a block is small");
        let mut block = Self { index, places: vec![Place::Filler; length] };
        for step in Step::ALL {
            if let Some(story) = shop.layout.story(step, index) {
                block.put_story(step, story, Story::at(shop, story).parts(step).len());
            }
        }
        block.put_others(shop);
        block
    }

    fn put_story(&mut self, step: Step, story: u64, records: usize) {
        let begin = usize::try_from(slot_begin(step.index())).expect("inside the block");
        let end = usize::try_from(slot_begin(step.index() + 1)).expect("inside the block");
        assert!(records <= end - begin, "{step:?} has {records} records, more than its room");
        for index in 0..records {
            self.places[begin + index] = Place::Story { story, step, index };
        }
    }

    fn put_others(&mut self, shop: &Shop) {
        let [begin, end] = [self.index, self.index + 1].map(|at| shop.layout.dimensions_before(at));
        let faults =
            shop.layout.faults_before(self.index + 1) - shop.layout.faults_before(self.index);
        let all = end - begin + faults;
        let mut random = Random::of(&[shop.settings.seed, 15, self.index]);
        let shift = random.bits() % all.max(1);
        let mut dimensions = begin..end;
        for (turn, place) in (0..).zip(self.spread(all, &mut random)) {
            // Exactly `faults` of `all` turns are below.
            let is_fault = (turn * faults + shift) % all < faults;
            let change = if is_fault { None } else { dimensions.next() };
            self.places[place] = change.map_or(Place::Fault, Place::Dimension);
        }
    }

    /// So many of the places that are left, evenly and in order.
    fn spread(&self, count: u64, random: &mut Random) -> Vec<usize> {
        let left = |place: &usize| self.places[*place] == Place::Filler;
        let free: Vec<usize> = (0..self.places.len()).filter(left).collect();
        let count = usize::try_from(count).expect("inside the block");
        assert!(count <= free.len(), "slots leave room for {count}");
        let begin = usize::try_from(random.bits() % BLOCK).expect("inside the block");
        let place = |turn| free[(turn * free.len() / count + begin) % free.len()];
        let mut places: Vec<usize> = (0..count).map(place).collect();
        places.sort_unstable();
        places
    }

    /// Where in the block this change of a dimension stands.
    pub(super) fn place_of_dimension(&self, change: u64) -> u64 {
        let here = |place: &Place| *place == Place::Dimension(change);
        let place = self.places.iter().position(here).expect("the change lies in this block");
        u64::try_from(place).expect("inside the block")
    }

    /// Appends the record at this place; its table, if it has one, and what is wrong with it.
    pub(super) fn write(
        &self,
        shop: &Shop,
        place: u64,
        out: &mut Vec<u8>,
    ) -> (Option<&'static str>, Option<Fault>) {
        let number = shop.layout.begin(self.index) + place;
        let alone = Stamp { seconds: shop.seconds(number), xid: number + 1, offset: None };
        let place = usize::try_from(place).expect("inside the block");
        let (change, stamp) = match self.places[place] {
            Place::Story { story, step, index } => {
                let scene = Scene::at(shop, story);
                (scene.change(step, index), scene.stamp(step, index))
            }
            Place::Dimension(change) => (dimension::change(shop, change), alone),
            Place::Filler => (filler::change(shop, self.index, number), alone),
            Place::Fault => {
                let mut random = Random::of(&[shop.settings.seed, 16, number]);
                let fault = random.pick(&Fault::ALL);
                return (fault.write(&alone, out), Some(fault));
            }
        };
        write_change(&change, &stamp, out);
        (Some(change.table), None)
    }
}
