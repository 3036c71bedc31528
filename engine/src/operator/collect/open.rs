//! Epochs whose blocks are being filled.
//!
//! There are a few at most, and rows come epoch by epoch: the one asked for last is at hand.

use super::Outlet;
use super::place::{Places, Routes};
use crate::epoch::hold::Hold;
use crate::outbox::rows::RowWriter;

/// Open epochs of a sink on this worker, in order.
#[derive(Default)]
pub(super) struct OpenEpochs {
    open: Vec<OpenEpoch>,
    /// Index of the one asked for last.
    last: usize,
}

impl OpenEpochs {
    /// The first one's number.
    pub(super) fn first(&self) -> Option<u64> {
        self.open.first().map(|open| open.epoch)
    }

    /// The open epoch of this number, which is opened with the first call.
    #[inline]
    pub(super) fn opened(&mut self, epoch: u64, places: &mut Places) -> &mut OpenEpoch {
        if self.open.get(self.last).is_none_or(|open| open.epoch != epoch) {
            self.last = self.find_or_open(epoch, places);
        }
        &mut self.open[self.last]
    }

    fn find_or_open(&mut self, epoch: u64, places: &mut Places) -> usize {
        let found = self.open.binary_search_by_key(&epoch, |open| open.epoch);
        found.unwrap_or_else(|index| {
            self.open.insert(index, OpenEpoch::new(epoch, places));
            index
        })
    }

    /// Takes an epoch out.
    pub(super) fn remove(&mut self, epoch: u64) -> Option<OpenEpoch> {
        let index = self.open.iter().position(|open| open.epoch == epoch)?;
        Some(self.open.remove(index))
    }
}

/// What an epoch has for the sink so far.
pub(super) struct OpenEpoch {
    epoch: u64,
    /// There with the first batch.
    pub(super) hold: Option<Hold>,
    pub(super) routes: Routes,
    /// By number of the place; those of topics that came later are added when they are needed.
    pub(super) blocks: Vec<RowWriter>,
    /// Whether a place has filled a block.
    pub(super) full: Vec<bool>,
    /// Rows that are the job's result.
    pub(super) results: u64,
    /// Rows that became dead letters here.
    pub(super) dead: u64,
}

impl OpenEpoch {
    fn new(epoch: u64, places: &mut Places) -> Self {
        let routes = places.routes();
        let (blocks, full) = (vec![RowWriter::new(); places.count()], vec![false; places.count()]);
        Self { epoch, hold: None, routes, blocks, full, results: 0, dead: 0 }
    }
}

/// Where new blocks come from, and full ones go.
pub(super) struct Supply<'s> {
    pub(super) places: &'s mut Places,
    pub(super) expected: &'s [usize],
    pub(super) outlet: &'s Outlet,
}

impl OpenEpoch {
    /// The open block of a place, with room for a row of so many bytes: a full one goes to the writer.
    #[inline]
    pub(super) fn block(
        &mut self,
        place: usize,
        row_bytes: usize,
        supply: &mut Supply<'_>,
    ) -> &mut RowWriter {
        let has_room = |writer: &RowWriter| !writer.is_empty() && writer.has_room(row_bytes);
        if !self.blocks.get(place).is_some_and(has_room) {
            self.begin_block(place, supply);
        }
        &mut self.blocks[place]
    }

    fn begin_block(&mut self, place: usize, supply: &mut Supply<'_>) {
        let Supply { places, expected, outlet } = supply;
        if self.blocks.len() <= place {
            self.blocks.resize(places.count(), RowWriter::new());
            self.full.resize(places.count(), false);
        }
        if self.blocks[place].is_empty() {
            let bytes = expected.get(place).copied().unwrap_or_default();
            self.blocks[place] = places.writer(place, outlet.memory(bytes));
            return;
        }
        // Where one block became full, the next one will: it gets its memory at once.
        let memory = outlet.memory(places.block_bytes_max(place));
        let next = places.writer(place, memory);
        let full = std::mem::replace(&mut self.blocks[place], next);
        self.full[place] = true;
        places.filled(place);
        outlet.send(self.epoch, places.destination(place), full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::plan::SinkTarget;

    #[test]
    fn an_epoch_is_found_whichever_was_asked_for_before() {
        let mut places = Places::of(&SinkTarget::Topics(Vec::new(), |_key, _count| 0), 0);
        let mut epochs = OpenEpochs::default();
        let mut add = |epochs: &mut OpenEpochs, epoch| {
            let open = epochs.opened(epoch, &mut places);
            open.results += 1;
            (open.epoch, open.results)
        };
        let asked = [5, 5, 3, 5, 3, 4, 3, 5].map(|epoch| add(&mut epochs, epoch));
        assert_eq!(asked, [(5, 1), (5, 2), (3, 1), (5, 3), (3, 2), (4, 1), (3, 3), (5, 4)]);
        let results = |open: Option<OpenEpoch>| open.map(|open| (open.epoch, open.results));
        assert_eq!((epochs.first(), results(epochs.remove(3))), (Some(3), Some((3, 3))));
        // Others have moved up.
        assert_eq!((add(&mut epochs, 5), add(&mut epochs, 4)), ((5, 5), (4, 2)));
        assert_eq!(results(epochs.remove(6)), None);
        assert_eq!(
            (results(epochs.remove(4)), results(epochs.remove(5))),
            (Some((4, 2)), Some((5, 5)))
        );
        assert_eq!((epochs.first(), add(&mut epochs, 5)), (None, (5, 1)));
    }
}
