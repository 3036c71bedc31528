//! The property tests: any bytes are judged as a naive model on `serde_json::Value` says.

use proptest::prelude::*;
use proptest::sample::select;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::*;

/// Op, before, after, table, time; or the reason why there is none.
type Verdict = Result<(&'static str, [Option<Value>; 2], Option<String>, Option<i64>), String>;

fn expected(value: &[u8]) -> Verdict {
    let bad = |reason: &str| Err(reason.to_owned());
    let Ok(value) = serde_json::from_slice::<Value>(value) else { return bad("bad_json") };
    match &value {
        Value::Null => bad("tombstone"),
        Value::Object(record) => match record.get("payload") {
            Some(payload) if !record.get("op").is_some_and(Value::is_string) => match payload {
                Value::Null => bad("tombstone"),
                Value::Object(payload) => model(payload),
                _ => bad("bad_envelope"),
            },
            _ => model(record),
        },
        _ => bad("bad_json"),
    }
}

fn model(record: &Map<String, Value>) -> Verdict {
    let row = |name| match record.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(row @ Value::Object(_)) => Ok(Some(row.clone())),
        Some(_) => Err("bad_envelope".to_owned()),
    };
    let (before, after) = (row("before")?, row("after")?);
    let op = match record.get("op").and_then(Value::as_str) {
        Some("r") => "r",
        Some("c") => "c",
        Some("u") => "u",
        Some("d") => "d",
        Some("t") => return Err("truncate".to_owned()),
        _ => return Err("bad_envelope".to_owned()),
    };
    let needed = if op == "d" { &before } else { &after };
    if needed.is_none() {
        return Err("bad_envelope".to_owned());
    }
    let table = record.get("source").and_then(|source| source.get("table")?.as_str());
    let ts_ms = record.get("ts_ms").and_then(Value::as_i64);
    Ok((op, [before, after], table.map(str::to_owned), ts_ms))
}

fn found(value: &[u8]) -> Verdict {
    let mut parser = DebeziumParser::default();
    match parser.parse(Some(value)) {
        Err(dirty) => Err(dirty.as_str().to_owned()),
        Ok(Outcome::Dropped(reason)) => Err(reason.to_owned()),
        Ok(Outcome::Change(change)) => {
            let read = |row: Option<&str>| {
                row.map(|row| serde_json::from_str(row).expect("a range that was checked"))
            };
            let table = change.source_table().map(str::to_owned);
            let rows = [read(change.before()), read(change.after())];
            Ok((change.op().as_str(), rows, table, change.ts_ms()))
        }
    }
}

/// Members of envelopes, right and wrong.
const MEMBERS: &[&str] = &[
    r#""before":null"#,
    r#""before":{"a":"1"}"#,
    r#""before":{"a":"1","b":null}"#,
    r#""before":[]"#,
    r#""after":null"#,
    r#""after":{}"#,
    r#""after":{"source_table":"口红","sink_pk":null}"#,
    r#""aft\u0065r":{"a":2}"#,
    r#""after":7"#,
    r#""op":"r""#,
    r#""op":"c""#,
    r#""op":"u""#,
    r#""op":"d""#,
    r#""op":"\u0064""#,
    r#""op":"t""#,
    r#""op":null"#,
    r#""ts_ms":1651280100123"#,
    r#""ts_ms":1.5"#,
    r#""source":{"db":"gmall_config","table":"table_process"}"#,
    r#""source":{"table":"a","table":"\u0062"}"#,
    r#""source":null"#,
    r#""transaction":null"#,
    r#""schema":{"type":"struct","fields":[]}"#,
];

fn envelope() -> impl Strategy<Value = String> {
    prop::collection::vec(select(MEMBERS), 0..9).prop_map(|all| format!("{{{}}}", all.join(",\n")))
}

fn record() -> impl Strategy<Value = String> {
    let payload =
        prop_oneof![6 => envelope(), 1 => select(&["null", "7"][..]).prop_map(String::from)];
    prop_oneof![
        4 => envelope(),
        2 => (payload, select(MEMBERS))
            .prop_map(|(payload, other)| format!(r#"{{{other}, "payload" : {payload} }}"#)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 3000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn envelopes_are_read_as_the_naive_model_says(record in record()) {
        prop_assert_eq!(found(record.as_bytes()), expected(record.as_bytes()));
    }

    #[test]
    fn spoilt_envelopes_are_read_as_the_naive_model_says(
        record in record(), index: prop::sample::Index, byte: u8, how in 0..3,
    ) {
        let mut bytes = record.into_bytes();
        let at = index.index(bytes.len());
        match how {
            0 => bytes[at] = byte,
            1 => bytes[at] = b"\"\\{}[],:0"[usize::from(byte) % 9],
            _ => bytes.truncate(at),
        }
        // Lone surrogates and numbers beyond f64 are JSON that the model cannot hold.
        let beyond = serde_json::from_slice::<IgnoredAny>(&bytes).is_ok()
            && serde_json::from_slice::<Value>(&bytes).is_err();
        if !beyond {
            prop_assert_eq!(found(&bytes), expected(&bytes));
        }
    }
}
