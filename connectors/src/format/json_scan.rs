//! A checking scanner over the bytes of one JSON text, which tells where its parts stand.
//!
//! Shared by the formats that are JSON and hot ([`super::app_log`], [`super::maxwell`],
//! [`super::debezium`]): each walks its own objects with it. Objects and arrays are here, [`quoted`]
//! and [`number`] hold the rest of the grammar, [`text`] what becomes of strings.
//!
//! It builds nothing: the caller steps through the objects and arrays it cares for and skips the
//! rest. Everything is checked on the way, so a text that was stepped through to its end is JSON by
//! RFC 8259, no deeper than [`DEPTH_MAX`]. The one thing it does not check is UTF-8: it takes a
//! `&str`. A property test below holds it against serde_json.
//!
//! Misuse: [`Scanner::string`], [`Scanner::enter`] and [`Scanner::number`] expect their first byte
//! to have been looked at. Every step must be finished before the next, or positions are nonsense.

pub(crate) mod guess;
pub(crate) mod member;
mod number;
mod quoted;
pub(crate) mod text;

use engine::batch::Slice;

pub(crate) use quoted::Quoted;

/// How deep objects and arrays may be nested; the record itself is the first level (warehouse 2.1).
pub const DEPTH_MAX: usize = 64;

/// The text is not JSON, or is nested too deeply. There is one answer to both.
#[derive(Debug)]
pub(crate) struct Malformed;

/// A range of bytes: from `start`, inclusive, to `end`, exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Index of the first byte.
    pub start: usize,
    /// Index after the last byte.
    pub end: usize,
}

impl Span {
    /// The range in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.end - self.start
    }

    /// Whether there is no byte in the range.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes of `value` in this range. Panics when the range is not one of `value`.
    #[must_use]
    pub fn of(self, value: &[u8]) -> &[u8] {
        &value[self.start..self.end]
    }

    /// The range as a slice of a raw row: its value begins with the row's first byte.
    pub(crate) fn in_row(self) -> Slice {
        let narrow = |length| u32::try_from(length).expect("a record has at most 16 MiB");
        Slice { start: narrow(self.start), length: narrow(self.len()) }
    }

    /// Whether `other` lies within this range.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.start <= other.start && other.end <= self.end
    }
}

/// A [`Span`] of a record in half the bytes: what is found in a record is handed on many times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortSpan {
    start: u32,
    end: u32,
}

impl From<Span> for ShortSpan {
    #[inline]
    fn from(span: Span) -> Self {
        let narrow = |index| u32::try_from(index).expect("a record has at most 16 MiB");
        Self { start: narrow(span.start), end: narrow(span.end) }
    }
}

impl ShortSpan {
    /// The range as a slice of a raw row: its value begins with the row's first byte.
    #[inline]
    pub(crate) const fn in_row(self) -> Slice {
        Slice { start: self.start, length: self.end - self.start }
    }
}

impl From<ShortSpan> for Span {
    #[inline]
    fn from(short: ShortSpan) -> Self {
        Self { start: short.start as usize, end: short.end as usize }
    }
}

/// See the module.
pub(crate) struct Scanner<'v> {
    value: &'v str,
    bytes: &'v [u8],
    at: usize,
    depth: usize,
}

impl<'v> Scanner<'v> {
    pub(crate) const fn new(value: &'v str) -> Self {
        Self { value, bytes: value.as_bytes(), at: 0, depth: 0 }
    }

