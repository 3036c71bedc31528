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
    bytes: Vec<u8>,
}

/// What each display record and each action record ends with: a comma, the members that come last, and
/// the brace.
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
        self.bytes.clear();
        self.write(split, true);
        let display = self.bytes.len();
        if split.adds_ts(Kind::Action) {
            return Ending { display: &self.bytes, action: &self.bytes };
        }
        if layout.actions().len() > 0 {
            self.write(split, false);
        }
        let (display, action) = self.bytes.split_at(display);
        Ending { display, action }
    }

    fn write(&mut self, split: &Split<'_>, has_ts: bool) {
        let out = &mut self.bytes;
        out.extend_from_slice(b",\"common\":");
        split.copy(split.layout.common, out);
        out.extend_from_slice(b",\"page\":");
        out.extend_from_slice(split.layout.page.of(split.value));
        if has_ts {
            out.extend_from_slice(b",\"ts\":");
            out.extend_from_slice(split.layout.ts.of(split.value));
        }
        out.push(b'}');
    }
}

impl<'a> Ending<'a> {
    /// What comes behind the first members of an object, or behind its brace if there are none.
    #[inline]
    pub(super) fn behind(&self, is_empty: bool, kind: Kind) -> &'a [u8] {
        let ending = match kind {
            Kind::Display => self.display,
            Kind::Action => self.action,
        };
        if is_empty { ending.strip_prefix(b",").unwrap_or_default() } else { ending }
    }
}
