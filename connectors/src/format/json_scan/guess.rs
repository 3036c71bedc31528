//! Names of members by guess: behind a name mostly comes the one that came there last time.
//!
//! Records of a stream are written by one program, and their members stand in the same order, though
//! some may be missing. So the few spellings that came behind the last name are compared with what is
//! next, comma, quotes and colon included, all at once; only where it is another is the name read byte
//! by byte and looked up. That is worth it because short names are what such records consist of: reading
//! one costs as much as its value.
//!
//! A guess never changes a result: it holds where the bytes are those of a name that was read before,
//! and no byte of such a name could mean anything else here. What is remembered is bounded; when that
//! is full, all of it is forgotten.
//!
//! Misuse: the same [`Guesses`] with two functions that make something else of a name.

use super::{Malformed, Quoted, Scanner};

/// Longest spelling that is remembered: what is compared at once.
const SPELLING_BYTES_MAX: usize = 16;
/// Spellings that are tried at one place.
const CANDIDATES: usize = 4;
/// Spellings remembered at a time; their indices lie below those of the beginnings.
const SPELLINGS_MAX: usize = 200;
/// Stands for the beginning of an object of kind 0 in the place of the last name; the other kinds
/// follow.
const BEGINNING: u8 = 240;
/// Stands for a name that is not remembered.
const UNKNOWN: u8 = 239;
/// No spelling.
const NONE: u8 = 255;

/// What stands between two values of an object, and what name is in it.
#[derive(Clone, Copy, Debug)]
struct Spelling<N> {
    /// Comma (unless the object begins here), quote, name, quote and colon; the first byte is the
    /// lowest, above the last are zeros.
    bytes: u128,
    /// Ones where the spelling has bytes.
    mask: u128,
    length: usize,
    kind: u8,
    name: N,
}

/// What names were seen, and in which order, in the kinds of objects that there are.
#[derive(Debug)]
pub(crate) struct Guesses<N> {
    /// The first `count` of them are known, those behind match nothing: no index has to be checked.
    spellings: [Spelling<N>; 256],
    count: usize,
    /// By last spelling: those that came next, in the order in which they had to be read. Behind a
    /// beginning they have no comma, behind all others they do.
    next: [[u8; CANDIDATES]; 256],
}

/// A place in an object: its kind, and the name before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    kind: u8,
    last: u8,
}

impl Behind {
    /// The beginning of an object of this kind, one of 0 to 14.
    #[inline]
    pub(crate) const fn beginning(kind: u8) -> Self {
        assert!(kind < NONE - BEGINNING, "there are 15 kinds");
        Self { kind, last: BEGINNING + kind }
    }

    #[inline]
    const fn is_beginning(self) -> bool {
        self.last >= BEGINNING
    }
}

/// A member whose value is next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member<N> {
    pub(crate) name: N,
    /// Where the quote of the name stands.
    pub(crate) start: usize,
    /// Where its value ends, which is where the next name is looked for.
    pub(crate) behind: Behind,
}

impl<N: Copy + Default> Default for Guesses<N> {
    fn default() -> Self {
        // Matches no bytes: of none that is looked at, one would have to be set.
        let nothing = Spelling { bytes: 1, mask: 0, length: 0, kind: 0, name: N::default() };
        Self { spellings: [nothing; 256], count: 0, next: [[NONE; CANDIDATES]; 256] }
    }
}

impl<N: Copy + Default> Guesses<N> {
    /// The spelling that `ahead` begins with and its index, if it came before where `behind` is.
    #[inline(always)]
    fn guess(&self, behind: Behind, ahead: u128) -> Option<(u8, &Spelling<N>)> {
        self.next[usize::from(behind.last)].into_iter().find_map(|index| {
            let spelling = &self.spellings[usize::from(index)];
            (ahead & spelling.mask == spelling.bytes).then_some((index, spelling))
        })
    }

    /// Remembers that the first `length` bytes of `ahead` came where `behind` is; answers the index.
    fn learn(&mut self, behind: Behind, ahead: u128, (length, name): (usize, N)) -> u8 {
        let mask = u128::MAX >> (8 * (SPELLING_BYTES_MAX - length));
        let spelling = Spelling { bytes: ahead & mask, mask, length, kind: behind.kind, name };
        if self.count == SPELLINGS_MAX {
            *self = Self::default();
        }
        let index = self.index(spelling);
        // The oldest goes if all are taken.
        let next = &mut self.next[usize::from(behind.last)];
        let place = next.iter().position(|known| *known == NONE).unwrap_or_else(|| {
            next.rotate_left(1);
            CANDIDATES - 1
        });
        next[place] = index;
        index
    }

