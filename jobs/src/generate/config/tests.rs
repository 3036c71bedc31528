//! Tests of the config table: rows of the specification, envelopes that decode, plans that fit.

use std::collections::{BTreeMap, BTreeSet};

use connectors::format::debezium::{DebeziumOp, DebeziumParser, Outcome};
use connectors::format::maxwell::data::column_map;
use serde_json::Value;

use super::*;
use crate::generate::shop;

fn records(settings: Settings) -> Vec<String> {
    let generator = Generator::new(settings);
    let texts = (0..generator.records()).map(|number| {
        let mut record = Vec::new();
        assert!(generator.write(number, &mut record));
        String::from_utf8(record).unwrap()
    });
    let texts = texts.collect();
    let mut none = Vec::new();
    assert!(!generator.write(generator.records(), &mut none) && none.is_empty());
    texts
}

fn shop(seed: u64) -> shop::Generator {
    shop::Generator::new(shop::Settings { seed, ..shop::Settings::default() })
}

#[test]
fn a_snapshot_record_is_that_of_the_specification() {
    let mut settings = Settings::of_course(Layout::TableProcess);
    settings.start_ms = 1_651_280_100_123;
    let expected = r#"{"before":null,"after":{"source_table":"base_trademark","sink_table":"dim_base_trademark","sink_columns":"id,tm_name","sink_pk":"id","sink_extend":null},"source":{"version":"1.9.7.Final","connector":"mysql","name":"mysql_binlog_source","ts_ms":0,"snapshot":"false","db":"gmall_config","sequence":null,"table":"table_process","server_id":0,"gtid":null,"file":"","pos":0,"row":0,"thread":null,"query":null},"op":"r","ts_ms":1651280100123,"transaction":null}"#;
    assert_eq!(records(settings)[8], expected);
}

#[test]
fn both_generations_have_their_rows() {
    for (layout, count, key) in
        [(Layout::TableProcess, 15, "sink_pk"), (Layout::TableProcessDim, 16, "sink_row_key")]
    {
        let all = records(Settings::of_course(layout));
        assert_eq!(all.len(), count);
        for text in &all {
            let value: Value = serde_json::from_str(text).unwrap();
            assert!(value["after"].as_object().unwrap().contains_key(key), "{value}");
            assert_eq!(value["source"]["table"], layout.table());
        }
    }
    let salts: Vec<String> = Settings::of_course(Layout::TableProcess)
        .snapshot
        .into_iter()
        .filter_map(|row| row.sink_extend)
        .collect();
    assert_eq!(salts, [" SALT_BUCKETS = 4", "SALT_BUCKETS = 3", " SALT_BUCKETS = 3"]);
}

#[test]
fn configured_columns_are_columns_of_the_shop() {
    let demo = Settings::demo(Layout::TableProcess, &shop(1), 1_000);
    let changed = demo.changes.iter().filter_map(|change| change.after.as_ref());
    for row in demo.snapshot.iter().chain(changed) {
        let columns = shop(1).columns(&row.source_table).expect("a dimension table");
        let unknown = row.columns().find(|column| !columns.contains(column));
        assert_eq!(unknown, None, "{row:?}");
    }
    assert_eq!(shop(1).columns("order_info"), None);
}

/// What the config table holds after these records, by source table; checks each against it.
fn held(all: &[String]) -> BTreeMap<String, BTreeMap<String, Option<String>>> {
    let mut held = BTreeMap::new();
    let mut parser = DebeziumParser::default();
    for text in all {
        let change = match parser.parse(Some(text.as_bytes())) {
            Ok(Outcome::Change(change)) => change,
            other => panic!("{other:?}: {text}"),
        };
        let map = |image: Option<&str>| image.map(|image| column_map(image.as_bytes()));
        let (before, after) = (map(change.before()), map(change.after()));
        assert_ne!(before, after, "{text}");
        let images = (change.op(), before.is_some(), after.is_some());
        assert!(
            matches!(
                images,
                (DebeziumOp::Read | DebeziumOp::Create, false, true)
                    | (DebeziumOp::Update, true, true)
                    | (DebeziumOp::Delete, true, false)
            ),
            "{text}"
        );
        let row = before.as_ref().or(after.as_ref()).unwrap();
        let source = row["source_table"].clone().unwrap();
        assert_eq!(held.remove(&source), before, "was something else: {text}");
        if let Some(after) = after {
            held.insert(source, after);
        }
    }
    held
}

#[test]
fn the_demo_shows_tables_that_come_late_and_change() {
    for layout in [Layout::TableProcess, Layout::TableProcessDim] {
        let settings = Settings::demo(layout, &shop(1), 2_000);
        let late = settings.snapshot.iter().any(|row| row.source_table == "coupon_range");
        assert!(!late);
        let first = shop(1).bootstrap_records();
        let due: Vec<u64> = settings.changes.iter().map(|change| change.due).collect();
        assert!(due.is_sorted() && due[0] >= first + 2_000, "{due:?}");
        assert!(settings.changes.iter().all(|change| change.at_ms > settings.start_ms));
        let held = held(&records(settings));
        assert_eq!(held.len(), 16);
        let columns = |table: &str| held[table]["sink_columns"].clone().unwrap();
        assert_eq!(columns("base_trademark"), "id,tm_name,logo_url");
        assert!(columns("activity_sku").starts_with("id,"));
        assert!(!columns("coupon_info").contains("range_desc"));
        assert_eq!(held["financial_sku_cost"]["sink_table"].as_deref(), Some("dim_sku_cost"));
    }
}

#[test]
fn churn_depends_on_the_seed_and_does_all_there_is() {
    let mut ops = BTreeSet::new();
    let mut faulty = 0;
    for seed in 1..6 {
        let churn = || Settings::churn(Layout::TableProcess, &shop(seed), 300, 60, true);
        let (all, other) = (records(churn()), Settings::churn);
        assert_eq!(all, records(churn()));
        assert_ne!(all, records(other(Layout::TableProcess, &shop(seed + 1), 300, 60, true)));
        held(&all);
        for text in &all {
            let value: Value = serde_json::from_str(text).unwrap();
            ops.insert(value["op"].as_str().unwrap().to_owned());
            let columns = value["after"]["sink_columns"].as_str();
            faulty += usize::from(columns.is_some_and(|c| c.is_empty() || c.ends_with(',')));
        }
    }
    assert_eq!(ops.into_iter().collect::<String>(), "cdru");
    assert!(faulty > 5, "{faulty} faulty rows");
    let sound = Settings::churn(Layout::TableProcess, &shop(1), 300, 200, false);
    for change in &sound.changes {
        let Some(row) = &change.after else { continue };
        let columns: BTreeSet<&str> = row.columns().collect();
        assert_eq!(columns.len(), row.columns().count(), "{row:?}");
        assert!(!columns.contains("") && columns.contains("id"), "{row:?}");
    }
}
