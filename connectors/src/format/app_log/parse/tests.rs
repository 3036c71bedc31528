//! Tests of the parser: the rules in their order, and nasty records.

use super::super::DEPTH_MAX;
use super::*;

const COMMON: &str = r#""common":{"mid":"m","is_new":"1"}"#;
const REST: &str = r#""page":{},"ts":1"#;

fn reason(value: &[u8]) -> &'static str {
    AppLogParser::default().parse(value).err().map_or("none", Dirty::as_str)
}

/// `@` stands for a good `common`, `$` for a good page and ts.
fn full(pattern: &str) -> String {
    pattern.replace('@', COMMON).replace('$', REST)
}

#[test]
fn the_first_reason_in_the_order_of_the_table_holds() {
    for (value, expected) in [
        ("", "not_object"),
        (" \t\r\n", "not_object"),
        ("hello", "not_object"),
        ("null", "not_object"),
        ("7", "not_object"),
        (r#""{}""#, "not_object"),
        ("[{}]", "not_object"),
        (r#"{"common":{"mid":"mid_41","is_n"#, "not_object"),
        ("{@,$}x", "not_object"),
        ("{@,$}{@,$}", "not_object"),
        ("{@,$,}", "not_object"),
        ("\u{feff}{@,$}", "not_object"),
        ("{@,$,\"x\":\"a\tb\"}", "not_object"),
        (" {@,$} \r\n", "none"),
        ("{}", "no_common"),
        ("{$}", "no_common"),
        (r#"{"common":null,$}"#, "no_common"),
        (r#"{"common":"mid",$}"#, "no_common"),
        (r#"{"common":[{"mid":"m"}],$}"#, "no_common"),
        (r#"{"common":7,"ts":"x"}"#, "no_common"),
        (r#"{"common":{},$}"#, "no_mid"),
        (r#"{"common":{"mid":null},$}"#, "no_mid"),
        (r#"{"common":{"mid":""},$}"#, "no_mid"),
        (r#"{"common":{"mid":true},$}"#, "no_mid"),
        (r#"{"common":{"mid":["m"]},$}"#, "no_mid"),
        (r#"{"common":{"mid":{"mid":"m"}},$}"#, "no_mid"),
        (r#"{"common":{"mid":"\ud800"},$}"#, "no_mid"),
        (r#"{"common":{}}"#, "no_mid"),
        (r#"{"mid":"m","common":{},$}"#, "no_mid"),
        (r#"{"common":{"mid":41},$}"#, "none"),
        (r#"{@,"page":{}}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":null}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":"1651287600000"}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":1651287600000.0}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":1e12}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":-1}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":-0}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":9223372036854775808}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":[1]}"#, "bad_ts"),
        (r#"{@,"page":{},"ts":true}"#, "bad_ts"),
        ("{@}", "bad_ts"),
        (r#"{@,"page":{},"ts":0}"#, "none"),
        (r#"{@,"page":{},"ts":9223372036854775807}"#, "none"),
        (r#"{@,"ts":1}"#, "no_main"),
        (r#"{@,"ts":1,"err":null}"#, "no_main"),
        (r#"{@,"ts":1,"start":null,"page":"home"}"#, "no_main"),
        (r#"{@,"ts":1,"start":[],"page":7}"#, "no_main"),
        (r#"{@,"ts":1,"start":{}}"#, "none"),
        (r#"{@,"ts":1,"err":0}"#, "none"),
        (r#"{@,"ts":1,"err":false}"#, "none"),
    ] {
        assert_eq!(reason(full(value).as_bytes()), expected, "{value}");
    }
}

#[test]
fn the_last_of_equal_names_wins_at_every_level() {
    for (value, expected) in [
        (r#"{"common":7,@,$}"#, "none"),
        (r#"{@,"common":7,$}"#, "no_common"),
        (r#"{@,"common":{},$}"#, "no_mid"),
        (r#"{"common":{"mid":"","mid":"m"},$}"#, "none"),
        (r#"{"common":{"mid":"m","mid":7},$}"#, "none"),
        (r#"{"common":{"mid":"m","mid":null},$}"#, "no_mid"),
        (r#"{"common":{"mid":"m","m\u0069d":null},$}"#, "no_mid"),
        (r#"{@,$,"ts":"x"}"#, "bad_ts"),
        (r#"{@,$,"t\u0073":"x"}"#, "bad_ts"),
        (r#"{@,"ts":"x",$}"#, "none"),
        (r#"{@,$,"page":null}"#, "no_main"),
        (r#"{@,$,"err":1,"err":null,"page":null}"#, "no_main"),
        (r#"{@,$,"start":{},"page":null,"start":0,"err":1}"#, "none"),
    ] {
        assert_eq!(reason(full(value).as_bytes()), expected, "{value}");
    }
}

#[test]
fn utf_8_is_checked_everywhere() {
    for pattern in [
        r#"{@,$,"x":"?"}"#,
        r#"{@,$,"?":1}"#,
        r#"{@,$,"x":[{"y":"?"}]}"#,
        r#"{@,$,"x":1?}"#,
        r#"{@,$,"x":"\?"}"#,
        r#"{@,$,"x":"\u00?0"}"#,
        "?",
        "{@,$}?",
    ] {
        let value = full(pattern).into_bytes();
        for bad in [0xff, 0x80, 0xc3, 0xed] {
            let spoilt: Vec<u8> =
                value.iter().map(|byte| if *byte == b'?' { bad } else { *byte }).collect();
            assert_eq!(reason(&spoilt), "not_object", "{pattern} {bad:x}");
        }
    }
    // A surrogate written in UTF-8, and a character written longer than it is.
    for bad in [&b"\xed\xa0\x80"[..], b"\xc0\xaf", b"\xf5\x80\x80\x80"] {
        let value = [full("{@,$,\"x\":\"").as_bytes(), bad, b"\"}"].concat();
        assert_eq!(reason(&value), "not_object", "{bad:?}");
    }
}

#[test]
fn utf_8_is_checked_at_every_place_of_a_long_record() {
    let long = full(&format!(r#"{{@,$,"x":"{}"}}"#, "0123456789abcdef".repeat(12)));
    for at in 0..long.len() {
        for bad in [0xff, 0x80, 0xe2] {
            let mut spoilt = long.clone().into_bytes();
            spoilt[at] = bad;
            assert_eq!(reason(&spoilt), "not_object", "{bad:x} at {at}");
        }
    }
    for (character, before) in
        ["é", "口", "😀"].into_iter().flat_map(|c| (0..140).map(move |n| (c, n)))
    {
        let value = full(&format!(r#"{{"x":"{}{character}",@,$}}"#, "y".repeat(before)));
        assert_eq!(reason(value.as_bytes()), "none", "{character} behind {before}");
        let start = value.find(character).expect("it was put in");
        for missing in start..start + character.len() {
            let mut cut = value.clone().into_bytes();
            cut.remove(missing);
            assert_eq!(reason(&cut), "not_object", "{character} less {missing} behind {before}");
        }
    }
}

#[test]
fn depth_counts_from_the_record_itself() {
    for (levels, expected) in [(DEPTH_MAX, "none"), (DEPTH_MAX + 1, "not_object")] {
        let inner = levels - 1;
        let arrays = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
        let objects = format!("{}1{}", "{\"a\":".repeat(inner), "}".repeat(inner));
        for deep in [arrays, objects] {
            assert_eq!(reason(full(&format!("{{@,$,\"x\":{deep}}}")).as_bytes()), expected);
            assert_eq!(reason(full(&format!("{{\"x\":{deep},@,$}}")).as_bytes()), expected);
        }
        let inner = inner - 1;
        let page = format!("{}{}", "[".repeat(inner), "]".repeat(inner));
        let value = full(&format!("{{@,\"ts\":1,\"page\":{{\"item\":{page}}}}}"));
        assert_eq!(reason(value.as_bytes()), expected);
    }
    assert_eq!(reason("[".repeat(1_000_000).as_bytes()), "not_object");
    assert_eq!(reason("{\"a\":".repeat(1_000_000).as_bytes()), "not_object");
}

#[test]
fn the_grammar_is_all_that_is_asked_of_unknown_members() {
    for value in [
        r#"{@,$,"x":"\ud800"}"#,
        r#"{@,$,"\udc00":1}"#,
        r#"{@,$,"x":1e999}"#,
        r#"{@,$,"x":123456789012345678901234567890}"#,
        r#"{@,$,"\ud800mid":[]}"#,
    ] {
        assert_eq!(reason(full(value).as_bytes()), "none", "{value}");
    }
}

/// The text of a member of `common` and of one of `page`, both with this value.
fn texts(value: &str) -> [Option<String>; 5] {
    let record = format!(
        r#"{{"common":{{"mid":"m","vc":{value},"uid":{value}}},"ts":1,
            "page":{{"item":{value},"last_page_id":{value},"pag\u0065_id":{value}}}}}"#
    );
    let mut parser = AppLogParser::default();
    let log = parser.parse(record.as_bytes()).expect("a clean record");
    [log.vc(), log.uid(), log.item(), log.last_page_id(), log.page_id()]
        .map(|text| text.map(str::to_owned))
}

#[test]
fn texts_are_decoded_and_other_types_are_absent() {
    for (value, text, id) in [
        (r#""v2.1.134""#, Some("v2.1.134"), Some("v2.1.134")),
        (r#""""#, Some(""), Some("")),
        (r#""口\u7ea2""#, Some("口红"), Some("口红")),
        (r#""\ud800""#, None, None),
        ("null", None, None),
        ("17", None, Some("17")),
        ("-1.50e3", None, Some("-1.50e3")),
        ("true", None, None),
        (r#"["a"]"#, None, None),
        (r#"{"vc":"a"}"#, None, None),
    ] {
        let (text, id) = (text.map(str::to_owned), id.map(str::to_owned));
        let expected = [text.clone(), id.clone(), text.clone(), id, text];
        assert_eq!(texts(value), expected, "{value}");
    }
}

#[test]
fn the_key_is_the_decoded_mid_or_the_text_of_its_number() {
    for (mid, key) in [
        (r#""mid_41""#, "mid_41"),
        (r#""mid_4\u0031""#, "mid_41"),
        ("41", "41"),
        ("41.0", "41.0"),
        ("1E5", "1E5"),
        (r#"" ""#, " "),
    ] {
        let record = full(&format!("{{\"common\":{{\"mid\":{mid}}},$}}"));
        let mut parser = AppLogParser::default();
        let log = parser.parse(record.as_bytes()).expect("a clean record");
        assert_eq!((log.mid(), log.ts()), (key, 1), "{mid}");
    }
}

#[test]
fn is_new_is_one_of_two_texts_or_bad() {
    for (value, expected) in [
        (r#""0""#, IsNew::Zero),
        (r#""1""#, IsNew::One),
        (r#""\u0030""#, IsNew::Zero),
        (r#""\u0031""#, IsNew::One),
        (r#""2""#, IsNew::Other),
        (r#""01""#, IsNew::Other),
        (r#""""#, IsNew::Other),
        ("0", IsNew::Other),
        ("1", IsNew::Other),
        ("true", IsNew::Other),
        ("null", IsNew::Other),
        (r#"["1"]"#, IsNew::Other),
        (r#""1","is_new":7"#, IsNew::Other),
        (r#"7,"is_new":"1""#, IsNew::One),
    ] {
        let record = full(&format!("{{\"common\":{{\"mid\":1,\"is_new\":{value}}},$}}"));
        let mut parser = AppLogParser::default();
        let log = parser.parse(record.as_bytes()).expect("a clean record");
        assert_eq!(log.is_new(), expected, "{value}");
        assert_eq!(log.is_new_token().is_some(), expected != IsNew::Other, "{value}");
    }
}

#[test]
fn during_time_is_an_integer_or_absent() {
    for (value, expected) in [
        ("8100", Some(8100)),
        ("-5", Some(-5)),
        ("-0", None),
        ("8100.0", None),
        ("8e3", None),
        (r#""8100""#, None),
        ("null", None),
        ("9223372036854775808", None),
    ] {
        let record = full(&format!("{{@,\"ts\":1,\"page\":{{\"during_time\":{value}}}}}"));
        let mut parser = AppLogParser::default();
        let log = parser.parse(record.as_bytes()).expect("a clean record");
        assert_eq!(log.during_time(), expected, "{value}");
    }
}

#[test]
fn kinds_and_bad_members_are_told() {
    use Main::{None, Page, Start};
    for (rest, main, both, bad) in [
        (r#""start":{}"#, Start, false, 0),
        (r#""page":{}"#, Page, false, 0),
        (r#""err":{}"#, None, false, 0),
        (r#""start":{},"page":{}"#, Start, true, 0),
        (r#""start":null,"page":{}"#, Page, false, 0),
        (r#""start":{},"page":null"#, Start, false, 0),
        (r#""page":{},"displays":[]"#, Page, false, 0),
        (r#""page":{},"displays":null"#, Page, false, 1),
        (r#""page":{},"displays":{},"actions":"x""#, Page, false, 2),
        (r#""page":{},"displays":[1,{},"x",[],{}],"actions":[null]"#, Page, false, 4),
        (r#""page":{},"displays":[1,2],"displays":[{}]"#, Page, false, 0),
        (r#""page":{},"displays":[{}],"displays":7"#, Page, false, 1),
        (r#""start":{},"displays":7,"actions":[1]"#, Start, false, 0),
        (r#""start":{},"page":{},"displays":7,"actions":[1]"#, Start, true, 0),
        (r#""err":{},"displays":7,"actions":[1]"#, None, false, 0),
    ] {
        let record = full(&format!("{{@,{rest},\"ts\":1}}"));
        let mut parser = AppLogParser::default();
        let log = parser.parse(record.as_bytes()).expect("a clean record");
        assert_eq!(
            (log.main(), log.start_and_page(), log.bad_members()),
            (main, both, bad),
            "{rest}"
        );
    }
}

#[test]
fn nothing_of_a_record_is_left_for_the_next() {
    let rich = full(
        r#"{"common":{"mid":"m\u0031","uid":"\u0031","vc":"v","is_new":"1"},"start":{},"err":1,
            "displays":[1,{}],"actions":[{}],"page":{"item":"i"},"ts":5}"#,
    );
    let plain = full(r#"{"common":{"mid":"n"},"page":{},"ts":6}"#);
    let mut parser = AppLogParser::default();
    for _round in 0..2 {
        assert!(parser.parse(rich.as_bytes()).is_ok_and(|log| log.mid() == "m1"));
        assert_eq!(parser.parse(b"{").err(), Some(Dirty::NotObject));
        assert_eq!(parser.parse(b"{}").err(), Some(Dirty::NoCommon));
        let log = parser.parse(plain.as_bytes()).expect("a clean record");
        assert_eq!((log.mid(), log.ts(), log.main()), ("n", 6, Main::Page));
        assert_eq!(
            (log.uid(), log.vc(), log.item(), log.is_new()),
            (None, None, None, IsNew::Other)
        );
        assert_eq!((log.displays().len(), log.actions().len(), log.bad_members()), (0, 0, 0));
        assert!(!log.has_err() && log.reading.main_cuts.is_empty());
    }
}
