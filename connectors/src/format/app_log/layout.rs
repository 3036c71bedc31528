//! The layout of a record: the ranges that the split needs, in a few bytes beside the value.
//!
//! Constraints: written by [`super::AppLog::write_layout`] and read back in the same run, so there
//! is no version and no check; small, since it travels with every record through the exchange; read
//! without allocation; ranges ascend inside each list, so that their distances are small numbers.
//!
//! ```text
//! byte 0      bits 0-1  main record: 0 none, 1 start, 2 page
//!             bit 2     there is an err
//!             bit 3     is_new is "1"
//!             bit 4     there are displays or actions
//!             bit 5     there is a start and a page
//!             bit 6     something bad was dropped
//! span        ts, the number
//! span        err, its value                        if bit 2
//! span        is_new, its value with quotes         if bit 3
//! span span   common, page, their values            if bit 4
//! list        cuts of the main record
//! list        cuts of the error record
//! list        displays                              if bit 4
//! list        actions                               if bit 4
//! varint      how many bad members and elements     if bit 6
//!
//! varint      7 bits per byte, lowest first, bit 7 = another byte follows
//! span        varint start, varint length
//! list        varint count, then per entry: varint distance from the end of the entry before
//!             (from 0 for the first), varint length; lengths of displays and actions are shifted
//!             left by two, bit 0 = has a member ts, bit 1 = has a member common or page
//! ```

use super::record::{AppLog, IsNew, Main};
use crate::format::json_scan::Span;

const MAIN: u8 = 0b11;
const HAS_ERR: u8 = 1 << 2;
const IS_NEW_ONE: u8 = 1 << 3;
const HAS_ELEMENTS: u8 = 1 << 4;
const START_AND_PAGE: u8 = 1 << 5;
const HAS_BAD: u8 = 1 << 6;

/// An object in `displays` or `actions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Element {
    /// Where the object stands in the value, braces included.
    pub span: Span,
    /// Whether it has a member `ts`.
    pub has_ts: bool,
    /// Whether it has a member `common` or `page`, names which its output adds.
    pub has_parts: bool,
}

/// What [`super::Split`] needs to know of a record, read back from its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'l> {
    pub(super) main: Main,
    pub(super) ts: Span,
    pub(super) err: Option<Span>,
    pub(super) is_new_one: Option<Span>,
    pub(super) common: Span,
    pub(super) page: Span,
    pub(super) main_cuts: Cuts<'l>,
    pub(super) error_cuts: Cuts<'l>,
    displays: Elements<'l>,
    actions: Elements<'l>,
    start_and_page: bool,
    bad_members: usize,
}

impl<'l> Layout<'l> {
    /// Reads what [`super::AppLog::write_layout`] appended, exactly these bytes. Other bytes give a
    /// nonsensical layout, which a debug build notices if they are too few or too many.
    #[must_use]
    pub fn read(bytes: &'l [u8]) -> Self {
        let (head, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let mut cursor = Cursor { rest };
        let span_if = |cursor: &mut Cursor<'l>, bit| (head & bit != 0).then(|| cursor.span());
        let ts = cursor.span();
        let err = span_if(&mut cursor, HAS_ERR);
        let is_new_one = span_if(&mut cursor, IS_NEW_ONE);
        let common = span_if(&mut cursor, HAS_ELEMENTS).unwrap_or_default();
        let page = span_if(&mut cursor, HAS_ELEMENTS).unwrap_or_default();
        let main_cuts = Cuts(cursor.list());
        let error_cuts = Cuts(cursor.list());
        let mut elements =
            || if head & HAS_ELEMENTS == 0 { List::default() } else { cursor.list() };
        let (displays, actions) = (Elements(elements()), Elements(elements()));
        let bad_members = if head & HAS_BAD == 0 { 0 } else { cursor.varint() };
        debug_assert!(cursor.rest.is_empty(), "a layout ends with its last list or count");
        Self {
            main: main_of(head & MAIN),
            ts,
            err,
            is_new_one,
            common,
            page,
            main_cuts,
            error_cuts,
            displays,
            actions,
            start_and_page: head & START_AND_PAGE != 0,
            bad_members,
        }
    }

    /// Which main record there is.
    #[must_use]
    pub const fn main(&self) -> Main {
        self.main
    }

    /// Whether there is an error record.
    #[must_use]
    pub const fn has_err(&self) -> bool {
        self.err.is_some()
    }

    /// See [`super::AppLog::start_and_page`].
    #[must_use]
    pub const fn start_and_page(&self) -> bool {
        self.start_and_page
    }

    /// See [`super::AppLog::bad_members`].
    #[must_use]
    pub const fn bad_members(&self) -> usize {
        self.bad_members
    }

    /// The elements that give display records, in order.
    #[must_use]
    pub const fn displays(&self) -> Elements<'l> {
        self.displays
    }

