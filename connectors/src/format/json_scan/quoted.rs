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
        if let Some(end) = self.near_end(start) {
            self.at = end + 1;
            return Ok(Quoted { inner: Span { start, end }, escaped: false });
        }
        self.long_string()
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
        while let Some(word) = self.bytes.get(self.at..).and_then(<[u8]>::first_chunk) {
            let index = first_marked(specials(*word));
            self.at += index;
            if let Some(byte) = word.get(index) {
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
