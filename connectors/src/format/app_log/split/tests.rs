//! Tests of the split: every form of every piece.

use super::super::{AppLogParser, IsNew};
use super::*;

/// Everything that a record gives, one line each: `E`, `M`, `D` or `A`, then the bytes. A main
/// record that is the value itself is `M =`.
fn lines(value: &str, repair: bool, options: SplitOptions) -> Vec<String> {
    let mut parser = AppLogParser::default();
    let log = parser.parse(value.as_bytes()).expect("a clean record");
    let mut layout = Vec::new();
    log.write_layout(&mut layout);
    let layout = Layout::read(&layout);
    let repaired = repair && log.is_new() == IsNew::One;
    let mut endings = Endings::default();
    let split = Split::new(value.as_bytes(), layout, repaired, options, &mut endings);
    let mut lines = Vec::new();
    let mut line = |mark: &str, write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = mark.as_bytes().to_vec();
        write(&mut out);
        lines.push(String::from_utf8(out).expect("copied from text"));
    };
    if layout.has_err() {
        line("E ", &|out| split.write_error(out));
    }
    for element in layout.displays() {
        line("D ", &|out| split.write_display(element, out));
    }
    for element in layout.actions() {
        line("A ", &|out| split.write_action(element, out));
    }
    if layout.main() == Main::None {
        line("", &|out| split.write_main(out));
        assert_eq!(lines.pop().as_deref(), Some(""), "there is no main record");
    } else if split.is_main_plain() {
        line("M =", &|_out| {});
    } else {
        line("M ", &|out| split.write_main(out));
    }
    lines
}

/// Checks the outputs of a record, in which `@` stands for a good `common`, as in the outputs.
fn check(value: &str, options: SplitOptions, expected: &[&str]) {
    const COMMON: &str = r#""common":{"mid":"m","is_new":"1"}"#;
    let full = |text: &str| text.replace('@', COMMON);
    let expected: Vec<String> = expected.iter().map(|line| full(line)).collect();
    assert_eq!(lines(&full(value), false, options), expected, "{value}");
}

const DEFAULT: SplitOptions = SplitOptions {
    shape: Shape::Nested,
    flat_clash: FlatClash::Element,
    err: ErrForm::Whole,
    action_ts: ActionTs::Own,
};
const WRAPPED: SplitOptions = SplitOptions { shape: Shape::Wrapped, ..DEFAULT };
const FLAT: SplitOptions = SplitOptions { shape: Shape::Flat, ..DEFAULT };