    /// The elements that give action records, in order.
    #[must_use]
    pub const fn actions(&self) -> Elements<'l> {
        self.actions
    }
}

/// The elements of a list that are objects, decoded one by one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Elements<'l>(List<'l>);

impl Iterator for Elements<'_> {
    type Item = Element;

    fn next(&mut self) -> Option<Element> {
        let (start, length) = self.0.next()?;
        let span = self.0.spanned(start, length >> 2);
        Some(Element { span, has_ts: length & 1 != 0, has_parts: length & 2 != 0 })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.count, Some(self.0.count))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The ranges that an output leaves out, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cuts<'l>(List<'l>);

impl Cuts<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.count == 0
    }
}

impl Iterator for Cuts<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let (start, length) = self.0.next()?;
        Some(self.0.spanned(start, length))
    }
}

/// A list of ranges not decoded yet.
#[derive(Clone, Copy, Debug, Default)]
struct List<'l> {
    count: usize,
    cursor: Cursor<'l>,
    /// End of the entry before.
    end: usize,
}

impl List<'_> {
    /// Start of the next entry, and its length as written.
    fn next(&mut self) -> Option<(usize, usize)> {
        self.count = self.count.checked_sub(1)?;
        let start = self.end + self.cursor.varint();
        Some((start, self.cursor.varint()))
    }

    fn spanned(&mut self, start: usize, length: usize) -> Span {
        self.end = start + length;
        Span { start, end: self.end }
    }
}

/// The bytes not read yet.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor<'l> {
    rest: &'l [u8],
}

impl<'l> Cursor<'l> {
    #[inline]
    fn varint(&mut self) -> usize {
        let mut value = 0;
        let mut shift = 0;
        while let Some((byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return value;
            }
            shift += 7;
        }
        debug_assert!(false, "a layout is cut short");
        value
    }

    fn span(&mut self) -> Span {
        let start = self.varint();
        Span { start, end: start + self.varint() }
    }

    /// Steps over a list, to be decoded later.
    fn list(&mut self) -> List<'l> {
        let count = self.varint();
        let list = List { count, cursor: *self, end: 0 };
        for _entry in 0..count {
            self.varint();
            self.varint();
        }
        list
    }
}

/// See [`super::AppLog::write_layout`].
pub(super) fn write(log: &AppLog<'_>, out: &mut Vec<u8>) {
    let (displays, actions) = (log.displays(), log.actions());
    let one = if log.is_new() == IsNew::One { log.is_new_token() } else { None };
    let page = log.page_span().filter(|_page| !displays.is_empty() || !actions.is_empty());
    let mut head = main_bits(log.main());
    head |= if log.has_err() { HAS_ERR } else { 0 };
    head |= if one.is_some() { IS_NEW_ONE } else { 0 };
    head |= if page.is_some() { HAS_ELEMENTS } else { 0 };
    head |= if log.start_and_page() { START_AND_PAGE } else { 0 };
    head |= if log.bad_members() > 0 { HAS_BAD } else { 0 };
    out.push(head);
    write_span(log.ts.1, out);
    let common = page.map(|_page| log.common_span());
    for span in [log.err_span(), one, common, page].into_iter().flatten() {
        write_span(span, out);
    }
    write_cuts(&log.reading.main_cuts, out);
    write_cuts(&log.reading.error_cuts, out);
    if page.is_some() {
        write_elements(displays, out);
        write_elements(actions, out);
    }
    if log.bad_members() > 0 {
        write_varint(log.bad_members(), out);
    }
}

