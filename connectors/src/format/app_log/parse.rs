//! Reading one value: a single walk over its bytes, then the reasons in their order.
//!
//! Nothing is judged during the walk but the grammar: a member of the wrong type ends nothing by
//! itself, and an equal name further on replaces what was found before. So the order of members
//! never shows in the result. Nothing is allocated once the parser is warm, except for names that
//! hold escapes.
//!
//! This is the hottest path of the product. `examples/app_log_rate.rs` measures it.

use super::cut::Places;
use super::name::Name;
use super::reading::{Common, List, Page, Reading};
use super::record::{AppLog, IsNew, Main};
use super::{Dirty, Element};
use crate::format::json_scan::guess::{Behind, Guesses, Member};
use crate::format::json_scan::text::{Part, Text};
use crate::format::json_scan::{Malformed, Scanner, Span};

/// Reads values, one at a time. Keep one per worker: it holds the buffers.
#[derive(Debug, Default)]
pub struct AppLogParser {
    reading: Reading,
    arena: String,
    names: Names,
}

/// The names of members, in the order in which they came last.
type Names = Guesses<Name>;

/// The kinds of objects whose members come in an order of their own.
const RECORD: u8 = 0;
const COMMON: u8 = 1;
const PAGE: u8 = 2;
const DISPLAY: u8 = 3;
const ACTION: u8 = 4;

impl AppLogParser {
    /// Reads one value.
    ///
    /// # Errors
    ///
    /// The first reason of warehouse 2.1 that makes the value a dead letter.
    pub fn parse<'a>(&'a mut self, value: &'a [u8]) -> Result<AppLog<'a>, Dirty> {
        // Sixteen bytes at a time or more: for records in ASCII the pass is hardly felt.
        let Ok(value) = simdutf8::basic::from_utf8(value) else { return Err(Dirty::NotObject) };
        self.reading.clear();
        self.arena.clear();
        let (scanner, arena) = (Scanner::new(value), &mut self.arena);
        let mut walk = Walk { scanner, arena, names: &mut self.names };
        if walk.record(&mut self.reading).is_err() {
            return Err(Dirty::NotObject);
        }
        judge(value, &self.arena, &mut self.reading)
    }
}

/// Tests the reasons in their order.
fn judge<'a>(
    value: &'a str,
    arena: &'a str,
    reading: &'a mut Reading,
) -> Result<AppLog<'a>, Dirty> {
    let mid = reading.common.as_ref().ok_or(Dirty::NoCommon)?.mid;
    let mid = mid.filter(|mid| !mid.is_empty()).ok_or(Dirty::NoMid)?;
    let ts = reading.ts.filter(|(ts, _token)| *ts >= 0).ok_or(Dirty::BadTs)?;
    let main = match (reading.start, &reading.page, reading.err) {
        (Some(_), _, _) => Main::Start,
        (None, Some(_), _) => Main::Page,
        (None, None, Some(_)) => Main::None,
        (None, None, None) => return Err(Dirty::NoMain),
    };
    reading.cut(main);
    let reading = &*reading;
    let common = reading.common.as_ref().ok_or(Dirty::NoCommon)?;
    Ok(AppLog { value, arena, reading, common, mid, ts, main })
}

/// The walk over one value.
struct Walk<'w> {
    scanner: Scanner<'w>,
    arena: &'w mut String,
    names: &'w mut Names,
}

