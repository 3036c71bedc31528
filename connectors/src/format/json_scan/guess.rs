//! Names of members by guess: behind a name mostly comes the one that came there last time.
//!
//! Records of a stream are written by one program, and their members stand in the same order, though
//! some may be missing. So the two spellings that came behind the last name are compared with what is
//! next, quotes and colon included, all at once; only where it is another is the name read byte by
//! byte and looked up. That is worth it because short names are what such records consist of: reading
//! one costs as much as its value.
//!
//! A guess never changes a result: it holds where the bytes are those of a name that was read before,
//! and no byte of such a name could mean anything else here. What is remembered is bounded; when that
//! is full, all of it is forgotten.
//!
//! Misuse: the same [`Guesses`] with two functions that make something else of a name.

use super::{Malformed, Quoted, Scanner};

/// Longest spelling that is remembered, with quotes and colon: what is compared at once.
const SPELLING_BYTES_MAX: usize = 16;
/// Spellings remembered at a time.
const SPELLINGS_MAX: usize = 64;
/// Stands for the beginning of an object in the place of its last name.
const BEGINNING: usize = SPELLINGS_MAX;
/// Stands for a name that is not remembered.
const UNKNOWN: usize = SPELLINGS_MAX + 1;

/// A name as it is written, and what it is.
#[derive(Clone, Copy, Debug)]
struct Spelling<N> {
    /// Quote, name, quote and colon; the first byte is the lowest, above the last are zeros.
    bytes: u128,
    /// Ones where the spelling has bytes.
    mask: u128,
    length: usize,
    name: N,
}

/// What names were seen, and in which order, in `KINDS` kinds of objects.
#[derive(Debug)]
pub(crate) struct Guesses<N, const KINDS: usize> {
    spellings: Vec<Spelling<N>>,
    /// By kind of object and last name: the spellings that came next, the last one that had to be read
    /// first.
    next: [[[u8; 2]; SPELLINGS_MAX + 2]; KINDS],
}

/// A place in an object: its kind, and the name before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    kind: usize,
    last: usize,
    /// Where the quote of that name stands.
    pub(crate) start: usize,
}

impl Behind {
    /// The beginning of an object of this kind.
    #[inline]
    pub(crate) const fn beginning(kind: usize) -> Self {
        Self { kind, last: BEGINNING, start: 0 }
    }
}

impl<N: Copy, const KINDS: usize> Default for Guesses<N, KINDS> {
    fn default() -> Self {
        Self { spellings: Vec::new(), next: [[[0; 2]; SPELLINGS_MAX + 2]; KINDS] }
    }
}

impl<N: Copy, const KINDS: usize> Guesses<N, KINDS> {
    /// The name that `ahead` begins with and its index, if it came before where `behind` is.
    #[inline(always)]
    fn guess(&self, behind: Behind, ahead: u128) -> Option<(usize, &Spelling<N>)> {
        let known = self.next[behind.kind][behind.last].map(usize::from);
        known.into_iter().find_map(|index| {
            let spelling = self.spellings.get(index)?;
            (ahead & spelling.mask == spelling.bytes).then_some((index, spelling))
        })
    }

    /// Remembers that the first `length` of `bytes` came where `behind` is; answers the index.
    fn learn(
        &mut self,
        behind: Behind,
        bytes: [u8; SPELLING_BYTES_MAX],
        (length, name): (usize, N),
    ) -> usize {
        let mask = u128::MAX >> (8 * (SPELLING_BYTES_MAX - length));
        let bytes = u128::from_le_bytes(bytes) & mask;
        let known = self.spellings.iter().position(|spelling| spelling.bytes == bytes);
        let index = known.unwrap_or_else(|| self.add(Spelling { bytes, mask, length, name }));
        let narrow = u8::try_from(index).expect("there are few spellings");
        let next = &mut self.next[behind.kind][behind.last];
        *next = [narrow, next[0]];
        index
    }

    fn add(&mut self, spelling: Spelling<N>) -> usize {
        if self.spellings.len() == SPELLINGS_MAX {
            self.spellings.clear();
        }
        self.spellings.push(spelling);
        self.spellings.len() - 1
    }
}

