//! How many records are what: shares, faults, and what a decoder makes of them.

use std::collections::{BTreeMap, BTreeSet};

use connectors::format::maxwell::decoder::MaxwellDecoder;
use engine::batch::build::{BatchBuilder, RawBuilder, raw_schema};
use engine::codec::{Decoded, Decoder as _};
use engine::counter::Counters;
use serde_json::{Map, Value};

use super::{Record, bounded, quick, records, sound};
use crate::generate::shop::{Fault, Generator, Settings};

/// The tables that the dimension job routes.
const ROUTED: [&str; 15] = [
    "activity_info",
    "activity_rule",
    "activity_sku",
    "base_category1",
    "base_category2",
    "base_category3",
    "base_province",
    "base_region",
    "base_trademark",
    "coupon_info",
    "coupon_range",
    "financial_sku_cost",
    "sku_info",
    "spu_info",
    "user_info",
];

#[test]
fn shares_of_dimensions_and_faults_are_exact() {
    for (dimension_share, fault_share) in [(100, 20), (3_333, 0), (1_000, 500), (0, 0)] {
        let settings =
            Settings { dimension_share, fault_share, bootstrap: false, ..Settings::default() };
        let all = records(settings, 0, 64 * 200);
        let faults = all.iter().filter(|(generated, _)| generated.fault.is_some()).count();
        let routed = |(generated, _): &&Record| {
            generated.fault.is_none()
                && generated.table.is_some_and(|table| ROUTED.contains(&table))
        };
        let routed: Vec<&Record> = all.iter().filter(routed).collect();
        let expected = [dimension_share, fault_share].map(|share| 12_800 * share / 10_000);
        // Of each block's share, what is below one record waits for the next.
        let counted = [routed.len(), faults].map(|count| u32::try_from(count).unwrap());
        assert_eq!(counted, expected);
        let tables: BTreeSet<_> =
            routed.iter().filter_map(|(generated, _)| generated.table).collect();
        assert_eq!(tables.len(), if dimension_share == 0 { 0 } else { 15 }, "{tables:?}");
    }
}

#[test]
fn the_mix_is_that_of_a_shop() {
    let all = records(Settings::default(), 500_000, 64 * 500);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut size = 0;
    for (generated, line) in &all {
        *counts.entry(generated.table.unwrap_or("none")).or_default() += 1;
        size += line.len();
    }
    for (table, range) in [
        ("cart_info", 14_000..18_000),
        ("order_info", 700..1_500),
        ("order_detail", 700..1_200),
        ("payment_info", 500..1_000),
        ("coupon_use", 300..1_000),
        ("favor_info", 2_500..5_000),
        ("user_info", 100..250),
        ("sku_info", 30..100),
    ] {
        assert!(range.contains(&counts[table]), "{table}: {}", counts[table]);
    }
    assert!((300..450).contains(&(size / all.len())), "{} bytes a record", size / all.len());
}

#[test]
fn what_a_decoder_refuses_are_the_faults_that_say_so() {
    let settings = Settings { fault_share: 1_500, ..bounded(20_000, 1) };
    let all = records(settings, 0, usize::MAX);
    let mut raw = RawBuilder::new(&raw_schema(), 0);
    for (generated, line) in &all {
        raw.push(generated.number, generated.table.map(str::as_bytes), Some(line));
    }
    let input = raw.finish().unwrap();
    let mut counters = Counters::new("ods_db".into());
    let mut decoder = MaxwellDecoder::new();
    let rows = BatchBuilder::over(decoder.schema(), &input);
    let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
    decoder.decode(&input, &mut out);
    let Decoded { rows, dead, .. } = out;
    let dead: Vec<(usize, &str)> = dead.iter().map(|dead| (dead.row, dead.reason)).collect();
    let refused = |(row, (generated, _)): (usize, &Record)| {
        generated.fault.filter(|fault| fault.is_dirty()).map(|fault| (row, fault.reason()))
    };
    let expected: Vec<(usize, &str)> = all.iter().enumerate().filter_map(refused).collect();
    assert_eq!(dead, expected);
    assert_eq!(rows.finish(None).unwrap().len(), all.len() - dead.len());
    let kinds: BTreeSet<Fault> = all.iter().filter_map(|(generated, _)| generated.fault).collect();
    assert_eq!(kinds.len(), Fault::ALL.len(), "{kinds:?}");
}

#[test]
fn faults_are_what_they_say() {
    let all = records(Settings { fault_share: 1_500, ..bounded(20_000, 1) }, 2_600, usize::MAX);
    for (generated, line) in &all {
        let Some(fault) = generated.fault else { continue };
        let text = String::from_utf8_lossy(line);
        let value: Value = serde_json::from_slice(line).unwrap_or_default();
        let holds = match fault.reason() {
            "bad_json" => !value.is_object(),
            "bad_envelope" => value.get("table").is_none() || value.get("type").is_none(),
            "bad_ts" => !value["ts"].is_i64(),
            "other_db" => value["database"] != "gmall2022",
            "ddl" => value["type"] == "table-alter",
            "unknown_type" => value["type"] == "heartbeat",
            "empty_data" => value["data"].as_object().is_none_or(Map::is_empty),
            _ => value["data"].get("id").is_none_or(|id| id.is_null() || id == ""),
        };
        assert!(holds, "{fault:?}: {text}");
    }
}

#[test]
fn dimensions_come_and_go_and_change_their_key() {
    let settings = Settings { dimension_share: 3_500, fault_share: 0, ..quick() };
    let mut seen: BTreeMap<(String, &str), usize> = BTreeMap::new();
    let first = Generator::new(settings.clone()).bootstrap_records();
    for (_, value) in sound(&records(settings, first, 20_000)) {
        let table = value["table"].as_str().unwrap().to_owned();
        let what = match value["type"].as_str().unwrap() {
            "insert" => "insert",
            "delete" => "delete",
            "update" if value["old"].get("id").is_some() => "key change",
            "update" => "update",
            _ => continue,
        };
        *seen.entry((table, what)).or_default() += 1;
    }
    for (table, what) in [
        ("sku_info", "insert"),
        ("sku_info", "delete"),
        ("base_category3", "insert"),
        ("base_category3", "key change"),
        ("base_category3", "delete"),
        ("activity_sku", "delete"),
        ("coupon_range", "insert"),
        ("base_trademark", "update"),
        ("user_info", "insert"),
        ("user_info", "update"),
    ] {
        assert!(seen.contains_key(&(table.to_owned(), what)), "{table} {what}");
    }
    let changed = seen.keys().filter(|(_, what)| *what == "key change").count();
    assert_eq!(changed, 1, "only categories change their key");
}
