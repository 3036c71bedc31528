//! A checking scanner over the bytes of one JSON text, which tells where its parts stand.
//!
//! Shared by the formats that are JSON and hot ([`super::app_log`], [`super::maxwell`],
//! [`super::debezium`]): each walks its own objects with it; [`text`] holds what becomes of
//! strings.
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
pub(crate) mod text;

use engine::batch::Slice;

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

impl From<ShortSpan> for Span {
    #[inline]
    fn from(short: ShortSpan) -> Self {
        Self { start: short.start as usize, end: short.end as usize }
    }
}

/// A JSON string: what stands between its quotes, and whether an escape is among it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted {
    pub(crate) inner: Span,
    pub(crate) escaped: bool,
}

impl Quoted {
    /// The string with its quotes.
    pub(crate) const fn token(self) -> Span {
        Span { start: self.inner.start - 1, end: self.inner.end + 1 }
    }
}

/// A JSON number: where it stands, and whether it is written without fraction and exponent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) span: Span,
    pub(crate) whole: bool,
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
            self.skip_spaces();
        }
    }

    #[cold]
    fn skip_spaces(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
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
    #[inline]
    pub(crate) fn skip(&mut self) -> Result<(), Malformed> {
        // Most values are strings.
        if self.peek()? == b'"' {
            return self.string().map(|_quoted| ());
        }
        self.skip_other()
    }

    /// Likewise, where it is no string.
    fn skip_other(&mut self) -> Result<(), Malformed> {
        match self.peek()? {
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
    #[inline]
    pub(crate) fn skip_spanned(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.skip()?;
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

    /// Steps over the number that is next.
    pub(crate) fn number(&mut self) -> Result<Number, Malformed> {
        let start = self.at;
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.digits()?,
        }
        let mut whole = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            whole = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            whole = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number { span: Span { start, end: self.at }, whole })
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.at += 1;
        }
        if self.at == start { Err(Malformed) } else { Ok(()) }
    }

    /// Steps over the string whose opening quote is next.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Quoted, Malformed> {
        // Most strings are short: one look finds their end.
        let start = self.at + 1;
        if let Some(chunk) = self.bytes.get(start..).and_then(<[u8]>::first_chunk::<16>) {
            let index = first_special(*chunk);
            if chunk.get(index) == Some(&b'"') {
                let inner = Span { start, end: start + index };
                self.at = inner.end + 1;
                return Ok(Quoted { inner, escaped: false });
            }
        }
        self.long_string()
    }

    /// Likewise, whatever its length and whatever is in it.
    fn long_string(&mut self) -> Result<Quoted, Malformed> {
        let start = self.at + 1;
        let mut escaped = false;
        self.at = start;
        loop {
            match self.special()? {
                b'"' => {
                    let inner = Span { start, end: self.at };
                    self.at += 1;
                    return Ok(Quoted { inner, escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Goes to the next byte that means something inside a string, which is returned: the quote,
    /// the backslash, or a control character, which may not stand there.
    #[inline]
    fn special(&mut self) -> Result<u8, Malformed> {
        while let Some(chunk) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk::<16>) {
            let index = first_special(*chunk);
            self.at += index;
            if let Some(byte) = chunk.get(index) {
                return Ok(*byte);
            }
        }
        loop {
            match self.peek()? {
                byte @ (b'"' | b'\\' | 0..=0x1f) => return Ok(byte),
                _ => self.at += 1,
            }
        }
    }

    /// Steps over the escape whose backslash is next. Surrogates need no partner here.
    #[cold]
    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        let length = match self.peek()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' => {
                let digits = self.bytes.get(self.at + 1..self.at + 5).ok_or(Malformed)?;
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return Err(Malformed);
                }
                5
            }
            _ => return Err(Malformed),
        };
        self.at += length;
        Ok(())
    }
}

/// Index of the first quote, backslash or control character among sixteen bytes; 16 if there is none.
///
/// Without a branch, and in a form that the compiler makes vector instructions of: each byte becomes
/// one that says whether it is special, and the first of these is the lowest that is not zero.
#[inline(always)]
fn first_special(chunk: [u8; 16]) -> usize {
    let is_special = |byte| (byte == b'"') | (byte == b'\\') | (byte < 0x20);
    let mut marks = [0; 16];
    for (mark, byte) in marks.iter_mut().zip(chunk) {
        *mark = if is_special(byte) { u8::MAX } else { 0 };
    }
    let zeros = u128::from_le_bytes(marks).trailing_zeros();
    usize::try_from(zeros / 8).expect("16 at most")
}

#[cfg(test)]
mod tests;
