//! Short texts of a record: where they stand, or what their escapes decode to.
//!
//! A text without an escape is a range of the value. One with escapes is decoded into the parser's
//! arena and is a range of that. Which one it is must be remembered with the range: [`Text`].

use engine::batch::Slice;
use engine::batch::build::BatchBuilder;

use super::{Quoted, ShortSpan, Span};

/// A text of the record, in the value or in the arena.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    span: ShortSpan,
    decoded: bool,
}

impl Text {
    /// A text that reads as it is written.
    #[inline]
    pub(crate) fn verbatim(span: Span) -> Self {
        Self { span: span.into(), decoded: false }
    }

    /// The text of a JSON string; `None` when it has no text (a lone surrogate).
    #[inline]
    pub(crate) fn of(quoted: Quoted, value: &str, arena: &mut String) -> Option<Self> {
        if quoted.escaped {
            Self::decoded(quoted, value, arena)
        } else {
            Some(Self::verbatim(quoted.inner))
        }
    }

    #[cold]
    fn decoded(quoted: Quoted, value: &str, arena: &mut String) -> Option<Self> {
        let start = arena.len();
        if !unescape(str_of(value, quoted.inner), arena) {
            arena.truncate(start);
            return None;
        }
        Some(Self { span: Span { start, end: arena.len() }.into(), decoded: true })
    }

    pub(crate) fn is_empty(self) -> bool {
        Span::from(self.span).is_empty()
    }

    #[inline]
    pub(crate) fn read<'a>(self, value: &'a str, arena: &'a str) -> &'a str {
        str_of(if self.decoded { arena } else { value }, self.span.into())
    }
}

impl Text {
    /// Its place in the row under construction, which lies over the record: where it stands, or where
    /// its decoded form was added.
    #[inline(always)]
    pub(crate) fn place(self, rows: &mut BatchBuilder, arena: &str) -> Slice {
        if self.decoded {
            rows.append(str_of(arena, self.span.into()).as_bytes())
        } else {
            self.span.in_row()
        }
    }

    /// Sets slice column `column` of that row to it.
    #[inline]
    pub(crate) fn set(self, column: usize, rows: &mut BatchBuilder, arena: &str) {
        let slice = self.place(rows, arena);
        rows.slice(column, slice);
    }
}

/// A member that tells rows apart by its value, whatever type it has; null is none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Part {
    /// A text (or, where a number is as good, its digits).
    Text(Text),
    /// The JSON of anything else.
    Json(ShortSpan),
}

impl Part {
    /// The text, if it is one.
    pub(crate) const fn text(self) -> Option<Text> {
        match self {
            Self::Text(text) => Some(text),
            Self::Json(_) => None,
        }
    }
}

/// The part of `text` in `span`, both ends of which stand beside an ASCII character.
#[inline]
pub(crate) fn str_of(text: &str, span: Span) -> &str {
    text.get(span.start..span.end).expect("a span ends beside ASCII characters of its own text")
}

/// As [`unescape`], a lone surrogate being read as U+FFFD: for texts that must not be lost.
pub(crate) fn unescape_lossy(inner: &str, out: &mut String) {
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        // A lone surrogate is `uXXXX`: five bytes.
        let lone = || (char::REPLACEMENT_CHARACTER, escape.get(5..).unwrap_or_default());
        let (decoded, after) = one_escape(escape).unwrap_or_else(lone);
        out.push(decoded);
        rest = after;
    }
    out.push_str(rest);
}

/// Appends what the inside of a JSON string decodes to. Says whether it does: a lone surrogate
/// does not, and then `out` holds a part. `inner` must have passed the scanner.
pub(crate) fn unescape(inner: &str, out: &mut String) -> bool {
    let mut rest = inner;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let Some((decoded, after)) = one_escape(escape) else { return false };
        out.push(decoded);
        rest = after;
    }
    out.push_str(rest);
    true
}

/// The character of the escape that `escape` begins with, its backslash taken off, and what
/// follows.
fn one_escape(escape: &str) -> Option<(char, &str)> {
    let mut chars = escape.chars();
    let decoded = match chars.next()? {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => return code_point(chars.as_str()),
        same => same,
    };
    Some((decoded, chars.as_str()))
}

/// The character of `XXXX`, or of `XXXX\uXXXX` where these are a pair of surrogates.
fn code_point(digits: &str) -> Option<(char, &str)> {
    let (unit, rest) = code_unit(digits)?;
    if let Some(decoded) = char::from_u32(unit) {
        return Some((decoded, rest));
    }
    let (low, after) = code_unit(rest.strip_prefix("\\u")?)?;
    if !(0xd800..0xdc00).contains(&unit) || !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let decoded = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))?;
    Some((decoded, after))
}

fn code_unit(digits: &str) -> Option<(u32, &str)> {
    let (unit, rest) = digits.split_at_checked(4)?;
    Some((u32::from_str_radix(unit, 16).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn unescaped(inner: &str) -> Option<String> {
        let mut out = String::new();
        unescape(inner, &mut out).then_some(out)
    }

    #[test]
    fn escapes_are_decoded() {
        for (inner, decoded) in [
            ("", Some("")),
            ("mid_4\\u0031", Some("mid_41")),
            ("\\\"\\\\\\/\\b\\f\\n\\r\\t", Some("\"\\/\u{8}\u{c}\n\r\t")),
            ("口\\u7ea2", Some("口红")),
            ("\\ud83d\\ude00!", Some("😀!")),
            ("\\uDBFF\\uDFFF", Some("\u{10ffff}")),
            ("\\ud800", None),
            ("\\ud800x", None),
            ("\\ud800\\n", None),
            ("\\ud800\\u0041", None),
            ("\\ud800\\ud800", None),
            ("a\\udc00", None),
            ("\\udc00\\udc00", None),
        ] {
            assert_eq!(unescaped(inner).as_deref(), decoded, "{inner}");
        }
    }

    #[test]
    fn a_lone_surrogate_is_replaced_where_a_text_must_not_be_lost() {
        for (inner, decoded) in [
            ("a\\ud800", "a\u{fffd}"),
            ("\\ud800x", "\u{fffd}x"),
            ("\\ud800\\n", "\u{fffd}\n"),
            ("\\ud800\\u0041", "\u{fffd}A"),
            ("\\ud800\\ud83d\\ude00", "\u{fffd}😀"),
            ("\\udc00\\udc00", "\u{fffd}\u{fffd}"),
        ] {
            let mut out = String::new();
            unescape_lossy(inner, &mut out);
            assert_eq!(out, decoded, "{inner}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 500,
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn texts_are_decoded_as_by_serde_json(
            pieces in prop::collection::vec(select(&[
                "a", "口", "\\n", "\\\\", "\\\"", "\\/", "\\u0000", "\\u00e9", "\\uD83D", "\\ude00",
                "\\ud83d\\ude00", "\\uffff", "u0031",
            ][..]), 0..6),
        ) {
            let inner = pieces.concat();
            let expected = serde_json::from_str::<String>(&format!("\"{inner}\"")).ok();
            prop_assert_eq!(unescaped(&inner), expected);
        }
    }
}
