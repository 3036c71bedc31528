//! Cutting members out of an object, or elements out of an array, so that valid JSON remains.
//!
//! A comma stands between neighbours, so what goes with a member depends on where it stands: up to
//! the next member if there is one, else from the end of the one before. A run of members that go
//! is cut as one, for otherwise the comma before the run would stay.

use crate::format::json_scan::Span;

/// Where a member or element stands among its neighbours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// End of the one before, or its own start when it is the first.
    before: usize,
    start: usize,
    end: usize,
    /// Start of the one after, or its own end when it is the last.
    next: usize,
}

/// Follows the places of the members of an object, or of the elements of an array, in order.
#[derive(Debug, Default)]
pub(super) struct Places {
    last_end: Option<usize>,
}

impl Places {
    /// The place of the part now read from `start` to `end`. Its `next` is not known yet.
    #[inline]
    pub(super) fn pass(&mut self, start: usize, end: usize) -> Place {
        let before = self.last_end.replace(end).unwrap_or(start);
        Place { before, start, end, next: end }
    }
}

impl Place {
    /// Tells this place that a part begins at `start`. Only the first part after it counts.
    #[inline]
    pub(super) fn followed_by(&mut self, start: usize) {
        if self.next == self.end {
            self.next = start;
        }
    }

    const fn is_last(&self) -> bool {
        self.next == self.end
    }
}

/// Appends the ranges to leave out when all of `places` go. These must be places of one object or
/// array, in order; the ranges are in order and do not touch.
pub(super) fn cut(places: impl Iterator<Item = Place>, cuts: &mut Vec<Span>) {
    let mut run: Option<(Span, usize)> = None;
    for place in places {
        let (mut span, before) = match run.take() {
            Some((span, before)) if span.end == place.start => (span, before),
            other => {
                cuts.extend(other.map(|(span, _before)| span));
                (Span { start: place.start, end: place.start }, place.before)
            }
        };
        span.end = place.next;
        if place.is_last() {
            span.start = before;
        }
        run = Some((span, before));
    }
    cuts.extend(run.map(|(span, _before)| span));
}
