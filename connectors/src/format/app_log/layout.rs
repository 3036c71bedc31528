//! The layout of a record: the ranges that the split needs, in a few bytes beside the value.
//!
//! Constraints: written by [`super::AppLog::write_layout`] and read back in the same run, so there
//! is no version and no check; small, since it travels with every record through the exchange; read
//! without allocation and, but for the lists, without a loop.
//!
//! ```text
//! byte 0      bits 0-1  main record: 0 none, 1 start, 2 page
//!             bit 2     there is an err
//!             bit 3     is_new is "1"
//!             bit 4     there are displays or actions
//!             bit 5     there is a start and a page
//!             bit 6     something bad was dropped
//!             bit 7     pairs are wide
//! span        ts, the number
//! span        err, its value                        if bit 2
//! span        is_new, its value with quotes         if bit 3
//! span span   common, page, their values            if bit 4
//! pair        how many cuts: of the main record, of the error record
//! pair        how many displays, actions            if bit 4
//! pair        how many bad members and elements, 0  if bit 6
//! spans       cuts of the main record, cuts of the error record
//! elements    displays, actions
//!
//! pair        two numbers, see super::pairs
//! span        pair: start, length
//! element     pair: start, length shifted left by two; bit 0 = has a member ts, bit 1 = has a
//!             member common or page
//! ```

use super::pairs::{PairWriter, Pairs, Width};
use super::record::{AppLog, IsNew, Main};
use crate::format::json_scan::Span;

const MAIN: u8 = 0b11;
const HAS_ERR: u8 = 1 << 2;
const IS_NEW_ONE: u8 = 1 << 3;
const HAS_ELEMENTS: u8 = 1 << 4;
const START_AND_PAGE: u8 = 1 << 5;
const HAS_BAD: u8 = 1 << 6;
const WIDE: u8 = 1 << 7;

