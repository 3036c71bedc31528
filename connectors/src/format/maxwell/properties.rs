//! The property tests: a change record is read as a naive model on `serde_json::Value` says.
//!
//! The model reads into maps, in which the last of equal names wins by itself. It knows numbers by
//! their value only, so texts of numbers are compared after reading them once more.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};

use super::data::{column_map, is_object_with_members};
use super::random::record;
use super::*;

/// What is found in a record.
#[derive(Debug, PartialEq)]
struct Verdict {
    database: String,
    table: String,
    kind: ChangeKind,
    snapshot: bool,
    ts: i64,
    data: Inside,
    old: Inside,
    xid: Option<i64>,
    commit: bool,
}

/// A row inside: its value, its columns, and whether it has any.
#[derive(Debug, PartialEq)]
struct Inside {
    value: Option<Value>,
    columns: BTreeMap<String, Option<Cell>>,
    object_with_members: bool,
}

/// The text of a column. The model has lost how a number or a nested value is written.
#[derive(Debug, PartialEq)]
enum Cell {
    Text(String),
    Json(Value),
}

fn expected(value: &[u8]) -> Result<Verdict, Dirty> {
    let value: Value = serde_json::from_slice(value).ok().ok_or(Dirty::BadJson)?;
    let record = value.as_object().filter(|_| depth(&value) <= 64).ok_or(Dirty::BadJson)?;
    let text = |name| Some(record.get(name)?.as_str()?.to_owned());
    let (database, table, kind) = (text("database"), text("table"), text("type"));
    let (database, table, kind) =
        database.zip(table).zip(kind).map(|((a, b), c)| (a, b, c)).ok_or(Dirty::BadEnvelope)?;
    let ts = integer(record, "ts").ok_or(Dirty::BadTs)?;
    let (kind, snapshot) = model_kind(&kind);
    let ts = if kind == ChangeKind::Ddl { ts.div_euclid(1000) } else { ts };
    if i128::from(ts) * 1000 != i128::from(ts.saturating_mul(1000)) {
        return Err(Dirty::BadTs);
    }
    Ok(Verdict {
        database,
        table,
        kind,
        snapshot,
        ts,
        data: model_inside(record.get("data")),
        old: model_inside(record.get("old")),
        xid: integer(record, "xid"),
        commit: record.get("commit") == Some(&Value::Bool(true)),
    })
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => members.values().map(depth).max().unwrap_or(0),
        _ => return 0,
    };
    inner + 1
}

fn integer(record: &Map<String, Value>, name: &str) -> Option<i64> {
    record.get(name)?.as_i64()
}

fn model_kind(name: &str) -> (ChangeKind, bool) {
    let (rest, snapshot) =
        name.strip_prefix("bootstrap-").map_or((name, false), |rest| (rest, true));
    let ddl = ["create", "alter", "drop"]
        .iter()
        .any(|verb| name == format!("table-{verb}") || name == format!("database-{verb}"));
    let kind = match rest {
        "insert" => ChangeKind::Insert,
        "update" => ChangeKind::Update,
        "delete" => ChangeKind::Delete,
        "start" | "complete" if snapshot => ChangeKind::BootstrapMarker,
        _ if ddl => ChangeKind::Ddl,
        _ => ChangeKind::Unknown,
    };
    (kind, snapshot)
}

fn model_inside(value: Option<&Value>) -> Inside {
    let value = value.filter(|value| !value.is_null());
    let object = value.and_then(Value::as_object);
    let cell = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(Cell::Text(text.clone())),
        other => Some(Cell::Json(other.clone())),
    };
    let columns = object.into_iter().flatten();
    Inside {
        value: value.cloned(),
        columns: columns.map(|(name, value)| (name.clone(), cell(value))).collect(),
        object_with_members: object.is_some_and(|object| !object.is_empty()),
    }
}

fn found(value: &[u8]) -> Result<Verdict, Dirty> {
    let mut parser = MaxwellParser::default();
    let change = parser.parse(value)?;
    Ok(Verdict {
        database: change.database().to_owned(),
        table: change.table().to_owned(),
        kind: change.kind(),
        snapshot: change.snapshot(),
        ts: change.ts(),
        data: found_inside(change.data()),
        old: found_inside(change.old()),
        xid: change.xid(),
        commit: change.commit(),
    })
}

fn found_inside(json: Option<&str>) -> Inside {
    let Some(json) = json else { return model_inside(None) };
    let value: Value = serde_json::from_str(json).expect("a range that was checked");
    let names = value.as_object().cloned().unwrap_or_default();
    let cell = |name: &str, text: String| match names.get(name) {
        Some(Value::String(_)) => Cell::Text(text),
        _ => Cell::Json(serde_json::from_str(&text).expect("a value that was checked")),
    };
    let columns = column_map(json.as_bytes()).into_iter();
    let columns = columns.map(|(name, text)| {
        let cell = text.map(|text| cell(&name, text));
        (name, cell)
    });
    Inside {
        columns: columns.collect(),
        object_with_members: is_object_with_members(json.as_bytes()),
        value: Some(value),
    }
}

/// Whether the model's reader is stricter than the grammar: lone surrogates, numbers beyond `f64`.
fn beyond_the_model(value: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(value).is_ok()
        && serde_json::from_slice::<Value>(value).is_err()
}

fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    if beyond_the_model(bytes) {
        let mut parser = MaxwellParser::default();
        let clean = parser.parse(bytes).is_ok_and(|change| {
            change.data().is_none_or(|data| serde_json::from_str::<IgnoredAny>(data).is_ok())
        });
        prop_assert!(clean || MaxwellParser::default().parse(bytes).is_err());
        return Ok(());
    }
    prop_assert_eq!(found(bytes), expected(bytes));
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn changes_are_read_as_the_naive_model_says(record in record()) {
        prop_assert_eq!(found(record.as_bytes()), expected(record.as_bytes()));
    }

    #[test]
    fn spoilt_changes_are_read_as_the_naive_model_says(
        record in record(),
        spoil in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 1..3),
    ) {
        let mut bytes = record.into_bytes();
        for (index, byte, how) in spoil {
            let at = index.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes[at] = b"\"\\{}[],:0"[usize::from(byte) % 9],
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at.max(1)),
            }
        }
        check(&bytes)?;
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes)?;
    }
}

/// The generator is worth nothing if its records are all dirty or all alike.
#[test]
fn the_random_records_reach_every_verdict() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = BTreeMap::<String, usize>::new();
    for _round in 0..1000 {
        let record = record().new_tree(&mut runner).expect("a record").current();
        let names = match expected(record.as_bytes()) {
            Err(dirty) => vec![dirty.as_str().to_owned()],
            Ok(verdict) => vec![
                format!("{:?}", verdict.kind),
                format!("data {}", verdict.data.object_with_members),
                format!("old {}", verdict.old.object_with_members),
                format!("commit {}", verdict.commit),
            ],
        };
        names.into_iter().for_each(|name| *counts.entry(name).or_default() += 1);
    }
    let kinds = ChangeKind::ALL.iter().map(|kind| format!("{kind:?}"));
    let others = ["bad_envelope", "bad_ts", "data true", "data false", "old true", "commit true"];
    for name in kinds.chain(others.map(str::to_owned)) {
        assert!(counts.get(&name).is_some_and(|count| *count >= 10), "{name}: {counts:?}");
    }
}