    fn index(&mut self, new: Spelling<N>) -> u8 {
        let same = |known: &Spelling<N>| (known.bytes, known.kind) == (new.bytes, new.kind);
        let known = self.spellings.iter().take(self.count).position(same);
        let index = known.unwrap_or_else(|| {
            self.spellings[self.count] = new;
            self.count += 1;
            self.count - 1
        });
        u8::try_from(index).expect("there are few spellings")
    }
}

impl Scanner<'_> {
    /// As [`Scanner::next_name`], with what `of` makes of the name.
    #[inline(always)]
    pub(crate) fn next_named<N: Copy + Default>(
        &mut self,
        behind: Behind,
        guesses: &mut Guesses<N>,
        of: impl FnOnce(Quoted, &str) -> N,
    ) -> Result<Option<Member<N>>, Malformed> {
        if self.peek()? == b'}' {
            self.leave();
            return Ok(None);
        }
        if let Some(ahead) = self.ahead()
            && let Some((last, spelling)) = guesses.guess(behind, ahead)
        {
            let start = self.at + usize::from(!behind.is_beginning());
            self.at += spelling.length;
            self.skip_space();
            let (name, kind) = (spelling.name, behind.kind);
            return Ok(Some(Member { name, start, behind: Behind { kind, last } }));
        }
        self.read_named(behind, guesses, of)
    }

    /// The next bytes, the first one lowest, unless the text ends before.
    #[inline]
    fn ahead(&self) -> Option<u128> {
        let bytes = self.bytes.get(self.at..)?.first_chunk::<SPELLING_BYTES_MAX>()?;
        Some(u128::from_le_bytes(*bytes))
    }

    /// Reads the name byte by byte, and remembers it.
    #[cold]
    fn read_named<N: Copy + Default>(
        &mut self,
        behind: Behind,
        guesses: &mut Guesses<N>,
        of: impl FnOnce(Quoted, &str) -> N,
    ) -> Result<Option<Member<N>>, Malformed> {
        let (seam, ahead) = (self.at, self.ahead());
        if !self.next_member(behind.is_beginning())? {
            return Ok(None);
        }
        let start = self.at;
        let quoted = self.name()?;
        let name = of(quoted, self.value);
        let colon = quoted.inner.end + 1;
        let length = colon + 1 - seam;
        // An escape, or a space before the name or its colon, is a spelling that hardly comes again.
        let plain = !quoted.escaped
            && start == seam + usize::from(!behind.is_beginning())
            && self.bytes.get(colon) == Some(&b':');
        let last = match ahead.filter(|_ahead| plain && length <= SPELLING_BYTES_MAX) {
            Some(ahead) => guesses.learn(behind, ahead, (length, name)),
            None => UNKNOWN,
        };
        Ok(Some(Member { name, start, behind: Behind { kind: behind.kind, last } }))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;
    use crate::format::json_scan::member::named;

    /// Names and their places in an object, read with these guesses or without.
    fn read(json: &str, guesses: Option<&mut Guesses<usize>>) -> Option<Vec<(usize, usize)>> {
        let (mut scanner, mut names) = (Scanner::new(json), Vec::new());
        let mut fresh = Guesses::default();
        let guesses = guesses.unwrap_or(&mut fresh);
        scanner.enter().ok()?;
        let mut behind = Behind::beginning(0);
        let length = |quoted, value: &str| named(quoted, value, <[u8]>::len);
        while let Some(member) = scanner.next_named(behind, guesses, length).ok()? {
            behind = member.behind;
            names.push((member.name, member.start));
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
            r#"{"a":1"bc":2,"def":3,"def":4}"#,
            r#"{"unknown":1"a":1,"bc":2,"def":3}"#,
            r#"{"bc":2,"a":1"a":1,"bc":2,"def":3}"#,
            r#"{,"bc":1,"bc":2,"def":3,"def":4}"#,
            r#"{"a":1,"bc":2,"def":3,}"#,
            r#"{"a":1,"bc":2,}          "#,
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
        // A comma belongs to no beginning, and none is missing, whatever was forgotten.
        for json in [r#"{,"0":1,"n1":2,"nn2":3}"#, r#"{"0":1"n1":2,"nn2":3}"#] {
            assert_eq!(read(json, Some(&mut guesses)), None, "{json}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn what_was_read_before_changes_nothing(
            objects in prop::collection::vec(prop::collection::vec(select(&[
                "\"a\"", "\"bc\"", "\"a long name\"", ":1", ":1,", ":1,", ":1,", ":{\"a\":2}", ",", " ", "}",
            ][..]), 0..12), 1..12),
        ) {
            let mut guesses = Guesses::default();
            for pieces in objects {
                let json = format!("{{{}}}                ", pieces.concat());
                prop_assert_eq!(read(&json, Some(&mut guesses)), read(&json, None), "{}", json);
            }
        }
    }
}