/// Bits below the length of an element.
const MARKS: u32 = 2;
const TS: usize = 1;
const PARTS: usize = 1 << 1;

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
    #[inline]
    pub fn read(bytes: &'l [u8]) -> Self {
        let (head, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let has = |bit| head & bit != 0;
        let mut pairs = Pairs::new(rest, if has(WIDE) { Width::Wide } else { Width::Narrow });
        let mut pair_if = |there| if there { pairs.next() } else { None };
        let ts = span(pair_if(true).unwrap_or_default());
        let err = pair_if(has(HAS_ERR)).map(span);
        let is_new_one = pair_if(has(IS_NEW_ONE)).map(span);
        let common = span(pair_if(has(HAS_ELEMENTS)).unwrap_or_default());
        let page = span(pair_if(has(HAS_ELEMENTS)).unwrap_or_default());
        let (main_cuts, error_cuts) = pair_if(true).unwrap_or_default();
        let (displays, actions) = pair_if(has(HAS_ELEMENTS)).unwrap_or_default();
        let (bad_members, _zero) = pair_if(has(HAS_BAD)).unwrap_or_default();
        let (main_cuts, error_cuts) = (Cuts(pairs.list(main_cuts)), Cuts(pairs.list(error_cuts)));
        let (displays, actions) = (Elements(pairs.list(displays)), Elements(pairs.list(actions)));
        debug_assert!(pairs.is_empty(), "a layout ends with its last list");
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
            start_and_page: has(START_AND_PAGE),
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

    /// Whether there are neither display nor action records.
    pub(super) const fn is_without_elements(&self) -> bool {
        self.displays.0.is_empty() && self.actions.0.is_empty()
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
pub struct Elements<'l>(Pairs<'l>);

impl Iterator for Elements<'_> {
    type Item = Element;

    #[inline]
    fn next(&mut self) -> Option<Element> {
        let (start, marked) = self.0.next()?;
        let span = span((start, marked >> MARKS));
        Some(Element { span, has_ts: marked & TS != 0, has_parts: marked & PARTS != 0 })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The ranges that an output leaves out, in order.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cuts<'l>(Pairs<'l>);

impl Cuts<'_> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Iterator for Cuts<'_> {
    type Item = Span;

    #[inline]
    fn next(&mut self) -> Option<Span> {
        self.0.next().map(span)
    }
}

#[inline]
const fn span((start, length): (usize, usize)) -> Span {
    Span { start, end: start + length }
}

/// See [`super::AppLog::write_layout`].
pub(super) fn write(log: &AppLog<'_>, out: &mut Vec<u8>) {
    let (displays, actions) = (log.displays(), log.actions());
    let (main_cuts, error_cuts) = (&log.reading.main_cuts, &log.reading.error_cuts);
    let one = if log.is_new() == IsNew::One { log.is_new_token() } else { None };
    let page = log.page_span().filter(|_page| !displays.is_empty() || !actions.is_empty());
    let common = page.map(|_page| log.common_span());
    let (bad, width) = (log.bad_members(), Width::of_record(log.value().len()));
    out.push(head(log, one, page, width));
    let mut pairs = PairWriter::new(out, width);
    let mut span_if = |span: Option<Span>| {
        if let Some(span) = span {
            pairs.push(span.start, span.len());
        }
    };
    span_if(Some(log.ts.1));
    span_if(log.err_span());
    span_if(one);
    span_if(common);
    span_if(page);
    pairs.push(main_cuts.len(), error_cuts.len());
    if page.is_some() {
        pairs.push(displays.len(), actions.len());
    }
    if bad > 0 {
        pairs.push(bad, 0);
    }
    main_cuts.iter().chain(error_cuts).for_each(|cut| pairs.push(cut.start, cut.len()));
    let elements = displays.iter().chain(actions);
    elements.for_each(|element| pairs.push(element.span.start, marked(element)));
}

fn head(log: &AppLog<'_>, one: Option<Span>, page: Option<Span>, width: Width) -> u8 {
    let bits = [
        (log.has_err(), HAS_ERR),
        (one.is_some(), IS_NEW_ONE),
        (page.is_some(), HAS_ELEMENTS),
        (log.start_and_page(), START_AND_PAGE),
        (log.bad_members() > 0, HAS_BAD),
        (width == Width::Wide, WIDE),
    ];
    bits.iter().fold(main_bits(log.main()), |head, (is, bit)| if *is { head | bit } else { head })
}

/// The length of an element with its marks.
fn marked(element: &Element) -> usize {
    let ts = if element.has_ts { TS } else { 0 };
    let parts = if element.has_parts { PARTS } else { 0 };
    element.span.len() << MARKS | ts | parts
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
    fn the_pairs_are_these() {
        for (value, head, pairs) in [
            // No main record, ts at 35.
            (r#"{"common":{"mid":"m"},"err":7,"ts":5}"#, 0b0_0100, &[(35, 1), (28, 1), (0, 0)][..]),
            // A plain page record, is_new "1" at 30.
            (
                r#"{"common":{"mid":"m","is_new":"1"},"page":{},"ts":1234}"#,
                0b0_1010,
                &[(50, 4), (30, 3), (0, 0)],
            ),
            // A start record less its err.
            (
                r#"{"err":7,"common":{"mid":"m"},"start":{},"ts":5}"#,
                0b0_0101,
                &[(46, 1), (7, 1), (1, 0), (1, 8)],
            ),
            // A page record less displays and actions: one run, comma first.
            (
                r#"{"common":{"mid":"m"},"page":{},"ts":5,"displays":[{"a":1},{"ts":1}],"actions":[{"ts":1,"page":2}]}"#,
                0b1_0010,
                &[
                    (37, 1),
                    (10, 11),
                    (29, 2),
                    (1, 0),
                    (2, 1),
                    (38, 60),
                    (51, 7 << 2),
                    (59, 8 << 2 | 1),
                    (80, 17 << 2 | 3),
                ],
            ),
            // A start record with a page, and a page record with a bad displays.
            (
                r#"{"common":{"mid":"m"},"start":{},"page":{},"ts":5}"#,
                0b10_0001,
                &[(48, 1), (0, 0)],
            ),
            (
                r#"{"common":{"mid":"m"},"displays":7,"page":{},"ts":5}"#,
                0b100_0010,
                &[(50, 1), (1, 0), (1, 0), (22, 13)],
            ),
        ] {
            let layout = written(value);
            assert_eq!(layout[0], head, "{value}");
            assert_eq!(
                Pairs::new(&layout[1..], Width::Narrow).collect::<Vec<_>>(),
                pairs,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_written_is_read_of_short_and_of_long_records() {
        let record = r#"{"common":{"mid":"m","is_new":"1"},"displays":[{"a":1},7,{"ts":1}],"err":3,"actions":[{"page":2}],"page":{},"ts":5}"#;
        for spaces in [0, 16_000, 17_000, 70_000] {
            let value = record.replacen('{', &format!("{{{}", " ".repeat(spaces)), 1);
            let bytes = written(&value);
            assert_eq!(bytes[0] & WIDE != 0, spaces > 16_000);
            let layout = Layout::read(&bytes);
            let mut parser = AppLogParser::default();
            let log = parser.parse(value.as_bytes()).expect("a clean record");
            assert_eq!((layout.ts, layout.err), (log.ts.1, log.err_span()));
            assert_eq!((layout.common, Some(layout.page)), (log.common_span(), log.page_span()));
            assert_eq!(layout.is_new_one, log.is_new_token());
            assert_eq!(layout.main_cuts.collect::<Vec<_>>(), log.reading.main_cuts);
            assert_eq!(layout.error_cuts.collect::<Vec<_>>(), log.reading.error_cuts);
            assert_eq!(layout.displays().collect::<Vec<_>>(), log.displays());
            assert_eq!(layout.actions().collect::<Vec<_>>(), log.actions());
            assert_eq!((layout.bad_members(), layout.main()), (1, Main::Page));
        }
    }
}
