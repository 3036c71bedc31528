//! Splitting a record: its error, main, display and action records, by copying ranges.
//!
//! Each `write_*` appends one JSON object to a buffer that the caller owns. Nothing is parsed, but
//! where a name may clash: rarely in the nested shape (the element itself has a member `common`,
//! `page` or `ts`), always in the flat one.
//!
//! No output holds a name twice because of the split: the name that an output adds wins over the
//! same name inside the element. Doubles that were inside one object before stay; their last one
//! wins for consumers as it did here.
//!
//! | shape   | display record                                   | action record                      |
//! |---------|--------------------------------------------------|------------------------------------|
//! | nested  | element members, common, page, ts                | element members, common, page      |
//! | wrapped | display, common, page, ts                        | action, common, page, ts           |
//! | flat    | element members, those of common, of page, ts    | the same, ts being the element's   |
//!
//! Misuse: the value must be the one that the layout was written for, and an element must come from
//! this layout.

use super::endings::{Ending, Endings};
use super::flat;
use super::members::members;
use super::name::Name;
use super::record::Main;
use super::{Element, Layout};
use crate::format::json_scan::Span;

/// How display and action records are laid out (`log_split.shape`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Element members, then `common`, `page`, `ts`.
    #[default]
    Nested,
    /// The element under `display` or `action`, then `common`, `page`, `ts` of the record.
    Wrapped,
    /// Members of element, `common` and `page` side by side.
    Flat,
}

/// Who wins when the element and `page` or `common` have the same name in the flat shape
/// (`log_split.flat_clash`). Between `page` and `common` it is always `page`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FlatClash {
    /// The element.
    #[default]
    Element,
    /// `page`, then `common`.
    Page,
}

/// What an error record is (`log_split.err`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrForm {
    /// The whole record.
    #[default]
    Whole,
    /// The object `err` alone. An `err` that is no object stays under its name: `{"err":...}`.
    SubObject,
    /// The same, then the record's `ts`.
    SubObjectTs,
}

/// Which `ts` an action record has (`log_split.action_ts`). The wrapped shape is not concerned: the
/// element in it is whole and the `ts` beside it is the record's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ActionTs {
    /// The element's, if it has one.
    #[default]
    Own,
    /// The record's.
    Page,
    /// None.
    None,
}

/// The switches of the split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SplitOptions {
    /// See [`Shape`].
    pub shape: Shape,
    /// See [`FlatClash`].
    pub flat_clash: FlatClash,
    /// See [`ErrForm`].
    pub err: ErrForm,
    /// See [`ActionTs`].
    pub action_ts: ActionTs,
}

/// Whether an element is from `displays` or `actions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Display,
    Action,
}

/// More than an output has beside what it copies: braces, commas, and the names of its parts.
const ADDED_BYTES_MAX: usize = 64;

/// One record about to be split.
#[derive(Clone, Copy, Debug)]
pub struct Split<'a> {
    pub(super) value: &'a [u8],
    pub(super) layout: Layout<'a>,
    pub(super) options: SplitOptions,
    /// The `"1"` to be written as `"0"`.
    patch: Option<Span>,
    ending: Ending<'a>,
}

impl<'a> Split<'a> {
    /// The split of `value`, whose layout is `layout`. `repaired` says that `is_new`, which is
    /// `"1"`, is to be `"0"` in every output. What was in `endings` before does not matter.
    #[must_use]
    #[inline]
    pub fn new(
        value: &'a [u8],
        layout: Layout<'a>,
        repaired: bool,
        options: SplitOptions,
        endings: &'a mut Endings,
    ) -> Self {
        debug_assert!(!repaired || layout.is_new_one.is_some(), "only a \"1\" is repaired");
        let patch = layout.is_new_one.filter(|_span| repaired);
        let mut split = Self { value, layout, options, patch, ending: Ending::default() };
        split.ending = endings.of(&split);
        split
    }

    /// Whether the main record equals the value byte for byte, so that the value can be passed on.
    #[must_use]
    pub const fn is_main_plain(&self) -> bool {
        self.patch.is_none() && self.layout.main_cuts.is_empty()
    }

    /// Whether the error record equals the value byte for byte.
    #[must_use]
    pub const fn is_error_plain(&self) -> bool {
        matches!(self.options.err, ErrForm::Whole)
            && self.patch.is_none()
            && self.layout.error_cuts.is_empty()
    }

    /// Upper bound of the bytes of an error record, and of a main record.
    #[must_use]
    pub const fn bytes_max(&self) -> usize {
        self.value.len() + ADDED_BYTES_MAX
    }

    /// Upper bound of the bytes of the display or action record of an element.
    #[must_use]
    pub const fn element_bytes_max(&self, element: Element) -> usize {
        let Layout { common, page, ts, .. } = &self.layout;
        element.span.len() + common.len() + page.len() + ts.len() + ADDED_BYTES_MAX
    }

    /// Appends the error record; nothing when there is none.
    pub fn write_error(&self, out: &mut Vec<u8>) {
        let Some(err) = self.layout.err else { return };
        match self.options.err {
            ErrForm::Whole => self.copy_less(self.layout.error_cuts, out),
            ErrForm::SubObject => self.write_sub_object(err, false, out),
            ErrForm::SubObjectTs => self.write_sub_object(err, true, out),
        }
    }

