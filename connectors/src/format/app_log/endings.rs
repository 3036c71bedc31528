//! What the display and the action records of one record end with: written once, copied to each.
//!
//! `common`, `page` and `ts` stand at three places of the record, one of which may have a patch. A
//! record has some displays, and putting these together for each would be most of what a split does.
//!
//! The flat shape has no endings: what it takes of `common` and `page` depends on the element.

use super::split::{Kind, Shape, Split};

/// A buffer for the endings of one record; keep one per splitter.
#[derive(Clone, Debug, Default)]
pub struct Endings {
    /// The members `common`, `page` and `ts`.
    bytes: Vec<u8>,
}

/// The last members of each display record and of each action record.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ending<'a> {
    display: &'a [u8],
    action: &'a [u8],
}

impl Endings {
    /// The endings of the records of `split`.
    pub(super) fn of(&mut self, split: &Split<'_>) -> Ending<'_> {
        let layout = &split.layout;
        if split.options.shape == Shape::Flat || layout.is_without_elements() {
            return Ending::default();
        }
        let out = &mut self.bytes;
        out.clear();
        out.extend_from_slice(b"\"common\":");
        split.copy(layout.common, out);
        out.extend_from_slice(b",\"page\":");
        out.extend_from_slice(layout.page.of(split.value));
        let before_ts = out.len();
        out.extend_from_slice(b",\"ts\":");
        out.extend_from_slice(layout.ts.of(split.value));
        let (without_ts, _ts) = out.split_at(before_ts);
        Ending { display: out, action: if split.adds_ts(Kind::Action) { out } else { without_ts } }
    }
}

impl<'a> Ending<'a> {
    pub(super) const fn of(&self, kind: Kind) -> &'a [u8] {
        match kind {
            Kind::Display => self.display,
            Kind::Action => self.action,
        }
    }
}