#[test]
fn the_reference_record_gives_the_reference_outputs() {
    let common = r#"{"ar":"330000","ba":"Xiaomi","ch":"oppo","is_new":"1","md":"Xiaomi 10 Pro","mid":"mid_41","os":"Android 11.0","uid":"88","vc":"v2.1.134"}"#;
    let page = r#"{"during_time":9000,"item":"12","item_type":"sku_id","last_page_id":"home","page_id":"good_detail","source_type":"promotion"}"#;
    let action = r#"{"action_id":"favor_add","item":"12","item_type":"sku_id","ts":1651287612500"#;
    let value =
        format!(r#"{{"actions":[{action}}}],"common":{common},"page":{page},"ts":1651287609100}}"#);
    for (repair, common) in [(false, common.to_owned()), (true, common.replace("\"1\"", "\"0\""))] {
        let expected = [
            format!(r#"A {action},"common":{common},"page":{page}}}"#),
            format!(r#"M {{"common":{common},"page":{page},"ts":1651287609100}}"#),
        ];
        assert_eq!(lines(&value, repair, DEFAULT), expected);
    }
}

#[test]
fn each_kind_of_record_gives_its_outputs() {
    for (value, expected) in [
        (r#"{@,"start":{},"ts":1}"#, &["M ="][..]),
        (r#"{@,"page":{},"ts":1}"#, &["M ="]),
        (
            r#"{@,"err":{"c":1},"start":{},"ts":1}"#,
            &[r#"E {@,"err":{"c":1},"start":{},"ts":1}"#, r#"M {@,"start":{},"ts":1}"#],
        ),
        (r#"{@,"err":{"c":1},"ts":1}"#, &[r#"E {@,"err":{"c":1},"ts":1}"#]),
        (r#"{@,"err":null,"page":{},"ts":1}"#, &["M ="]),
        // A start record keeps its page, displays and actions, good or bad.
        (r#"{@,"start":{},"page":{},"displays":[{}],"actions":7,"ts":1}"#, &["M ="]),
        (r#"{@,"err":7,"displays":[7,{}],"ts":1}"#, &[r#"E {@,"err":7,"displays":[7,{}],"ts":1}"#]),
        (
            r#"{@,"page":{"p":1},"displays":[{"a":1},{}],"actions":[{"b":1,"ts":2}],"ts":1,"err":0}"#,
            &[
                r#"E {@,"page":{"p":1},"displays":[{"a":1},{}],"actions":[{"b":1,"ts":2}],"ts":1,"err":0}"#,
                r#"D {"a":1,@,"page":{"p":1},"ts":1}"#,
                r#"D {@,"page":{"p":1},"ts":1}"#,
                r#"A {"b":1,"ts":2,@,"page":{"p":1}}"#,
                r#"M {@,"page":{"p":1},"ts":1}"#,
            ],
        ),
    ] {
        check(value, DEFAULT, expected);
    }
}

#[test]
fn members_are_cut_wherever_they_stand() {
    for (value, main) in [
        (r#"{"displays":[],@,"page":{},"ts":1}"#, r#"M {@,"page":{},"ts":1}"#),
        (r#"{@,"displays":[],"page":{},"ts":1}"#, r#"M {@,"page":{},"ts":1}"#),
        (r#"{@,"page":{},"ts":1,"displays":[]}"#, r#"M {@,"page":{},"ts":1}"#),
        (
            r#"{"displays":[],"actions":[],@,"displays":[],"page":{},"ts":1,"actions":[],"displays":[]}"#,
            r#"M {@,"page":{},"ts":1}"#,
        ),
        (
            r#"{ "displays" : [ ] , @ , "page":{} , "act\u0069ons" : [ ]  , "ts": 1.0, "ts" : 1 , "displays":[]	}"#,
            r#"M { @ , "page":{} , "ts": 1.0, "ts" : 1	}"#,
        ),
        (r#"{@,"page":{},"ts":1,"displays":7}"#, r#"M {@,"page":{},"ts":1}"#),
    ] {
        check(value, DEFAULT, &[main]);
    }
}

#[test]
fn what_is_bad_is_dropped_from_the_error_record_too() {
    let page = r#"M {@,"err":7,"page":{},"ts":1}"#.replace(r#""err":7,"#, "");
    for (value, error) in [
        (r#"{@,"err":7,"page":{},"ts":1,"displays":7}"#, r#"E {@,"err":7,"page":{},"ts":1}"#),
        (
            r#"{"displays":[1],@,"err":7,"page":{},"ts":1}"#,
            r#"E {"displays":[],@,"err":7,"page":{},"ts":1}"#,
        ),
        (
            r#"{"actions":null,"displays":[1,2],"actions":7,@,"err":7,"page":{},"ts":1}"#,
            r#"E {"displays":[],@,"err":7,"page":{},"ts":1}"#,
        ),
    ] {
        check(value, DEFAULT, &[error, page.as_str()]);
    }
    for (list, kept) in [
        ("[1,{},{}]", "[{},{}]"),
        ("[{},1,{}]", "[{},{}]"),
        ("[{},{},1]", "[{},{}]"),
        ("[1,2,{},3,4,{},5,6]", "[{},{}]"),
        ("[ 1 , {} , 2 ,\t{} , 3 , 4 ]", "[ {} , {} ]"),
    ] {
        let value = format!(r#"{{@,"err":7,"page":{{}},"ts":1,"actions":{list}}}"#);
        let error = format!(r#"E {{@,"err":7,"page":{{}},"ts":1,"actions":{kept}}}"#);
        let action = r#"A {@,"page":{}}"#;
        check(&value, DEFAULT, &[error.as_str(), action, action, page.as_str()]);
    }
    // Another displays before the bad one must not come to light, but before a good one it may
    // stay: the good one is the last and wins.
    check(
        r#"{"displays":[{}],@,"err":7,"page":{},"ts":1,"displays":7}"#,
        DEFAULT,
        &[r#"E {@,"err":7,"page":{},"ts":1}"#, page.as_str()],
    );
    check(
        r#"{"displays":7,@,"err":7,"page":{},"ts":1,"displays":[1]}"#,
        DEFAULT,
        &[r#"E {"displays":7,@,"err":7,"page":{},"ts":1,"displays":[]}"#, page.as_str()],
    );
}

#[test]
fn the_patch_is_in_every_output() {
    for token in [r#""1""#, r#""\u0031""#] {
        let value = format!(
            r#"{{"common":{{"is_new": "1" ,"mid":1,"is_new": {token} }},"page":{{}},"ts":1,"err":{{}},
                "displays":[{{"is_new":"1"}}],"actions":[{{}}]}}"#
        );
        for shape in [Shape::Nested, Shape::Wrapped, Shape::Flat] {
            for line in lines(&value, true, SplitOptions { shape, ..DEFAULT }) {
                let flat_display = shape == Shape::Flat && line.starts_with("D ");
                let patched = r#""is_new": "1" ,"mid":1,"is_new": "0" "#;
                // Flat: members are copied one by one, and the element's is_new wins.
                let patched = match (shape, flat_display) {
                    (Shape::Flat, true) => r#"{"is_new":"1","mid":1,"ts":1}"#,
                    (Shape::Flat, false) if line.starts_with("A ") => {
                        r#"{"is_new": "1","mid":1,"is_new": "0"}"#
                    }
                    _ => patched,
                };
                assert!(line.contains(patched), "{line}");
            }
        }
    }
    let plain = r#"{"common":{"mid":1,"is_new":"1"},"start":{},"ts":1}"#;
    assert_eq!(lines(plain, true, DEFAULT), [format!("M {}", plain.replace("\"1\"", "\"0\""))]);
}

const ELEMENTS: &str = r#"{@,"page":{"item":"p","common":5},"ts":1.0,"ts":1,"displays":[{"item":"d","ts":2,"page":3,"x":4}],"actions":[{"c\u006fmmon":3,"ts":2,"item":"a"}]}"#;

#[test]
fn shapes_and_the_ts_of_an_action() {
    let page = r#""page":{"item":"p","common":5}"#;
    let both = r#""mid":"m","is_new":"1""#;
    let main = "M {@,#,\"ts\":1.0,\"ts\":1}";
    for (options, display, action) in [
        (DEFAULT, r#"{"item":"d","x":4,@,#,"ts":1}"#, r#"{"ts":2,"item":"a",@,#}"#),
        (
            SplitOptions { action_ts: ActionTs::Page, ..DEFAULT },
            r#"{"item":"d","x":4,@,#,"ts":1}"#,
            r#"{"item":"a",@,#,"ts":1}"#,
        ),
        (
            SplitOptions { action_ts: ActionTs::None, ..DEFAULT },
            r#"{"item":"d","x":4,@,#,"ts":1}"#,
            r#"{"item":"a",@,#}"#,
        ),
        (
            WRAPPED,
            r#"{"display":{"item":"d","ts":2,"page":3,"x":4},@,#,"ts":1}"#,
            r#"{"action":{"c\u006fmmon":3,"ts":2,"item":"a"},@,#,"ts":1}"#,
        ),
        (
            FLAT,
            r#"{"item":"d","page":3,"x":4,&,"common":5,"ts":1}"#,
            r#"{"c\u006fmmon":3,"ts":2,"item":"a",&}"#,
        ),
        (
            SplitOptions { flat_clash: FlatClash::Page, action_ts: ActionTs::Page, ..FLAT },
            r#"{"page":3,"x":4,&,"item":"p","common":5,"ts":1}"#,
            r#"{&,"item":"p","common":5,"ts":1}"#,
        ),
        (
            SplitOptions { action_ts: ActionTs::None, ..FLAT },
            r#"{"item":"d","page":3,"x":4,&,"common":5,"ts":1}"#,
            r#"{"c\u006fmmon":3,"item":"a",&}"#,
        ),
    ] {
        let line = |mark: &str, pattern: &str| {
            format!("{mark}{}", pattern.replace('#', page).replace('&', both))
        };
        let expected = [line("D ", display), line("A ", action), line("", main)];
        check(ELEMENTS, options, &expected.each_ref().map(String::as_str));
    }
}

#[test]
fn an_element_without_members_gives_its_additions() {
    let record =
        r#"{@,"displays":[{},{ },{"page":1}],"actions":[{},{ "ts":1}, { "a":1 } ],#,"ts":1}"#;
    let page = r#""page":{}"#;
    for (options, displays, actions) in [
        (DEFAULT, [r#"{@,#,"ts":1}"#; 3], [r#"{@,#}"#, r#"{ "ts":1,@,#}"#, r#"{ "a":1 ,@,#}"#]),
        (
            SplitOptions { action_ts: ActionTs::Page, ..DEFAULT },
            [r#"{@,#,"ts":1}"#; 3],
            [r#"{@,#,"ts":1}"#, r#"{@,#,"ts":1}"#, r#"{ "a":1 ,@,#,"ts":1}"#],
        ),
        (
            WRAPPED,
            [
                r#"{"display":{},@,#,"ts":1}"#,
                r#"{"display":{ },@,#,"ts":1}"#,
                r#"{"display":{"page":1},@,#,"ts":1}"#,
            ],
            [
                r#"{"action":{},@,#,"ts":1}"#,
                r#"{"action":{ "ts":1},@,#,"ts":1}"#,
                r#"{"action":{ "a":1 },@,#,"ts":1}"#,
            ],
        ),
    ] {
        let line = |mark: &str, pattern: &str| format!("{mark}{}", pattern.replace('#', page));
        let mut expected = displays.map(|display| line("D ", display)).to_vec();
        expected.extend(actions.map(|action| line("A ", action)));
        expected.push(line("M ", r#"{@,#,"ts":1}"#));
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&record.replace('#', page), options, &expected);
    }
}

#[test]
fn the_error_record_takes_the_form_asked_for() {
    use ErrForm::{SubObject, SubObjectTs, Whole};
    for (err, form, expected) in [
        (r#"{"error_code":2307,"msg":"a\n\tb"}"#, Whole, r#"{@,"err":#,"ts":1}"#),
        (r#"{"error_code":2307,"msg":"a\n\tb"}"#, SubObject, "#"),
        (
            r#"{"error_code":2307,"msg":"a\n\tb"}"#,
            SubObjectTs,
            r#"{"error_code":2307,"msg":"a\n\tb","ts":1}"#,
        ),
        (r#"{ "ts":5, "c":1 }"#, SubObjectTs, r#"{"c":1,"ts":1}"#),
        ("{ }", SubObjectTs, r#"{"ts":1}"#),
        (r#""text""#, SubObject, r#"{"err":"text"}"#),
        ("[1]", SubObjectTs, r#"{"err":[1],"ts":1}"#),
    ] {
        let value = format!(r#"{{@,"err":{err},"ts":1}}"#);
        let expected = format!("E {}", expected.replace('#', err));
        check(&value, SplitOptions { err: form, ..DEFAULT }, &[expected.as_str()]);
    }
}
