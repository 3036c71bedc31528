//! Primitive types of the protocol: big endian numbers, strings, arrays, tagged fields.
//!
//! Source: "Protocol primitive types" of the protocol guide, and KIP-482 for compact strings and
//! tagged fields. Reading never panics: an answer comes from outside.

/// Bytes that are not what the protocol says, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kafka) struct Garbled(pub(in crate::kafka) &'static str);

const SHORT: Garbled = Garbled("it ends too soon");
const LONG: Garbled = Garbled("a number is too long");

/// Writes primitive types to the end.
pub(in crate::kafka) trait Put {
    fn put(&mut self, bytes: &[u8]);

    fn i8(&mut self, value: i8) {
        self.put(&value.to_be_bytes());
    }
    fn i16(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }
    fn i32(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }
    fn i64(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    /// The number of elements that follow, or of bytes.
    fn count(&mut self, count: usize) {
        self.i32(i32::try_from(count).expect("a request is far below 2 GiB"));
    }

    /// Names of topics, ids and clients: the cluster allows none near this limit.
    fn string(&mut self, text: &str) {
        self.i16(i16::try_from(text.len()).expect("a name is below 32 KiB"));
        self.put(text.as_bytes());
    }

    /// A string of a flexible version: its length plus one comes first.
    fn compact_string(&mut self, text: &str) {
        self.unsigned(u32::try_from(text.len()).expect("a name is below 32 KiB") + 1);
        self.put(text.as_bytes());
    }

    /// The number of elements of an array of a flexible version, plus one.
    fn compact_count(&mut self, count: usize) {
        self.unsigned(u32::try_from(count).expect("a request is far below 2 GiB") + 1);
    }

    /// The end of a structure of a flexible version: no tagged fields.
    fn no_tags(&mut self) {
        self.put(&[0]);
    }

    /// A number in groups of seven bits, the lowest first.
    fn unsigned(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.put(&[low_bits(value) | 0x80]);
            value >>= 7;
        }
        self.put(&[low_bits(value)]);
    }
}

impl Put for Vec<u8> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The lowest seven bits.
#[inline]
pub(super) fn low_bits(value: u32) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits")
}

