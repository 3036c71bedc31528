//! Random change records for the property test: known names in any order, with doubles, escapes,
//! white space, and values of the wrong type among right ones.

use proptest::prelude::*;
use proptest::sample::select;

const SPACES: [&str; 8] = ["", "", "", "", "", " ", "\n\t", " \r\n "];

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "7",
    "80.00",
    "1e3",
    "1651287740",
    "9223372036854775",
    "9223372036854776",
    "9223372036854775808",
    r#""""#,
    r#""1001""#,
    r#""口红""#,
    r#""a\n\t\"}],{\\""#,
    r#""\ud83d\ude00 or 0123456789""#,
    "[]",
    "{}",
    "{ }",
    r#"[1,{"data":[]},null]"#,
    r#"{"ts":1,"type":"x","ts":2}"#,
];

const TYPES: &[&str] = &[
    r#""insert""#,
    r#""update""#,
    r#""delete""#,
    r#""bootstrap-insert""#,
    r#""bootstrap-start""#,
    r#""bootstrap-complete""#,
    r#""table-alter""#,
    r#""database-drop""#,
    r#""ins\u0065rt""#,
    r#""upsert""#,
];

fn space() -> impl Strategy<Value = &'static str> {
    select(&SPACES[..])
}

fn scalar() -> impl Strategy<Value = String> {
    select(SCALARS).prop_map(str::to_owned)
}

/// A name, its first character escaped once in a while.
fn quoted(name: &'static str) -> impl Strategy<Value = String> {
    let mut chars = name.chars();
    let first = chars.next().map_or(0, u32::from);
    let escaped = format!("\"\\u{first:04x}{}\"", chars.as_str());
    prop_oneof![7 => Just(format!("\"{name}\"")), 1 => Just(escaped)]
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

/// What `data` and `old` hold.
fn row() -> impl Strategy<Value = String> {
    const COLUMNS: &[&str] = &["id", "sku_name", "price", "名字", "data", "order_status"];
    let column = select(COLUMNS).prop_flat_map(|name| member(name, scalar()));
    prop_oneof![6 => braced(prop::collection::vec(column, 0..7)), 1 => scalar()]
}

fn any_member() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => member("database", scalar()),
        2 => member("table", scalar()),
        2 => member("type", scalar()),
        2 => member("ts", scalar()),
        4 => member("data", row()),
        4 => member("old", row()),
        2 => member("xid", scalar()),
        2 => member("commit", select(&["true", "false", "7"][..]).prop_map(str::to_owned)),
        2 => member("query", scalar()),
    ]
}

/// A record: what makes it valid, mostly, among other members, in any order.
pub(super) fn record() -> impl Strategy<Value = String> {
    let name = |text: &'static str| select(vec![format!("\"{text}\""), "\"t\\u0031\"".to_owned()]);
    let needed = (
        member("database", name("gmall2022")),
        member("table", name("order_info")),
        member("type", select(TYPES).prop_map(str::to_owned)),
        member("ts", Just("1651287740".to_owned())),
    );
    let members = (needed, 0..16_usize, prop::collection::vec(any_member(), 0..5));
    let members = members.prop_map(|((database, table, kind, ts), missing, mut rest)| {
        let needed = [database, table, kind, ts].into_iter().enumerate();
        rest.extend(needed.filter(|(index, _)| *index != missing).map(|(_, member)| member));
        rest
    });
    (space(), braced(members.prop_shuffle()), space())
        .prop_map(|(before, record, after)| format!("{before}{record}{after}"))
}
