//! Random records for the property tests: known names at every level, in any order, with doubles,
//! escapes, white space, and values of the wrong type among right ones.

use proptest::prelude::*;
use proptest::sample::select;

use super::{ActionTs, ErrForm, FlatClash, Shape, SplitOptions};

const SPACES: [&str; 8] = ["", "", "", "", "", " ", "\n\t", " \r\n "];

fn scalar() -> impl Strategy<Value = String> {
    const SCALARS: &[&str] = &[
        "null",
        "true",
        "false",
        "0",
        "7",
        "-1",
        "-0",
        "1.50",
        "1e3",
        "1651287600000",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775809",
        r#""""#,
        r#""0""#,
        r#""1""#,
        r#""\u0031""#,
        r#""\u0030""#,
        r#""mid_4\u0031""#,
        r#""口红""#,
        r#""a\n\t\"}],{\\""#,
        r#""\ud83d\ude00 or 0123456789""#,
        r#""sku_id""#,
        "[]",
        "{}",
        "[ ]",
        "{ }",
        r#"[1,{"err":[]},null]"#,
        r#"{"ts":1,"common":{"mid":"x"},"ts":2}"#,
    ];
    select(SCALARS).prop_map(str::to_owned)
}

fn space() -> impl Strategy<Value = &'static str> {
    select(&SPACES[..])
}

/// A name, its first character escaped once in a while.
fn quoted(name: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        7 => Just(format!("\"{name}\"")),
        1 => Just({
            let mut chars = name.chars();
            let first = chars.next().map_or(0, u32::from);
            format!("\"\\u{first:04x}{}\"", chars.as_str())
        }),
    ]
}

fn member(
    name: &'static str,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    (space(), quoted(name), space(), space(), value, space())
        .prop_map(|(a, name, b, c, value, d)| format!("{a}{name}{b}:{c}{value}{d}"))
}

fn braced(members: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = String> {
    (members, space()).prop_map(|(members, space)| format!("{{{}{space}}}", members.join(",")))
}

fn small_object(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    braced(prop::collection::vec(select(names).prop_flat_map(|name| member(name, scalar())), 0..6))
}

fn common() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &["mid", "is_new", "uid", "vc", "ch", "ar", "md", "ts", "item", "page"];
    let is_new = select(&[r#""0""#, r#""1""#, r#""\u0031""#][..]).prop_map(str::to_owned);
    let mid = member("mid", Just(r#""mid_41""#.to_owned()));
    let rest =
        prop::collection::vec(select(NAMES).prop_flat_map(|name| member(name, scalar())), 0..5);
    let members = (mid, member("is_new", is_new), rest).prop_map(|(mid, is_new, mut rest)| {
        rest.push(mid);
        rest.push(is_new);
        rest
    });
    prop_oneof![12 => braced(members.prop_shuffle()), 1 => scalar()]
}

fn page() -> impl Strategy<Value = String> {
    const NAMES: &[&str] = &[
        "page_id",
        "last_page_id",
        "item",
        "item_type",
        "during_time",
        "source_type",
        "ts",
        "mid",
    ];
    prop_oneof![8 => small_object(NAMES), 1 => scalar()]
}

fn list() -> impl Strategy<Value = String> {
    const NAMES: &[&str] =
        &["item", "item_type", "ts", "common", "page", "action_id", "mid", "display", "vc"];
    let element = prop_oneof![5 => small_object(NAMES), 1 => scalar()];
    let elements = prop::collection::vec((space(), element, space()), 0..4);
    let array = elements.prop_map(|elements| {
        let elements: Vec<String> =
            elements.into_iter().map(|(a, element, b)| format!("{a}{element}{b}")).collect();
        format!("[{}]", elements.join(","))
    });
    prop_oneof![8 => array, 1 => scalar()]
}

fn any_member() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => member("common", common()),
        4 => member("page", page()),
        1 => member("start", prop_oneof![small_object(&["entry", "ts"]), scalar()]),
        3 => member("err", prop_oneof![small_object(&["error_code", "msg", "ts"]), scalar()]),
        4 => member("displays", list()),
        4 => member("actions", list()),
        1 => member("ts", scalar()),
        1 => member("unknown", scalar()),
    ]
}

/// A record: what makes it valid, mostly, among other members, in any order.
pub(super) fn record() -> impl Strategy<Value = String> {
    let ts = member("ts", Just("1651287600000".to_owned()));
    let members = (member("common", common()), ts, prop::collection::vec(any_member(), 0..9));
    let members = members.prop_map(|(common, ts, mut rest)| {
        rest.push(common);
        rest.push(ts);
        rest
    });
    (space(), braced(members.prop_shuffle()), space())
        .prop_map(|(before, record, after)| format!("{before}{record}{after}"))
}

pub(super) fn options() -> impl Strategy<Value = SplitOptions> {
    (
        select(&[Shape::Nested, Shape::Wrapped, Shape::Flat][..]),
        select(&[FlatClash::Element, FlatClash::Page][..]),
        select(&[ErrForm::Whole, ErrForm::SubObject, ErrForm::SubObjectTs][..]),
        select(&[ActionTs::Own, ActionTs::Page, ActionTs::None][..]),
    )
        .prop_map(|(shape, flat_clash, err, action_ts)| SplitOptions {
            shape,
            flat_clash,
            err,
            action_ts,
        })
}
