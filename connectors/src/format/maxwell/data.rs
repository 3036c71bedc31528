//! The row inside a change record: the members of `data` or `old`, one by one.
//!
//! Values come in the form of text that dimension tables keep (warehouse 5.4): a text as it reads,
//! a number as it is written (`80.00` stays `80.00`), `true` and `false`, an object or array as its
//! JSON, null as none. Nothing is allocated but for names and texts that hold escapes.
//!
//! Misuse: a name may come twice, and then the last one counts; that is the caller's matter (or of
//! [`column_map`]). The bytes must be what a decoder gave: anything that is not one JSON object
//! ends the walk early, without a word.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::format::json_scan::text::{str_of, unescape_lossy};
use crate::format::json_scan::{Quoted, Scanner, Span};

/// One member of a row: a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMember<'a> {
    /// The column's name.
    pub name: Cow<'a, str>,
    /// Its value as text; `None` is NULL. A lone surrogate reads as U+FFFD.
    pub value: Option<Cow<'a, str>>,
}

/// Walks the members of an object. See the module.
pub struct DataReader<'a> {
    scanner: Scanner<'a>,
    first: bool,
    open: bool,
}

impl<'a> DataReader<'a> {
    /// A reader of `object`, the bytes of a `data` or `old` slice.
    #[must_use]
    pub fn new(object: &'a [u8]) -> Self {
        let mut scanner = Scanner::new(str::from_utf8(object).unwrap_or_default());
        scanner.skip_space();
        let open = scanner.at_object().unwrap_or(false) && scanner.enter().is_ok();
        Self { scanner, first: true, open }
    }

    /// The next member, and where its value stands in the object.
    #[inline]
    pub fn next_spanned(&mut self) -> Option<(DataMember<'a>, Span)> {
        if !self.open {
            return None;
        }
        let member = self.step();
        self.open = member.is_some();
        member
    }

    #[inline]
    fn step(&mut self) -> Option<(DataMember<'a>, Span)> {
        let first = std::mem::replace(&mut self.first, false);
        let quoted = self.scanner.next_name(first).ok()??;
        self.scanner.skip_space();
        let start = self.scanner.at();
        let value = self.value()?;
        let span = Span { start, end: self.scanner.at() };
        Some((DataMember { name: self.unquoted(quoted), value }, span))
    }

    /// The value that is next; the outer `None` is for what is no JSON.
    #[inline]
    fn value(&mut self) -> Option<Option<Cow<'a, str>>> {
        match self.scanner.peek().ok()? {
            b'"' => {
                let quoted = self.scanner.string().ok()?;
                Some(Some(self.unquoted(quoted)))
            }
            b'n' => self.scanner.skip().ok().map(|()| None),
            _ => {
                let span = self.scanner.skip_spanned().ok()?;
                Some(Some(Cow::Borrowed(str_of(self.scanner.value(), span))))
            }
        }
    }

    #[inline]
    fn unquoted(&self, quoted: Quoted) -> Cow<'a, str> {
        let inner = str_of(self.scanner.value(), quoted.inner);
        if !quoted.escaped {
            return Cow::Borrowed(inner);
        }
        let mut decoded = String::with_capacity(inner.len());
        unescape_lossy(inner, &mut decoded);
        Cow::Owned(decoded)
    }
}

impl<'a> Iterator for DataReader<'a> {
    type Item = DataMember<'a>;

    #[inline]
    fn next(&mut self) -> Option<DataMember<'a>> {
        self.next_spanned().map(|(member, _place)| member)
    }
}

/// Whether these bytes, a JSON value that a decoder gave, are an object with at least one member
/// (else `empty_data`, warehouse 5.1).
#[must_use]
pub fn is_object_with_members(json: &[u8]) -> bool {
    let inside = json.trim_ascii_start().strip_prefix(b"{").unwrap_or(b"}");
    inside.trim_ascii_start().first().is_some_and(|byte| *byte != b'}')
}

/// All columns of a row, the last of equal names.
#[must_use]
pub fn column_map(object: &[u8]) -> BTreeMap<String, Option<String>> {
    let owned = |member: DataMember<'_>| {
        (member.name.into_owned(), member.value.map(std::borrow::Cow::into_owned))
    };
    DataReader::new(object).map(owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(object: &str) -> Vec<(String, Option<String>)> {
        let reader = DataReader::new(object.as_bytes());
        let owned = |member: DataMember<'_>| {
            (member.name.into_owned(), member.value.map(std::borrow::Cow::into_owned))
        };
        reader.map(owned).collect()
    }

    #[test]
    fn values_have_the_text_that_tables_keep() {
        for (json, text) in [
            (r#""""#, Some("")),
            (r#""口红""#, Some("口红")),
            (r#""a\"b\n\u53e3\uD83D\uDE00""#, Some("a\"b\n口😀")),
            (r#""\ud800!""#, Some("\u{fffd}!")),
            (r#""null""#, Some("null")),
            ("80.00", Some("80.00")),
            ("-1.0E10", Some("-1.0E10")),
            ("18446744073709551615", Some("18446744073709551615")),
            ("true", Some("true")),
            ("false", Some("false")),
            ("null", None),
            (r#"{"a": [1, "\u0041"]}"#, Some(r#"{"a": [1, "\u0041"]}"#)),
            ("[ ]", Some("[ ]")),
        ] {
            let object = format!("{{ \"n\\u0061me\" : {json} ,\"z\":1}}");
            let expected = [
                ("name".to_owned(), text.map(str::to_owned)),
                ("z".to_owned(), Some("1".to_owned())),
            ];
            assert_eq!(members(&object), expected, "{json}");
        }
    }

    #[test]
    fn plain_members_are_borrowed() {
        let object = br#"{"id":7001,"sku_name":"Demo phone"}"#;
        for member in DataReader::new(object) {
            assert!(matches!(member.name, Cow::Borrowed(_)), "{member:?}");
            assert!(matches!(member.value, Some(Cow::Borrowed(_))), "{member:?}");
        }
    }

    #[test]
    fn doubles_come_one_by_one_and_the_last_is_in_the_map() {
        let object = r#"{"a":1,"b":null,"\u0061":"2","b":3}"#;
        let names: Vec<String> = members(object).into_iter().map(|(name, _value)| name).collect();
        assert_eq!(names, ["a", "b", "a", "b"]);
        let map = column_map(object.as_bytes());
        let expected = [("a", "2"), ("b", "3")];
        let expected = expected.map(|(name, value)| (name.to_owned(), Some(value.to_owned())));
        assert_eq!(map, BTreeMap::from(expected));
    }

    #[test]
    fn what_is_no_object_ends_early() {
        for (object, count) in [
            ("", 0),
            ("{}", 0),
            ("[1]", 0),
            ("null", 0),
            ("7", 0),
            (r#"{"a":1"#, 1),
            (r#"{"a":1,"b"}"#, 1),
            (r#"{"a":1 "b":2}"#, 1),
            (r#"{"a":tru}"#, 0),
        ] {
            assert_eq!(members(object).len(), count, "{object}");
        }
        assert_eq!(DataReader::new(b"{\"a\":\"\xff\"}").count(), 0);
    }

    #[test]
    fn an_object_without_members_is_told() {
        for (json, expected) in [
            (r#"{"a":null}"#, true),
            (" {\n\t\"\":1}", true),
            ("{}", false),
            ("{ \n}", false),
            ("[]", false),
            ("[1]", false),
            (r#""{a""#, false),
            ("7", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(is_object_with_members(json.as_bytes()), expected, "{json}");
        }
    }
}
