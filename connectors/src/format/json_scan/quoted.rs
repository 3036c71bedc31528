//! Strings: stepping over them by words of eight bytes.
//!
//! Most strings of a stream are names, identifiers and versions: they end within two words, which are
//! looked at inline. Whatever is longer, holds an escape or stands at the very end of the text is read
//! out of line.
//!
//! Misuse: [`specials`] is exact up to its lowest mark only.

use super::{Malformed, Scanner, Span};

/// Bytes that are tested at once.
const WORD: usize = 8;

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

impl Scanner<'_> {
    /// Steps over the string whose opening quote is next.
    #[inline(always)]
    pub(crate) fn string(&mut self) -> Result<Quoted, Malformed> {
        let start = self.at + 1;
        let quoted = match self.near_end(start) {
            Some(end) => Quoted { inner: Span { start, end }, escaped: false },
            None => long_string(self.bytes, start)?,
        };
        self.at = quoted.inner.end + 1;
        Ok(quoted)
    }

    /// Steps over what is next if it is a string that ends within two words and holds nothing special:
    /// where it stands, without its quotes.
    #[inline(always)]
    pub(crate) fn short_string(&mut self) -> Option<Span> {
        if self.bytes.get(self.at) != Some(&b'"') {
            return None;
        }
        let start = self.at + 1;
        let end = self.near_end(start)?;
        self.at = end + 1;
        Some(Span { start, end })
    }

    /// Index of the quote that ends what begins at `start`, if it is among the first two words and
    /// nothing else special before it.
    #[inline(always)]
    fn near_end(&self, start: usize) -> Option<usize> {
        let words: &[u8; 2 * WORD] = self.bytes.get(start..)?.first_chunk()?;
        let mut end = start;
        let mut marks = specials(*words.first_chunk()?);
        if marks == 0 {
            marks = specials(*words.last_chunk()?);
            end += WORD;
        }
        end += first_marked(marks);
        (marks != 0 && self.bytes.get(end) == Some(&b'"')).then_some(end)
    }
}

/// What begins at `start`, behind the opening quote, whatever its length and whatever is in it.
///
/// It does not take the scanner: lent out, the scanner's position would have to be in memory, and the
/// way there and back costs more than testing a word.
#[cold]
fn long_string(bytes: &[u8], start: usize) -> Result<Quoted, Malformed> {
    let (mut end, mut escaped) = (start, false);
    loop {
        end = special(bytes, end);
        match bytes.get(end) {
            Some(b'"') => return Ok(Quoted { inner: Span { start, end }, escaped }),
            Some(b'\\') => {
                escaped = true;
                end = escape(bytes, end)?;
            }
            _ => return Err(Malformed),
        }
    }
}

/// Index of the first byte from `at` on that means something inside a string: the quote, the
/// backslash, or a control character, which may not stand there. The length if there is none.
#[inline]
fn special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let marks = specials(*word);
        if marks != 0 {
            return at + first_marked(marks);
        }
        at += WORD;
    }
    let rest = bytes.iter().skip(at);
    at + rest.take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count()
}

/// Index behind the escape whose backslash is at `at`. Surrogates need no partner here.
#[cold]
fn escape(bytes: &[u8], at: usize) -> Result<usize, Malformed> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let digits = bytes.get(at + 2..at + 6).ok_or(Malformed)?;
            if digits.iter().all(u8::is_ascii_hexdigit) { Ok(at + 6) } else { Err(Malformed) }
        }
        _ => Err(Malformed),
    }
}

/// Marks, by their highest bits, quotes, backslashes and control characters among the bytes of a word:
/// the lowest mark is right, and there is none if there is no such byte.
///
/// In `x - 0x01..` the highest bit of a byte below 0x80 is set where the byte is zero, likewise in
/// `x - 0x21..` where it is below 0x21; the borrow may set bits above. With its bit 1 turned over the
/// quote is 0x20, next to the control characters, and space and exclamation mark have made room:
/// both are found by one subtraction. Bytes of 0x80 and above, parts of longer characters, never match:
/// `!word` clears them.
#[inline]
pub(super) fn specials(word: [u8; WORD]) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([0x01; WORD]);
    let word = u64::from_le_bytes(word);
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * 0x5c)).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & (ONES * 0x80)
}

/// Index of the byte that has the lowest mark; 8 if there is none.
#[inline]
pub(super) fn first_marked(marks: u64) -> usize {
    usize::try_from(marks.trailing_zeros() / 8).expect("8 at most")
}