const fn main_bits(main: Main) -> u8 {
    match main {
        Main::None => 0,
        Main::Start => 1,
        Main::Page => 2,
    }
}

fn main_of(bits: u8) -> Main {
    match bits {
        1 => Main::Start,
        2 => Main::Page,
        _ => Main::None,
    }
}

#[inline]
fn write_varint(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn write_span(span: Span, out: &mut Vec<u8>) {
    write_varint(span.start, out);
    write_varint(span.len(), out);
}

fn write_cuts(cuts: &[Span], out: &mut Vec<u8>) {
    write_varint(cuts.len(), out);
    let mut end = 0;
    for cut in cuts {
        write_varint(cut.start - end, out);
        write_varint(cut.len(), out);
        end = cut.end;
    }
}

fn write_elements(elements: &[Element], out: &mut Vec<u8>) {
    write_varint(elements.len(), out);
    let mut end = 0;
    for element in elements {
        let marks = usize::from(element.has_ts) | usize::from(element.has_parts) << 1;
        write_varint(element.span.start - end, out);
        write_varint(element.span.len() << 2 | marks, out);
        end = element.span.end;
    }
}

#[cfg(test)]
mod tests {
    use super::super::AppLogParser;
    use super::*;

    fn written(value: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut parser = AppLogParser::default();
        parser.parse(value.as_bytes()).expect("a clean record").write_layout(&mut out);
        out
    }

    #[test]
    fn the_bytes_are_these() {
        for (value, bytes) in [
            // No main record, ts at 32.
            (r#"{"common":{"mid":"m"},"err":7,"ts":5}"#, &[0b0_0100, 35, 1, 28, 1, 0, 0][..]),
            // A plain page record, is_new "1" at 30.
            (
                r#"{"common":{"mid":"m","is_new":"1"},"page":{},"ts":1234}"#,
                &[0b0_1010, 50, 4, 30, 3, 0, 0],
            ),
            // A start record less its err.
            (
                r#"{"err":7,"common":{"mid":"m"},"start":{},"ts":5}"#,
                &[0b0_0101, 46, 1, 7, 1, 1, 1, 8, 0],
            ),
            // A page record less displays and actions.
            (
                r#"{"common":{"mid":"m"},"page":{},"ts":5,"displays":[{"a":1},{"ts":1}],"actions":[{"ts":1,"page":2}]}"#,
                &[
                    0b1_0010,
                    37,
                    1,
                    10,
                    11,
                    29,
                    2,
                    1,
                    38,
                    60,
                    0, // cuts: one run, comma first
                    2,
                    51,
                    7 << 2,
                    1,
                    8 << 2 | 1, // displays
                    1,
                    80,
                    17 << 2 | 3,
                ],
            ),
            // A start record with a page, and a page record with a bad displays.
            (r#"{"common":{"mid":"m"},"start":{},"page":{},"ts":5}"#, &[0b10_0001, 48, 1, 0, 0]),
            (
                r#"{"common":{"mid":"m"},"displays":7,"page":{},"ts":5}"#,
                &[0b100_0010, 50, 1, 1, 22, 13, 0, 1],
            ),
        ] {
            assert_eq!(written(value), bytes, "{value}");
        }
    }

    #[test]
    fn varints_hold_any_size() {
        for value in [0, 1, 127, 128, 300, 16_383, 16_384, 1 << 31, usize::MAX] {
            let mut out = Vec::new();
            write_varint(value, &mut out);
            let mut cursor = Cursor { rest: &out };
            assert_eq!((cursor.varint(), cursor.rest), (value, &[][..]));
        }
        let mut out = Vec::new();
        write_varint(300, &mut out);
        assert_eq!(out, [0xac, 0x02]);
    }
}