impl Walk<'_> {
    #[inline(always)]
    fn next_member(&mut self, behind: Behind) -> Result<Option<Member<Name>>, Malformed> {
        self.scanner.next_named(behind, self.names, Name::of)
    }

    fn record(&mut self, reading: &mut Reading) -> Result<(), Malformed> {
        self.scanner.skip_space();
        if !self.scanner.at_object()? {
            return Err(Malformed);
        }
        self.scanner.enter()?;
        let mut places = Places::default();
        let mut behind = Behind::beginning(RECORD);
        while let Some(Member { name, start, behind: after }) = self.next_member(behind)? {
            behind = after;
            if let Some((_name, place)) = reading.removable.last_mut() {
                place.followed_by(start);
            }
            self.member(name, reading)?;
            let place = places.pass(start, self.scanner.at());
            if let Name::Err | Name::Displays | Name::Actions = name {
                reading.removable.push((name, place));
            }
        }
        self.scanner.finish()
    }

    /// The value of a member of the record.
    fn member(&mut self, name: Name, reading: &mut Reading) -> Result<(), Malformed> {
        match name {
            Name::Common => self.common(&mut reading.common)?,
            Name::Page => self.page(&mut reading.page)?,
            Name::Start => reading.start = self.object()?,
            Name::Err => reading.err = self.scanner.not_null()?,
            Name::Ts => reading.ts = self.scanner.integer()?,
            Name::Displays => self.list(DISPLAY, &mut reading.displays)?,
            Name::Actions => self.list(ACTION, &mut reading.actions)?,
            _ => self.scanner.skip()?,
        }
        Ok(())
    }

    fn common(&mut self, found: &mut Option<Common>) -> Result<(), Malformed> {
        *found = None;
        if !self.scanner.at_object()? {
            return self.scanner.skip();
        }
        // Filled where it stays: it is large.
        let common = found.insert(Common::default());
        common.span.start = self.scanner.at();
        self.scanner.enter()?;
        let mut behind = Behind::beginning(COMMON);
        while let Some(member) = self.next_member(behind)? {
            behind = member.behind;
            let start = self.scanner.at();
            let part = self.part()?;
            match member.name {
                Name::Mid => common.mid = self.text_or_number(part),
                Name::Vc => common.vc = part,
                Name::Ch => common.ch = part,
                Name::Ar => common.ar = part,
                Name::Uid => common.uid = self.text_or_number(part),
                Name::IsNew => self.is_new(Span { start, end: self.scanner.at() }, part, common),
                _ => {}
            }
        }
        common.span.end = self.scanner.at();
        Ok(())
    }

    fn page(&mut self, found: &mut Option<Page>) -> Result<(), Malformed> {
        *found = None;
        if !self.scanner.at_object()? {
            return self.scanner.skip();
        }
        // Filled where it stays: it is large.
        let page = found.insert(Page::default());
        page.span.start = self.scanner.at();
        self.scanner.enter()?;
        let mut behind = Behind::beginning(PAGE);
        while let Some(member) = self.next_member(behind)? {
            behind = member.behind;
            if member.name == Name::DuringTime {
                let found = self.scanner.integer()?;
                page.during_time = found.map(|(during_time, _token)| during_time);
                continue;
            }
            let part = self.part()?;
            match member.name {
                Name::PageId => page.page_id = part.and_then(Part::text),
                Name::LastPageId => page.last_page_id = self.part_or_number(part),
                Name::Item => page.item = part.and_then(Part::text),
                Name::ItemType => page.item_type = part.and_then(Part::text),
                _ => {}
            }
        }
        page.span.end = self.scanner.at();
        Ok(())
    }

    fn list(&mut self, kind: u8, list: &mut List) -> Result<(), Malformed> {
        list.clear();
        if self.scanner.peek()? != b'[' {
            list.not_array = true;
            return self.scanner.skip();
        }
        self.scanner.enter()?;
        let mut places = Places::default();
        let mut first = true;
        while self.scanner.next_item(first)? {
            first = false;
            let start = self.scanner.at();
            if let Some(place) = list.bad.last_mut() {
                place.followed_by(start);
            }
            let good = self.scanner.at_object()?;
            if good {
                list.elements.push(self.element(kind)?);
            } else {
                self.scanner.skip()?;
            }
            let place = places.pass(start, self.scanner.at());
            if !good {
                list.bad.push(place);
            }
        }
        Ok(())
    }

    /// An object in `displays` or `actions`; looks out for names that its output adds.
    fn element(&mut self, kind: u8) -> Result<Element, Malformed> {
        let start = self.scanner.at();
        self.scanner.enter()?;
        let (mut behind, mut names) = (Behind::beginning(kind), 0);
        while let Some(member) = self.next_member(behind)? {
            behind = member.behind;
            names |= member.name.bit();
            self.scanner.skip()?;
        }
        Ok(Element {
            span: Span { start, end: self.scanner.at() },
            has_ts: names & Name::Ts.bit() != 0,
            has_parts: names & (Name::Common.bit() | Name::Page.bit()) != 0,
        })
    }

    fn object(&mut self) -> Result<Option<Span>, Malformed> {
        let object = self.scanner.at_object()?;
        Ok(Some(self.scanner.skip_spanned()?).filter(|_span| object))
    }

    /// The value that is next, whatever it is; a null is none.
    #[inline(always)]
    fn part(&mut self) -> Result<Option<Part>, Malformed> {
        match self.scanner.short_string() {
            Some(inner) => Ok(Some(Part::Text(Text::verbatim(inner)))),
            None => self.any_part(),
        }
    }

    #[cold]
    fn any_part(&mut self) -> Result<Option<Part>, Malformed> {
        if self.scanner.peek()? != b'"' {
            return Ok(self.scanner.not_null()?.map(|span| Part::Json(span.into())));
        }
        let quoted = self.scanner.string()?;
        let text = Text::of(quoted, self.scanner.value(), self.arena);
        Ok(Some(text.map_or_else(|| Part::Json(quoted.token().into()), Part::Text)))
    }

    /// A text as it is, a number as its digits.
    #[inline]
    fn text_or_number(&self, part: Option<Part>) -> Option<Text> {
        match part? {
            Part::Text(text) => Some(text),
            Part::Json(span) => self.number(span.into()),
        }
    }

    /// A number as its digits, anything else as it is.
    #[inline]
    fn part_or_number(&self, part: Option<Part>) -> Option<Part> {
        self.text_or_number(part).map_or(part, |text| Some(Part::Text(text)))
    }

    #[cold]
    fn number(&self, span: Span) -> Option<Text> {
        let first = span.of(self.scanner.value().as_bytes()).first()?;
        matches!(first, b'-' | b'0'..=b'9').then(|| Text::verbatim(span))
    }

    fn is_new(&self, token: Span, part: Option<Part>, common: &mut Common) {
        let text = part.and_then(Part::text);
        let text = text.map(|text| text.read(self.scanner.value(), self.arena));
        common.is_new = match text {
            Some("0") => IsNew::Zero,
            Some("1") => IsNew::One,
            _ => IsNew::Other,
        };
        let other = common.is_new == IsNew::Other;
        common.is_new_token = (!other).then_some(token);
        common.is_new_other = part.filter(|_part| other);
    }
}

#[cfg(test)]
mod tests;
