//! Numbers: stepping over them, and reading those that are integers.
//!
//! Nearly all numbers of a stream are counts, identifiers and times: integers of a few digits with the
//! next member right behind. These are read in the pass that checks them; whatever is written in any
//! other way is checked first and then read by the standard library.

use super::text::str_of;
use super::{Malformed, Scanner, Span};

/// A JSON number: where it stands, and whether it is written without fraction and exponent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number {
    pub(crate) span: Span,
    pub(crate) whole: bool,
}

/// Most digits that are below the limit of `i64` whatever they are.
const SMALL_DIGITS_MAX: usize = 18;

impl Scanner<'_> {
    /// Whether the value before `index` ends there for certain: with its object or array, or with a
    /// comma.
    #[inline]
    pub(super) fn ends_at(&self, index: usize) -> bool {
        matches!(self.bytes.get(index), Some(b',' | b'}' | b']'))
    }

    /// A number written as an integer and within `i64`, with its token. Anything else is stepped over.
    #[inline]
    pub(crate) fn integer(&mut self) -> Result<Option<(i64, Span)>, Malformed> {
        if let Some((integer, token)) = self.small_integer() {
            self.at = token.end;
            return Ok(Some((integer, token)));
        }
        self.any_integer()
    }

    /// Likewise, if it is written in up to [`SMALL_DIGITS_MAX`] digits and nothing else, not even a
    /// space behind; nothing is stepped over.
    #[inline]
    fn small_integer(&self) -> Option<(i64, Span)> {
        let rest = self.bytes.get(self.at..)?;
        let (mut integer, mut length) = (0_i64, 0);
        while let Some(byte @ b'0'..=b'9') = rest.get(length) {
            // It may wrap where there are too many digits.
            integer = integer.wrapping_mul(10).wrapping_add(i64::from(byte - b'0'));
            length += 1;
        }
        // A zero is the whole number or no first digit; without a digit there is no number.
        let plain = matches!(rest.first(), Some(b'1'..=b'9')) && length <= SMALL_DIGITS_MAX;
        let token = Span { start: self.at, end: self.at + length };
        (plain && self.ends_at(token.end)).then_some((integer, token))
    }

    fn any_integer(&mut self) -> Result<Option<(i64, Span)>, Malformed> {
        if !matches!(self.peek()?, b'-' | b'0'..=b'9') {
            self.skip_any()?;
            return Ok(None);
        }
        let number = self.number()?;
        let digits = str_of(self.value(), number.span);
        if !number.whole || digits == "-0" {
            return Ok(None);
        }
        Ok(digits.parse().ok().map(|integer| (integer, number.span)))
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
}