    pub(crate) const fn value(&self) -> &'v str {
        self.value
    }

    /// Index of the next byte.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The next byte, which stays the next.
    #[inline]
    pub(crate) fn peek(&self) -> Result<u8, Malformed> {
        self.bytes.get(self.at).copied().ok_or(Malformed)
    }

    #[inline]
    pub(crate) fn skip_space(&mut self) {
        if self.bytes.get(self.at).is_some_and(|byte| *byte <= b' ') {
            self.at = behind_spaces(self.bytes, self.at);
        }
    }

    /// Steps over the `{` or `[` that is next.
    #[inline]
    pub(crate) fn enter(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Malformed) } else { Ok(()) }
    }

    #[inline]
    fn leave(&mut self) {
        self.at += 1;
        self.depth -= 1;
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.peek()? != byte {
            return Err(Malformed);
        }
        self.at += 1;
        Ok(())
    }

    /// The name of the next member of the object entered, its value being next; `None` after the
    /// last member, having left the object. `first` is said at the first call only.
    #[inline]
    pub(crate) fn next_name(&mut self, first: bool) -> Result<Option<Quoted>, Malformed> {
        if !self.next_member(first)? {
            return Ok(None);
        }
        self.name().map(Some)
    }

    /// Whether there is another member in the object entered, whose name then is next; after the last
    /// one the object is left.
    #[inline]
    fn next_member(&mut self, first: bool) -> Result<bool, Malformed> {
        self.skip_space();
        match self.peek()? {
            b'}' => {
                self.leave();
                return Ok(false);
            }
            b',' if !first => {
                self.at += 1;
                self.skip_space();
            }
            _ if first => {}
            _ => return Err(Malformed),
        }
        Ok(true)
    }

    /// The name that must be next, and its colon.
    #[inline]
    fn name(&mut self) -> Result<Quoted, Malformed> {
        if self.peek()? != b'"' {
            return Err(Malformed);
        }
        let name = self.string()?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Ok(name)
    }

    /// Whether there is another element in the array entered, which then is next; after the last
    /// one the array is left. `first` is said at the first call only.
    #[inline]
    pub(crate) fn next_item(&mut self, first: bool) -> Result<bool, Malformed> {
        self.skip_space();
        match self.peek()? {
            b']' => {
                self.leave();
                Ok(false)
            }
            b',' if !first => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            _ if first => Ok(true),
            _ => Err(Malformed),
        }
    }

    /// Nothing but white space may follow.
    pub(crate) fn finish(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        if self.at == self.bytes.len() { Ok(()) } else { Err(Malformed) }
    }

    /// Steps over the value that is next, whatever it is. Recursion is bounded by [`DEPTH_MAX`].
    #[inline(always)]
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        // Most values are short strings, and most others have one digit.
        if self.short_string().is_some() {
            return Ok(());
        }
        if self.peek()?.is_ascii_digit() && self.ends_at(self.at + 1) {
            self.at += 1;
            return Ok(());
        }
        self.skip_any()
    }

    /// Likewise, out of line.
    fn skip_any(&mut self) -> Result<(), Malformed> {
        match self.peek()? {
            b'"' => self.string().map(|_quoted| ()),
            b'-' | b'0'..=b'9' => self.number().map(|_number| ()),
            b'{' => self.skip_object(),
            b'[' => self.skip_array(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => Err(Malformed),
        }
    }

    /// As [`Scanner::skip`], telling where the value stood.
    pub(crate) fn skip_spanned(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.skip_any()?;
        Ok(Span { start, end: self.at })
    }

    fn skip_object(&mut self) -> Result<(), Malformed> {
        self.enter()?;
        let mut first = true;
        while self.next_name(first)?.is_some() {
            first = false;
            self.skip()?;
        }
        Ok(())
    }

    fn skip_array(&mut self) -> Result<(), Malformed> {
        self.enter()?;
        let mut first = true;
        while self.next_item(first)? {
            first = false;
            self.skip()?;
        }
        Ok(())
    }

    fn word(&mut self, word: &[u8]) -> Result<(), Malformed> {
        if !self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(())
    }
}

/// Index of the first byte from `at` on that is no white space.
#[cold]
fn behind_spaces(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.iter().skip(at);
    at + rest.take_while(|byte| matches!(byte, b' ' | b'\n' | b'\r' | b'\t')).count()
}

#[cfg(test)]
mod tests;
