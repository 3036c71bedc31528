//! Tests of the scanner: what it takes, what it refuses, and where it stops.

use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;

use super::quoted::{first_marked, specials};
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
        for index in 0..8 {
            for filler in [b' ', b'!', b'#', 0x5b, 0x5d, 0x7f, 0x80, 0xa2, 0xdc, 0xff] {
                let mut chunk = [filler; 8];
                assert_eq!(first_marked(specials(chunk)), 8, "{filler}");
                chunk[index] = special;
                assert_eq!(first_marked(specials(chunk)), index, "{special} in {filler}");
                chunk[index..].fill(special);
                assert_eq!(first_marked(specials(chunk)), index, "many {special} in {filler}");
            }
        }
    }
}

#[test]
fn these_bytes_are_special_and_no_others() {
    for byte in 0..=u8::MAX {
        let special = matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let mut word = [byte; 8];
        assert_eq!(first_marked(specials(word)), if special { 0 } else { 8 }, "{byte}");
        word = *b"        ";
        word[5] = byte;
        assert_eq!(first_marked(specials(word)), if special { 5 } else { 8 }, "{byte}");
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

/// The text that the scanner reads at the beginning of an array, if that is JSON.
fn first_text(json: &str) -> Option<Option<String>> {
    let (mut scanner, mut arena) = (Scanner::new(json), String::new());
    scanner.enter().ok()?;
    scanner.next_item(true).ok()?;
    let text = scanner.text(&mut arena).ok()?.map(|text| text.read(json, &arena).to_owned());
    while scanner.next_item(false).ok()? {
        scanner.skip().ok()?;
    }
    scanner.finish().ok()?;
    Some(text)
}

#[test]
fn strings_of_every_length_with_something_at_every_place_are_those_of_serde_json() {
    let somethings =
        ["", "x", "é", "口", "\u{1f}", "\0", "\\n", "\\", "\\u0041", "\\q", "\"", "\"]"];
    for length in 0..36 {
        for (place, something) in (0..=length).flat_map(|at| somethings.map(|it| (at, it))) {
            for rest in ["\"]", "\",\"a longer text behind it\"]", "\"", "\",2]", ""] {
                let (before, after) = ("a".repeat(place), "b".repeat(length - place));
                let json = format!("[\"{before}{something}{after}{rest}");
                let expected = serde_json::from_str::<Vec<serde_json::Value>>(&json).ok();
                let expected = expected.map(|items| items[0].as_str().map(str::to_owned));
                assert_eq!(first_text(&json), expected, "{json:?}");
            }
        }
    }
}

/// The integer that the scanner reads as the only element of an array, if that is JSON.
fn only_integer(json: &str) -> Option<Option<i64>> {
    let mut scanner = Scanner::new(json);
    scanner.enter().ok()?;
    if !scanner.next_item(true).ok()? {
        return None;
    }
    let start = scanner.at();
    let found = scanner.integer().ok()?;
    if let Some((_integer, token)) = found {
        assert_eq!(token, Span { start, end: scanner.at() }, "{json}");
    }
    if scanner.next_item(false).ok()? {
        return None;
    }
    scanner.finish().ok()?;
    Some(found.map(|(integer, _token)| integer))
}

#[test]
fn integers_of_every_length_are_those_of_serde_json() {
    let mut numbers: Vec<String> = [
        "0",
        "00",
        "01",
        "-",
        "-0",
        "-1",
        "-01",
        "1.",
        "1.0",
        "1e3",
        "1E",
        "0.5",
        "0e1",
        "12-",
        "1+",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "x",
        "1x",
    ]
    .map(str::to_owned)
    .into();
    for length in 1..24 {
        for digit in ["9", "1", "0"] {
            numbers.push(digit.repeat(length));
            numbers.push(format!("1{}", digit.repeat(length)));
            numbers.push(format!("-{}", digit.repeat(length)));
        }
    }
    for number in &numbers {
        for end in ["]", " ]", "", " ", ",", ".5]", "e1]", "e]", "}", "a]", "/]", ":]", ",1]", "]]"]
        {
            let json = format!("[{number}{end}");
            let valid = serde_json::from_str::<[IgnoredAny; 1]>(&json).is_ok();
            let expected = valid.then(|| serde_json::from_str::<[i64; 1]>(&json).ok());
            let expected = expected.map(|integer| integer.map(|[integer]| integer));
            assert_eq!(only_integer(&json), expected, "{json}");
            let valid = serde_json::from_str::<IgnoredAny>(&json).is_ok();
            assert_eq!(accepts(&json), valid, "{json}");
        }
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
