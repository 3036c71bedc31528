//! Tests of the scanner: what it takes, what it refuses, and where it stops.

use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;

use super::*;

/// Whether the scanner takes the text as one value.
fn accepts(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.skip().and_then(|()| scanner.finish()).is_ok()
}

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn depth_ends_at_the_limit() {
    for (text, accepted) in [
        (nested("[", "]", DEPTH_MAX), true),
        (nested("[", "]", DEPTH_MAX + 1), false),
        (nested("{\"a\":", "}", DEPTH_MAX - 1).replace(":}", ":{}}"), true),
        (nested("{\"a\":", "}", DEPTH_MAX).replace(":}", ":{}}"), false),
        (format!("[{}]", vec!["[]"; 200].join(",")), true),
        (nested("[", "]", 200_000), false),
        (format!("\"{}\"", "[".repeat(200)), true),
    ] {
        assert_eq!(accepts(&text), accepted, "{} bytes", text.len());
    }
}

#[test]
fn a_special_byte_is_found_at_every_place() {
    for special in [b'"', b'\\', 0, 0x1f] {
        for index in 0..16 {
            for filler in [b' ', b'!', b'#', 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut chunk = [filler; 16];
                assert_eq!(first_special(chunk), 16, "{filler}");
                chunk[index] = special;
                assert_eq!(first_special(chunk), index, "{special} in {filler}");
                chunk[index..].fill(special);
                assert_eq!(first_special(chunk), index, "many {special} in {filler}");
            }
        }
    }
}

#[test]
fn the_grammar_is_that_of_serde_json() {
    let texts = [
        "",
        " ",
        "null",
        "nul",
        "nulll",
        "true",
        "false",
        "True",
        "0",
        "-0",
        "00",
        "01",
        "-",
        "-a",
        "1.",
        ".5",
        "1.5",
        "1e",
        "1e5",
        "1E+5",
        "1e-",
        "1.e5",
        "+1",
        "1e999",
        "NaN",
        "\"\"",
        "\"",
        "\"a",
        "\"\\",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\ud800\"",
        "\"\\u00e9\"",
        "\"\u{1}\"",
        "\"a long text, \t with a tab\"",
        "\"\u{7f}\"",
        "\"口红 and more, 口红\"",
        "[]",
        "[,]",
        "[1,]",
        "[1 2]",
        "[1,2",
        "[",
        "]",
        "{}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{\"a\":1 \"b\":2}",
        "{a:1}",
        "{1:1}",
        "{\"a\":1",
        " { \"a\" : [ 1 , 2 ] , \"b\" : { } } ",
        "{}{}",
        "{} x",
        "\u{feff}{}",
        "\u{b}1",
        "\u{a0}1",
        "'a'",
        "/**/1",
        "[1,2]]",
        "{\"a\":1}}",
        "{\"a\":]",
        "[1}",
        "\"\\u000g\"",
    ];
    for text in texts {
        let expected = serde_json::from_str::<IgnoredAny>(text).is_ok();
        assert_eq!(accepts(text), expected, "{text}");
    }
}

/// Pieces that make JSON often enough, and that break it at every seam.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\"a\"",
        "\"a\":",
        "1",
        "0",
        "-",
        ".",
        "e",
        "+",
        " ",
        "\n",
        "null",
        "true",
        "\\",
        "\\u",
        "\\ud83d",
        "00e9",
        "\\n",
        "口",
        "\u{1}",
        "{}",
        "[]",
        "12.5e3",
        "\"longer than a word\"",
        "\"k\":{\"v\":[1,2]}",
    ];
    prop::collection::vec(select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

fn valid() -> impl Strategy<Value = String> {
    const LEAVES: &[&str] = &["1", "-0.5e+3", "null", "\"\"", "\"a\\\\\"", "\"口\\u00e9红\"", "0"];
    select(LEAVES).prop_map(str::to_owned).prop_recursive(6, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" ,\n"))),
            prop::collection::vec(inner, 0..4).prop_map(|values| {
                let members = values.iter().map(|value| format!("\"long name \\n\" :{value}"));
                format!("{{{}\t}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1500,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_serde_json_accepts_is_accepted_and_nothing_else(text in pieces()) {
        prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }

    #[test]
    fn one_character_makes_the_same_difference_as_for_serde_json(
        text in valid(), index: prop::sample::Index, other in select(&['"', '\\', ',', '}', ']', '0', 'x', '\u{2}', ' '][..]),
    ) {
        prop_assert!(accepts(&text));
        let mut characters: Vec<char> = text.chars().collect();
        let index = index.index(characters.len());
        characters[index] = other;
        let text: String = characters.into_iter().collect();
        prop_assert_eq!(accepts(&text), serde_json::from_str::<IgnoredAny>(&text).is_ok());
    }
}
