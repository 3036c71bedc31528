//! What the walk over a value finds, and what follows from it for the outputs.
//!
//! The walk fills it in, member by member: an equal name further on overwrites. Its buffers outlive
//! the record; whoever starts a new one must [`Reading::clear`] it first, or a member of the record
//! before shows in this one.

use super::Element;
use super::cut::{Place, cut};
use super::name::Name;
use super::record::{IsNew, Main};
use crate::format::json_scan::Span;
use crate::format::json_scan::text::{Part, Text};

/// All that was found in the value; the last of equal names.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) common: Option<Common>,
    pub(super) page: Option<Page>,
    pub(super) start: Option<Span>,
    /// Other than null.
    pub(super) err: Option<Span>,
    /// An integer, maybe negative, and its token.
    pub(super) ts: Option<(i64, Span)>,
    pub(super) displays: List,
    pub(super) actions: List,
    /// Each `err`, `displays` and `actions`, in the order of the record, earlier doubles included.
    pub(super) removable: Vec<(Name, Place)>,
    /// What the main record leaves out.
    pub(super) main_cuts: Vec<Span>,
    /// What the error record leaves out: bad `displays` and `actions`, or bad elements of them.
    pub(super) error_cuts: Vec<Span>,
}

/// What is known of an object `common`.
#[derive(Debug, Default)]
pub(super) struct Common {
    pub(super) span: Span,
    pub(super) mid: Option<Text>,
    pub(super) vc: Option<Part>,
    pub(super) ch: Option<Part>,
    pub(super) ar: Option<Part>,
    pub(super) uid: Option<Text>,
    pub(super) is_new: IsNew,
    pub(super) is_new_token: Option<Span>,
    /// What stands there if it is neither `"0"` nor `"1"`.
    pub(super) is_new_other: Option<Part>,
}

/// What is known of an object `page`.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) span: Span,
    pub(super) page_id: Option<Text>,
    pub(super) last_page_id: Option<Part>,
    pub(super) item: Option<Text>,
    pub(super) item_type: Option<Text>,
    pub(super) during_time: Option<i64>,
}

/// A member `displays` or `actions`.
#[derive(Debug, Default)]
pub(super) struct List {
    pub(super) not_array: bool,
    pub(super) elements: Vec<Element>,
    pub(super) bad: Vec<Place>,
}

impl List {
    pub(super) fn clear(&mut self) {
        self.not_array = false;
        self.elements.clear();
        self.bad.clear();
    }

    pub(super) fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The member itself, or its elements that are no objects.
    pub(super) fn bad_count(&self) -> usize {
        usize::from(self.not_array) + self.bad.len()
    }
}

impl Reading {
    pub(super) fn clear(&mut self) {
        self.common = None;
        self.page = None;
        self.start = None;
        self.err = None;
        self.ts = None;
        self.displays.clear();
        self.actions.clear();
        self.removable.clear();
        self.main_cuts.clear();
        self.error_cuts.clear();
    }

    /// Finds what the outputs leave out, now that the kind of the record is known.
    pub(super) fn cut(&mut self, main: Main) {
        let err = self.err.is_some();
        if main != Main::None && !self.removable.is_empty() {
            let page = main == Main::Page;
            let goes = |name| if name == Name::Err { err } else { page };
            cut(places(&self.removable, goes), &mut self.main_cuts);
        }
        if main == Main::Page && err {
            self.cut_error_record();
        }
    }

    fn cut_error_record(&mut self) {
        let (displays, actions) = (&self.displays, &self.actions);
        if displays.bad_count() + actions.bad_count() == 0 {
            return;
        }
        let goes = |name| match name {
            Name::Displays => displays.not_array,
            Name::Actions => actions.not_array,
            _ => false,
        };
        cut(places(&self.removable, goes), &mut self.error_cuts);
        cut(displays.bad.iter().copied(), &mut self.error_cuts);
        cut(actions.bad.iter().copied(), &mut self.error_cuts);
        self.error_cuts.sort_unstable_by_key(|span| span.start);
    }
}

/// The places of the members that go.
fn places(removable: &[(Name, Place)], goes: impl Fn(Name) -> bool) -> impl Iterator<Item = Place> {
    removable.iter().filter(move |(name, _place)| goes(*name)).map(|(_name, place)| *place)
}