impl Scanner<'_> {
    /// As [`Scanner::next_name`], with what `of` makes of the name.
    #[inline(always)]
    pub(crate) fn next_named<N: Copy, const KINDS: usize>(
        &mut self,
        behind: &mut Behind,
        guesses: &mut Guesses<N, KINDS>,
        of: impl FnOnce(Quoted, &str) -> N,
    ) -> Result<Option<N>, Malformed> {
        if !self.next_member(behind.last == BEGINNING)? {
            return Ok(None);
        }
        behind.start = self.at;
        if let Some(ahead) = self.ahead()
            && let Some((index, spelling)) = guesses.guess(*behind, u128::from_le_bytes(ahead))
        {
            self.at += spelling.length;
            self.skip_space();
            behind.last = index;
            return Ok(Some(spelling.name));
        }
        self.read_named(behind, guesses, of).map(Some)
    }

    /// The next bytes, unless the text ends before.
    #[inline]
    fn ahead(&self) -> Option<[u8; SPELLING_BYTES_MAX]> {
        self.bytes.get(self.at..)?.first_chunk().copied()
    }

    /// Reads the name byte by byte, and remembers it.
    #[cold]
    fn read_named<N: Copy, const KINDS: usize>(
        &mut self,
        behind: &mut Behind,
        guesses: &mut Guesses<N, KINDS>,
        of: impl FnOnce(Quoted, &str) -> N,
    ) -> Result<N, Malformed> {
        let ahead = self.ahead();
        let quoted = self.name()?;
        let name = of(quoted, self.value);
        let colon = quoted.inner.end + 1;
        let length = colon + 1 - behind.start;
        // An escape, or a space before the colon, is a spelling that hardly comes again.
        let plain = !quoted.escaped && self.bytes.get(colon) == Some(&b':');
        behind.last = match ahead.filter(|_ahead| plain && length <= SPELLING_BYTES_MAX) {
            Some(ahead) => guesses.learn(*behind, ahead, (length, name)),
            None => UNKNOWN,
        };
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::json_scan::member::named;

    /// Names and their places in an object, read with these guesses or without.
    fn read(json: &str, guesses: Option<&mut Guesses<usize, 1>>) -> Option<Vec<(usize, usize)>> {
        let (mut scanner, mut names) = (Scanner::new(json), Vec::new());
        let mut fresh = Guesses::default();
        let guesses = guesses.unwrap_or(&mut fresh);
        scanner.enter().ok()?;
        let mut behind = Behind::beginning(0);
        let length = |quoted, value: &str| named(quoted, value, <[u8]>::len);
        while let Some(name) = scanner.next_named(&mut behind, guesses, length).ok()? {
            names.push((name, behind.start));
            scanner.skip().ok()?;
        }
        Some(names)
    }

    #[test]
    fn guessed_names_are_those_that_are_read() {
        let mut guesses = Guesses::default();
        for json in [
            r#"{"a":1,"bc":2,"def":3}"#,
            r#"{"a":1,"bc":2,"def":3}"#,
            // Another order, more and fewer, none.
            r#"{"bc":2,"a":1,"x":{"a":7},"def":3}"#,
            r#"{"a":1,"def":3}"#,
            "{}",
            // The same with spaces, escapes, and a beginning that is the same.
            r#"{ "a" : 1 , "bc" :2,"def":3}"#,
            r#"{"a":1,"b\u0063":2,"def":3}"#,
            r#"{"a":1,"bcd":2,"bc ":3, "":4}"#,
            // As long as may be remembered, and longer.
            r#"{"thirteen_long":1,"fourteen__long":2,"a":3,"fourteen__lonG":3}"#,
            r#"{"thirteen_long":1,"fourteen__long":2,"a":3,"fourteen__lonG":3}"#,
            // Near the end there is not enough to compare.
            r#"{"a":1,"bc":2}"#,
            r#"{"a":1}"#,
            // No JSON.
            r#"{"a":1,"bc":2"def":3}"#,
            r#"{"a":1,,"bc":2}"#,
            r#"{"a"1,"bc":2}"#,
            r#"{,"a":1,"bc":2}"#,
            r#"{"a":"#,
            r#"{"a":1,"bc"#,
            r#"{"a":1,"bc":2,"#,
            r#"{"a":1,"bc":2,"def":3}"#,
        ] {
            assert_eq!(read(json, Some(&mut guesses)), read(json, None), "{json}");
        }
    }

    #[test]
    fn more_names_than_are_remembered_are_read_all_the_same() {
        let mut guesses = Guesses::default();
        let object = |step: usize| {
            let members = (0..500).map(|number| {
                format!("\"{}\":1", "n".repeat(number % 13) + &(number * step).to_string())
            });
            format!("{{{}}}", members.collect::<Vec<_>>().join(","))
        };
        for step in [1, 1, 3, 2, 1] {
            let json = object(step);
            let names = read(&json, Some(&mut guesses)).expect("an object");
            assert_eq!((names.len(), Some(names)), (500, read(&json, None)));
        }
    }
}
