//! The members of an object that has been parsed before, one by one.
//!
//! For the shapes that have to look at names once more when the record is split. Only for objects
//! that passed the parser: in anything else the walk just ends early.

use std::borrow::Cow;

use super::name::Name;
use crate::format::json_scan::text::{str_of, unescape};
use crate::format::json_scan::{Quoted, Scanner, Span};

/// One member of an object.
#[derive(Clone, Copy)]
pub(super) struct Member<'v> {
    /// The object, which `quoted` refers to.
    object: &'v str,
    quoted: Quoted,
    /// Name, colon and value, as a range of the record.
    pub(super) span: Span,
}

impl<'v> Member<'v> {
    pub(super) fn name(&self) -> Name {
        Name::of(self.quoted, self.object)
    }

    /// Whether the names are equal, however they are spelt.
    pub(super) fn is_named_as(&self, other: &Member<'_>) -> bool {
        self.decoded() == other.decoded()
    }

    /// A name that cannot be decoded stands for itself: it equals only the same spelling.
    fn decoded(&self) -> Cow<'v, str> {
        let written = str_of(self.object, self.quoted.inner);
        if !self.quoted.escaped {
            return Cow::Borrowed(written);
        }
        let mut decoded = String::new();
        if unescape(written, &mut decoded) { Cow::Owned(decoded) } else { Cow::Borrowed(written) }
    }
}

/// Walks the object that stands in `value` at `span`.
pub(super) fn members(value: &[u8], span: Span) -> Members<'_> {
    let object = str::from_utf8(span.of(value)).unwrap_or_default();
    let mut scanner = Scanner::new(object);
    let open = scanner.enter().is_ok();
    Members { scanner, offset: span.start, first: true, open }
}

/// See [`members`].
pub(super) struct Members<'v> {
    scanner: Scanner<'v>,
    offset: usize,
    first: bool,
    open: bool,
}

impl<'v> Iterator for Members<'v> {
    type Item = Member<'v>;

    fn next(&mut self) -> Option<Member<'v>> {
        if !self.open {
            return None;
        }
        let member = self.step();
        self.open = member.is_some();
        member
    }
}

impl<'v> Members<'v> {
    fn step(&mut self) -> Option<Member<'v>> {
        let first = std::mem::replace(&mut self.first, false);
        let quoted = self.scanner.next_name(first).ok()??;
        self.scanner.skip().ok()?;
        let start = self.offset + quoted.token().start;
        let span = Span { start, end: self.offset + self.scanner.at() };
        Some(Member { object: self.scanner.value(), quoted, span })
    }
}
