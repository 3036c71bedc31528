//! One app log as it was read: what the jobs need of it, and where its parts stand.
//!
//! A view that borrows the value and the parser: good until the parser reads the next value. The
//! texts are the last ones of their name, escapes decoded; a member of another type than text is
//! absent here, but stays in the record.

use super::reading::{Common, Page, Reading};
use super::{Element, layout};
use crate::format::json_scan::Span;
use crate::format::json_scan::text::Text;

/// What `common.is_new` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IsNew {
    /// The text `"0"`: an old visitor.
    Zero,
    /// The text `"1"`: a new visitor, or one whose client lost its data.
    One,
    /// Absent or anything else: to be passed through untouched and counted `bad_is_new`.
    #[default]
    Other,
}

/// Which main record an app log has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Main {
    /// A start record, also when it has a `page`, too.
    Start,
    /// A page record.
    Page,
    /// None: there is an error record only. To be counted `no_main`.
    None,
}

/// A record that is not dirty. See the module.
#[derive(Clone, Copy, Debug)]
pub struct AppLog<'a> {
    pub(super) value: &'a str,
    pub(super) arena: &'a str,
    pub(super) reading: &'a Reading,
    pub(super) common: &'a Common,
    pub(super) mid: Text,
    pub(super) ts: (i64, Span),
    pub(super) main: Main,
}

impl<'a> AppLog<'a> {
    /// The bytes that were read.
    #[must_use]
    pub const fn value(&self) -> &'a [u8] {
        self.value.as_bytes()
    }

    /// The device id, never empty: `common.mid`, or the text of the number that stands there.
    #[must_use]
    pub fn mid(&self) -> &'a str {
        self.mid.read(self.value, self.arena)
    }

    /// Milliseconds since the epoch, never negative.
    #[must_use]
    pub const fn ts(&self) -> i64 {
        self.ts.0
    }

    /// `common.vc`, the version of the app.
    #[must_use]
    pub fn vc(&self) -> Option<&'a str> {
        self.text(self.common.vc?.text())
    }

    /// `common.ch`, the channel.
    #[must_use]
    pub fn ch(&self) -> Option<&'a str> {
        self.text(self.common.ch?.text())
    }

    /// `common.ar`, the area.
    #[must_use]
    pub fn ar(&self) -> Option<&'a str> {
        self.text(self.common.ar?.text())
    }

    /// `common.uid`, the user if logged in; a number is taken by its text.
    #[must_use]
    pub fn uid(&self) -> Option<&'a str> {
        self.text(self.common.uid)
    }

    /// `common.is_new`.
    #[must_use]
    pub const fn is_new(&self) -> IsNew {
        self.common.is_new
    }

    /// Where `"0"` or `"1"` stands as the value of `common.is_new`, quotes included; `None` for
    /// [`IsNew::Other`].
    #[must_use]
    pub const fn is_new_token(&self) -> Option<Span> {
        self.common.is_new_token
    }

    /// Which main record there is.
    #[must_use]
    pub const fn main(&self) -> Main {
        self.main
    }

    /// Whether both `start` and `page` are objects: taken as a start record, and counted.
    #[must_use]
    pub const fn start_and_page(&self) -> bool {
        self.reading.start.is_some() && self.reading.page.is_some()
    }

    /// Whether there is an error record: an `err` other than null.
    #[must_use]
    pub const fn has_err(&self) -> bool {
        self.reading.err.is_some()
    }

    /// How many members and elements of a page record are dropped (counter `bad_member`).
    #[must_use]
    pub fn bad_members(&self) -> usize {
        match self.main {
            Main::Page => self.reading.displays.bad_count() + self.reading.actions.bad_count(),
            Main::Start | Main::None => 0,
        }
    }

    /// `page.page_id`.
    #[must_use]
    pub fn page_id(&self) -> Option<&'a str> {
        self.text(self.page()?.page_id)
    }

    /// `page.last_page_id`, absent on the first page of a visit; a number is taken by its text.
    #[must_use]
    pub fn last_page_id(&self) -> Option<&'a str> {
        self.text(self.page()?.last_page_id?.text())
    }

    /// `page.item`.
    #[must_use]
    pub fn item(&self) -> Option<&'a str> {
        self.text(self.page()?.item)
    }

    /// `page.item_type`.
    #[must_use]
    pub fn item_type(&self) -> Option<&'a str> {
        self.text(self.page()?.item_type)
    }

    /// `page.during_time` in milliseconds, if it is an integer.
    #[must_use]
    pub fn during_time(&self) -> Option<i64> {
        self.page()?.during_time
    }

    /// Where the object `common` stands.
    #[must_use]
    pub const fn common_span(&self) -> Span {
        self.common.span
    }

    /// Where `start` stands, if it is an object.
    #[must_use]
    pub const fn start_span(&self) -> Option<Span> {
        self.reading.start
    }

    /// Where `page` stands, if it is an object.
    #[must_use]
    pub fn page_span(&self) -> Option<Span> {
        self.page().map(|page| page.span)
    }

    /// Where `err` stands, if it is there and not null.
    #[must_use]
    pub const fn err_span(&self) -> Option<Span> {
        self.reading.err
    }

    /// The objects in `displays` of a page record; nothing for other records.
    #[must_use]
    pub fn displays(&self) -> &'a [Element] {
        match self.main {
            Main::Page => self.reading.displays.elements(),
            Main::Start | Main::None => &[],
        }
    }

    /// The objects in `actions` of a page record; nothing for other records.
    #[must_use]
    pub fn actions(&self) -> &'a [Element] {
        match self.main {
            Main::Page => self.reading.actions.elements(),
            Main::Start | Main::None => &[],
        }
    }

    /// Appends what [`super::Split`] needs besides the value, see [`super::Layout`].
    pub fn write_layout(&self, out: &mut Vec<u8>) {
        layout::write(self, out);
    }

    pub(super) fn page(&self) -> Option<&'a Page> {
        self.reading.page.as_ref()
    }

    fn text(&self, text: Option<Text>) -> Option<&'a str> {
        text.map(|text| text.read(self.value, self.arena))
    }
}
