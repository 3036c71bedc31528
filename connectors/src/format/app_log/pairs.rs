//! Pairs of numbers in few bytes: what a layout consists of.
//!
//! All pairs of a layout have one width, which the length of the record decides: hardly any record is
//! so long that a place in it takes more than two bytes. So reading a pair is one load, and a list of
//! them is stepped over without being read.
//!
//! Misuse: pairs read in another width than they were written in are nonsense.

/// Bytes of the longest record with narrow pairs: the length of an element and its two marks fit.
const NARROW_RECORD_BYTES_MAX: usize = (1 << 14) - 1;

/// Why the numbers of a record fit into a pair.
const FITS: &str = "a number is at most the length of its record, or four times that and marks";

/// How many bytes a number takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Width {
    /// Two.
    #[default]
    Narrow,
    /// Four.
    Wide,
}

impl Width {
    /// The width for a record of so many bytes.
    pub(super) const fn of_record(bytes: usize) -> Self {
        if bytes <= NARROW_RECORD_BYTES_MAX { Self::Narrow } else { Self::Wide }
    }

    /// Bytes of a pair.
    const fn pair_bytes(self) -> usize {
        match self {
            Self::Narrow => 4,
            Self::Wide => 8,
        }
    }
}

/// Appends pairs.
pub(super) struct PairWriter<'o> {
    out: &'o mut Vec<u8>,
    width: Width,
}

impl<'o> PairWriter<'o> {
    pub(super) const fn new(out: &'o mut Vec<u8>, width: Width) -> Self {
        Self { out, width }
    }

    #[inline(always)]
    pub(super) fn push(&mut self, first: usize, second: usize) {
        match self.width {
            Width::Narrow => {
                let half = |number| u16::try_from(number).expect(FITS).to_le_bytes();
                let ([a, b], [c, d]) = (half(first), half(second));
                self.out.extend_from_slice(&[a, b, c, d]);
            }
            Width::Wide => self.push_wide(first, second),
        }
    }

    #[cold]
    fn push_wide(&mut self, first: usize, second: usize) {
        let half = |number| u32::try_from(number).expect(FITS).to_le_bytes();
        self.out.extend_from_slice(&half(first));
        self.out.extend_from_slice(&half(second));
    }
}

/// Pairs not read yet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pairs<'l> {
    bytes: &'l [u8],
    width: Width,
}

impl<'l> Pairs<'l> {
    pub(super) const fn new(bytes: &'l [u8], width: Width) -> Self {
        Self { bytes, width }
    }

    pub(super) const fn len(&self) -> usize {
        self.bytes.len() / self.width.pair_bytes()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `count` of them, which are stepped over; as many as there are if these are fewer.
    #[inline]
    pub(super) fn list(&mut self, count: usize) -> Self {
        let bytes = (count * self.width.pair_bytes()).min(self.bytes.len());
        let (taken, rest) = self.bytes.split_at(bytes);
        self.bytes = rest;
        Self { bytes: taken, width: self.width }
    }
}

impl Iterator for Pairs<'_> {
    type Item = (usize, usize);

    #[inline]
    fn next(&mut self) -> Option<(usize, usize)> {
        match self.width {
            Width::Narrow => {
                let ([a, b, c, d], rest) = self.bytes.split_first_chunk()?;
                self.bytes = rest;
                let half = |bytes| usize::from(u16::from_le_bytes(bytes));
                Some((half([*a, *b]), half([*c, *d])))
            }
            Width::Wide => {
                let (first, rest) = self.bytes.split_first_chunk()?;
                let (second, rest) = rest.split_first_chunk()?;
                self.bytes = rest;
                let half = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes) as usize;
                Some((half(first), half(second)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_comes_back() {
        for (width, bytes, pairs) in [
            (Width::Narrow, 4, [(0, 0), (1, 2), (300, 0xffff), (0xffff, 7)]),
            (Width::Wide, 8, [(0, 0), (1, 2), (1 << 24, 0xffff_ffff), (0xffff_ffff, 7)]),
        ] {
            let mut out = Vec::new();
            let mut writer = PairWriter::new(&mut out, width);
            pairs.iter().for_each(|(first, second)| writer.push(*first, *second));
            assert_eq!(out.len(), bytes * pairs.len());
            let mut read = Pairs::new(&out, width);
            assert_eq!((read.len(), read.next()), (4, Some(pairs[0])));
            assert_eq!(read.list(2).collect::<Vec<_>>(), pairs[1..3]);
            assert_eq!((read.len(), read.is_empty()), (1, false));
            assert_eq!(read.list(9).collect::<Vec<_>>(), pairs[3..]);
            assert_eq!((read.is_empty(), read.next()), (true, None));
        }
    }

    #[test]
    fn the_numbers_of_a_record_fit() {
        assert_eq!(Width::of_record(NARROW_RECORD_BYTES_MAX), Width::Narrow);
        assert!(NARROW_RECORD_BYTES_MAX << 2 | 0b11 <= usize::from(u16::MAX));
        assert_eq!(Width::of_record(NARROW_RECORD_BYTES_MAX + 1), Width::Wide);
    }
}
