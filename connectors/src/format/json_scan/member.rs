//! Reading the value of a member by the type it should have.
//!
//! A value of another type is stepped over and read as `None`: it ends nothing by itself (warehouse
//! 2.1). Only what is no JSON ends the walk. Texts with escapes are decoded into the caller's
//! arena.

use super::text::{Text, str_of};
use super::{Malformed, Quoted, Scanner, Span};

impl Scanner<'_> {
    /// Whether an object is next.
    #[inline]
    pub(crate) fn at_object(&self) -> Result<bool, Malformed> {
        Ok(self.peek()? == b'{')
    }

    /// Steps over the value that is next and tells where it stood, unless it is `null`.
    #[inline]
    pub(crate) fn not_null(&mut self) -> Result<Option<Span>, Malformed> {
        let null = self.peek()? == b'n';
        Ok(Some(self.skip_spanned()?).filter(|_span| !null))
    }

    /// A text. A string without one (a lone surrogate) is `None`, too.
    #[inline]
    pub(crate) fn text(&mut self, arena: &mut String) -> Result<Option<Text>, Malformed> {
        if self.peek()? != b'"' {
            self.skip_any()?;
            return Ok(None);
        }
        let quoted = self.string()?;
        Ok(Text::of(quoted, self.value(), arena))
    }
}

/// What `of` makes of the name that stands in `value` at `quoted`, its escapes decoded. A name that
/// cannot be decoded (a lone surrogate) is given as written: the backslash makes it an unknown one.
#[inline]
pub(crate) fn named<T>(quoted: Quoted, value: &str, of: impl FnOnce(&[u8]) -> T) -> T {
    if quoted.escaped {
        return of(decoded_name(quoted.inner, value).as_bytes());
    }
    of(quoted.inner.of(value.as_bytes()))
}

/// A known name is short and an escape in it is rare: the allocation does no harm.
#[cold]
fn decoded_name(inner: Span, value: &str) -> String {
    let written = str_of(value, inner);
    let mut decoded = String::new();
    if super::text::unescape(written, &mut decoded) { decoded } else { written.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_type_is_none_and_stepped_over() {
        for (json, text, integer, not_null) in [
            (r#""a\u0062""#, Some("ab"), None, true),
            (r#""""#, Some(""), None, true),
            (r#""\ud800""#, None, None, true),
            ("7", None, Some(7), true),
            ("-0", None, None, true),
            ("7.0", None, None, true),
            ("9223372036854775808", None, None, true),
            ("null", None, None, false),
            ("true", None, None, true),
            ("[null]", None, None, true),
            (r#"{"a":null}"#, None, None, true),
        ] {
            let mut arena = String::new();
            let mut scanner = Scanner::new(json);
            let found = scanner.text(&mut arena).expect("it is JSON");
            assert_eq!(found.map(|found| found.read(json, &arena)), text, "{json}");
            assert!(scanner.finish().is_ok(), "{json}");
            let mut scanner = Scanner::new(json);
            let found = scanner.integer().expect("it is JSON");
            assert_eq!(found.map(|(integer, _token)| integer), integer, "{json}");
            assert!(scanner.finish().is_ok(), "{json}");
            let mut scanner = Scanner::new(json);
            let whole = not_null.then_some(Span { start: 0, end: json.len() });
            assert_eq!(scanner.not_null().expect("it is JSON"), whole, "{json}");
        }
    }

    #[test]
    fn a_name_is_known_however_it_is_spelt() {
        for (name, known) in
            [(r#""ts""#, true), (r#""t\u0073""#, true), (r#""t\ud800""#, false), (r#""TS""#, false)]
        {
            let quoted = Scanner::new(name).string().expect("it is a string");
            assert_eq!(named(quoted, name, |name| name == b"ts"), known, "{name}");
        }
    }
}