    /// Appends the main record: the record less `err`, and less `displays` and `actions` if it is a
    /// page record. Nothing when there is no main record.
    pub fn write_main(&self, out: &mut Vec<u8>) {
        match self.layout.main() {
            Main::Start | Main::Page => self.copy_less(self.layout.main_cuts, out),
            Main::None => {}
        }
    }

    /// Appends the display record of an element of [`Layout::displays`].
    pub fn write_display(&self, element: Element, out: &mut Vec<u8>) {
        self.write_element(Kind::Display, element, out);
    }

    /// Appends the action record of an element of [`Layout::actions`].
    pub fn write_action(&self, element: Element, out: &mut Vec<u8>) {
        self.write_element(Kind::Action, element, out);
    }

    #[inline]
    fn write_element(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        match self.options.shape {
            Shape::Nested => self.write_nested(kind, element, out),
            Shape::Wrapped => self.write_wrapped(kind, element, out),
            Shape::Flat => flat::write(self, kind, element, out),
        }
    }

    #[inline]
    fn write_nested(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        let is_empty = if element.has_parts || (element.has_ts && !self.keeps_own_ts(kind)) {
            self.open_without_clash(kind, element, out)
        } else {
            self.open(element, out)
        };
        out.extend_from_slice(self.ending.behind(is_empty, kind));
    }

    /// Begins an object with the element's members; whether there are none.
    #[inline]
    fn open(&self, element: Element, out: &mut Vec<u8>) -> bool {
        let object = element.span.of(self.value);
        let is_empty = matches!(object, [b'{', inside @ .., b'}'] if is_blank(inside));
        let opened = if is_empty { b"{" } else { object.strip_suffix(b"}").unwrap_or_default() };
        out.extend_from_slice(opened);
        is_empty
    }

    /// Likewise, but for the members that the record adds or the options leave out.
    #[cold]
    fn open_without_clash(&self, kind: Kind, element: Element, out: &mut Vec<u8>) -> bool {
        let mut object = Object::open(out);
        for member in members(self.value, element.span) {
            match member.name() {
                Name::Common | Name::Page => {}
                Name::Ts if !self.keeps_own_ts(kind) => {}
                _ => object.parts(member.span.of(self.value)),
            }
        }
        object.empty
    }

    fn write_wrapped(&self, kind: Kind, element: Element, out: &mut Vec<u8>) {
        out.extend_from_slice(match kind {
            Kind::Display => b"{\"display\":",
            Kind::Action => b"{\"action\":",
        });
        out.extend_from_slice(element.span.of(self.value));
        out.extend_from_slice(self.ending.behind(false, kind));
    }

    /// Appends the record's `ts`, its number as it is written.
    pub(super) fn write_ts(&self, object: &mut Object<'_>) {
        object.parts(b"\"ts\":");
        object.out.extend_from_slice(self.layout.ts.of(self.value));
    }

    fn write_sub_object(&self, err: Span, ts: bool, out: &mut Vec<u8>) {
        let whole = err.of(self.value);
        let is_object = whole.starts_with(b"{");
        if is_object && !ts {
            return out.extend_from_slice(whole);
        }
        let mut object = Object::open(out);
        if is_object {
            for member in members(self.value, err).filter(|member| member.name() != Name::Ts) {
                object.parts(member.span.of(self.value));
            }
        } else {
            object.parts(b"\"err\":");
            object.out.extend_from_slice(whole);
        }
        if ts {
            self.write_ts(&mut object);
        }
        object.close();
    }

    /// Whether the output has the element's `ts`.
    pub(super) fn keeps_own_ts(&self, kind: Kind) -> bool {
        kind == Kind::Action && self.options.action_ts == ActionTs::Own
    }

    /// Whether the output has the record's `ts`.
    pub(super) fn adds_ts(&self, kind: Kind) -> bool {
        let SplitOptions { shape, action_ts, .. } = self.options;
        kind == Kind::Display || shape == Shape::Wrapped || action_ts == ActionTs::Page
    }

    fn copy_less(&self, cuts: impl Iterator<Item = Span>, out: &mut Vec<u8>) {
        out.reserve(self.value.len());
        let mut start = 0;
        for cut in cuts {
            self.copy(Span { start, end: cut.start }, out);
            start = cut.end;
        }
        self.copy(Span { start, end: self.value.len() }, out);
    }

    /// Copies a range, with `is_new` patched if that is in it.
    pub(super) fn copy(&self, span: Span, out: &mut Vec<u8>) {
        match self.patch {
            Some(patch) if span.contains(patch) => {
                out.extend_from_slice(&self.value[span.start..patch.start]);
                out.extend_from_slice(b"\"0\"");
                out.extend_from_slice(&self.value[patch.end..span.end]);
            }
            _ => out.extend_from_slice(span.of(self.value)),
        }
    }
}

/// A JSON object under construction: sees to the commas.
pub(super) struct Object<'o> {
    pub(super) out: &'o mut Vec<u8>,
    empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn open(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, empty: true }
    }

    /// Begins the next member.
    pub(super) fn next(&mut self) {
        if !self.empty {
            self.out.push(b',');
        }
        self.empty = false;
    }

    /// Appends a member, several with their commas, or the beginning of one. White space alone is
    /// no member.
    pub(super) fn parts(&mut self, bytes: &[u8]) {
        if !is_blank(bytes) {
            self.next();
            self.out.extend_from_slice(bytes);
        }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

/// Whether there is white space only, or nothing.
#[inline]
fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

#[cfg(test)]
mod tests;