/// Reads primitive types from the front.
#[derive(Debug, Clone, Copy)]
pub(in crate::kafka) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(in crate::kafka) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next so many bytes.
    #[inline]
    pub(in crate::kafka) fn bytes(&mut self, count: usize) -> Result<&'a [u8], Garbled> {
        self.rest.split_off(..count).ok_or(SHORT)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Garbled> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*chunk)
    }

    pub(in crate::kafka) fn i8(&mut self) -> Result<i8, Garbled> {
        self.chunk().map(i8::from_be_bytes)
    }
    pub(in crate::kafka) fn i16(&mut self) -> Result<i16, Garbled> {
        self.chunk().map(i16::from_be_bytes)
    }
    pub(in crate::kafka) fn i32(&mut self) -> Result<i32, Garbled> {
        self.chunk().map(i32::from_be_bytes)
    }
    pub(in crate::kafka) fn i64(&mut self) -> Result<i64, Garbled> {
        self.chunk().map(i64::from_be_bytes)
    }

    /// Elements of an array; none for a null one. Each element has at least one byte, so a count
    /// that memory could not hold is refused here.
    pub(in crate::kafka) fn count(&mut self) -> Result<usize, Garbled> {
        let count = usize::try_from(self.i32()?.max(0)).map_err(|_huge| SHORT)?;
        if count > self.rest.len() { Err(SHORT) } else { Ok(count) }
    }

    /// An array, element by element.
    pub(in crate::kafka) fn array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Vec<T>, Garbled> {
        let count = self.count()?;
        (0..count).map(|_| element(self)).collect()
    }

    pub(in crate::kafka) fn nullable_string(&mut self) -> Result<Option<&'a str>, Garbled> {
        let Ok(length) = usize::try_from(self.i16()?) else { return Ok(None) };
        let text = std::str::from_utf8(self.bytes(length)?);
        text.map(Some).map_err(|_not_text| Garbled("a string is not UTF-8"))
    }

    pub(in crate::kafka) fn string(&mut self) -> Result<&'a str, Garbled> {
        self.nullable_string()?.ok_or(Garbled("a string is missing"))
    }

    /// Elements of an array of a flexible version, or bytes of a string; `None` for a null one. As with
    /// [`Reader::count`], no count is greater than what is left.
    fn compact_count(&mut self) -> Result<Option<usize>, Garbled> {
        let Some(count) = self.unsigned()?.checked_sub(1) else { return Ok(None) };
        let count = usize::try_from(count).map_err(|_huge| SHORT)?;
        if count > self.rest.len() { Err(SHORT) } else { Ok(Some(count)) }
    }

    /// An array of a flexible version, element by element; empty for a null one.
    pub(in crate::kafka) fn compact_array<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Garbled>,
    ) -> Result<Vec<T>, Garbled> {
        let count = self.compact_count()?.unwrap_or(0);
        (0..count).map(|_| element(self)).collect()
    }

    /// A string of a flexible version.
    pub(in crate::kafka) fn compact_nullable_string(&mut self) -> Result<Option<&'a str>, Garbled> {
        let Some(length) = self.compact_count()? else { return Ok(None) };
        let text = std::str::from_utf8(self.bytes(length)?);
        text.map(Some).map_err(|_not_text| Garbled("a string is not UTF-8"))
    }

    pub(in crate::kafka) fn uuid(&mut self) -> Result<[u8; 16], Garbled> {
        self.chunk()
    }

    /// Passes over the tagged fields of a flexible version: none of them is for us.
    pub(in crate::kafka) fn tags(&mut self) -> Result<(), Garbled> {
        self.tagged(|_tag, _field| Ok(()))
    }

    /// The tagged fields of a flexible version, each with its number.
    pub(in crate::kafka) fn tagged(
        &mut self,
        mut field: impl FnMut(u32, Self) -> Result<(), Garbled>,
    ) -> Result<(), Garbled> {
        for _ in 0..self.unsigned()? {
            let tag = self.unsigned()?;
            let length = usize::try_from(self.unsigned()?).map_err(|_huge| SHORT)?;
            field(tag, Self::new(self.bytes(length)?))?;
        }
        Ok(())
    }

    /// Bytes of a flexible version; empty for null ones.
    pub(in crate::kafka) fn compact_bytes(&mut self) -> Result<&'a [u8], Garbled> {
        let count = self.compact_count()?.unwrap_or(0);
        self.bytes(count)
    }

    /// Bytes that are left.
    pub(in crate::kafka) fn left(&self) -> usize {
        self.rest.len()
    }

    /// A number that may be negative: zigzag, in groups of seven bits, the lowest first.
    #[inline]
    pub(in crate::kafka) fn varint(&mut self) -> Result<i32, Garbled> {
        let zigzag = self.unsigned()?;
        Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
    }

    /// Passes over a number of up to 64 bits.
    #[inline]
    pub(in crate::kafka) fn pass_varlong(&mut self) -> Result<(), Garbled> {
        for _ in 0..10 {
            let [byte] = self.chunk()?;
            if byte < 0x80 {
                return Ok(());
            }
        }
        Err(LONG)
    }

    /// Bytes with a varint before them that says how many; `None` for null ones.
    #[inline]
    pub(in crate::kafka) fn varint_bytes(&mut self) -> Result<Option<&'a [u8]>, Garbled> {
        match usize::try_from(self.varint()?) {
            Ok(count) => self.bytes(count).map(Some),
            Err(_negative) => Ok(None),
        }
    }

    #[inline]
    fn unsigned(&mut self) -> Result<u32, Garbled> {
        // Most numbers are small.
        if let [byte @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u32::from(*byte));
        }
        self.long_unsigned()
    }

    fn long_unsigned(&mut self) -> Result<u32, Garbled> {
        let mut value = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.chunk()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(LONG)
    }

    /// Nothing may be left: more bytes than we know of mean that we read another version.
    pub(in crate::kafka) fn end(self) -> Result<(), Garbled> {
        if self.rest.is_empty() { Ok(()) } else { Err(Garbled("it is longer than it should be")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let mut bytes = Vec::new();
        bytes.i8(-1);
        bytes.i16(0x0102);
        bytes.i32(0x0102_0304);
        bytes.i64(-2);
        bytes.string("ab");
        bytes.compact_string("ab");
        bytes.unsigned(300);
        bytes.no_tags();
        let golden =
            b"\xff\x01\x02\x01\x02\x03\x04\xff\xff\xff\xff\xff\xff\xff\xfe\0\x02ab\x03ab\xac\x02\0";
        assert_eq!(bytes, golden);
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.i8(), Ok(-1));
        assert_eq!((reader.i16(), reader.i32()), (Ok(0x0102), Ok(0x0102_0304)));
        assert_eq!((reader.i64(), reader.string()), (Ok(-2), Ok("ab")));
        assert!(reader.end().is_err());
    }

    #[test]
    fn tagged_fields_are_passed_over() {
        let mut reader = Reader::new(b"\x02\x00\x01x\x07\x02yz\xff\xff");
        assert_eq!(reader.tags(), Ok(()));
        assert_eq!(reader.nullable_string(), Ok(None));
        assert_eq!(reader.end(), Ok(()));
    }

    #[test]
    fn a_count_beyond_the_bytes_allocates_nothing() {
        assert_eq!(Reader::new(b"\x7f\xff\xff\xff\0").count(), Err(SHORT));
        assert_eq!(Reader::new(b"\xff\xff\xff\xff").array(Reader::i8), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut reader = Reader::new(&bytes);
            let compact = reader.compact_array(Reader::i8).map(|all| all.len());
            prop_assert!(compact.is_err() || compact.is_ok_and(|count| count < bytes.len()));
            let mut reader = Reader::new(&bytes);
            let read = (reader.tags(), reader.string().is_ok(), reader.array(Reader::i16));
            // Whatever was read, it was not more than there is.
            prop_assert!(read.2.is_err() || bytes.len() >= 4);
        }
    }
}
