//! Tests of the shop as its users see it: repeatable, whole, and consistent over time.

mod database;
mod shares;

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

type Record = (Generated, Vec<u8>);

fn records(settings: Settings, from: u64, count: usize) -> Vec<Record> {
    let mut cursor = Generator::new(settings).open(from);
    let mut all = Vec::new();
    for _ in 0..count {
        let mut out = b"before".to_vec();
        let Some(generated) = cursor.next(&mut out) else { break };
        assert_eq!(generated.number, from + u64::try_from(all.len()).unwrap());
        all.push((generated, out.split_off(6)));
    }
    all
}

/// So dense that all steps of a story lie within some ten thousand records.
fn quick() -> Settings {
    Settings { records_per_second: 5, ..Settings::default() }
}

fn bounded(records: u64, days: u32) -> Settings {
    Settings { records: Some(records), days, ..Settings::default() }
}

/// What was not meant to be broken.
fn sound(records: &[Record]) -> impl Iterator<Item = (u64, Value)> {
    let whole = records.iter().filter(|(generated, _)| generated.fault.is_none());
    whole.map(|(generated, line)| {
        let text = String::from_utf8_lossy(line);
        let parsed = serde_json::from_slice(line);
        (generated.number, parsed.unwrap_or_else(|error| panic!("{error}: {text}")))
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = records(quick(), 0, 6_000);
    assert_eq!(first, records(quick(), 0, 6_000));
    assert_ne!(first, records(Settings { seed: 2, ..quick() }, 0, 6_000));
}

#[test]
fn opening_at_a_number_equals_skipping_to_it() {
    for settings in [quick(), bounded(9_000, 2), Settings { bootstrap: false, ..quick() }] {
        let all = records(settings.clone(), 0, 6_000);
        for from in [1_u16, 900, 2_014, 2_500, 2_501, 4_096, 5_999] {
            let opened = records(settings.clone(), from.into(), 6_000 - usize::from(from));
            assert!(opened == all[usize::from(from)..], "from {from}");
        }
    }
}

#[test]
fn a_bounded_stream_ends_and_appends_nothing_more() {
    for count in [3, 3_000] {
        let mut cursor = Generator::new(bounded(count, 1)).open(count - 1);
        let mut out = Vec::new();
        assert_eq!(cursor.next(&mut out).map(|generated| generated.number), Some(count - 1));
        let length = out.len();
        assert_eq!((cursor.next(&mut out), out.len()), (None, length));
    }
}

#[test]
fn the_bootstrap_has_the_rows_of_the_teaching_data_between_markers() {
    let generator = Generator::new(Settings::default());
    let count = usize::try_from(generator.bootstrap_records()).unwrap();
    let bootstrap = records(Settings::default(), 0, count + 1);
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for (_, value) in sound(&bootstrap[..count]) {
        let table = value["table"].as_str().unwrap().to_owned();
        let kind = value["type"].as_str().unwrap().to_owned();
        assert_eq!(value["data"] == serde_json::json!({}), kind != "bootstrap-insert");
        assert!(["xid", "commit", "xoffset"].iter().all(|name| value.get(name).is_none()));
        if rows.last().is_none_or(|(last, _)| *last != table) {
            rows.push((table, Vec::new()));
        }
        rows.last_mut().unwrap().1.push(kind);
    }
    let mut counts = BTreeMap::new();
    for (table, kinds) in &rows {
        let (first, last) = (kinds.first().unwrap(), kinds.last().unwrap());
        assert_eq!((first.as_str(), last.as_str()), ("bootstrap-start", "bootstrap-complete"));
        assert!(kinds[1..kinds.len() - 1].iter().all(|kind| kind == "bootstrap-insert"));
        counts.insert(table.as_str(), kinds.len() - 2);
    }
    let expected = [
        ("activity_info", 4),
        ("activity_rule", 6),
        ("activity_sku", 24),
        ("base_category1", 17),
        ("base_category2", 113),
        ("base_category3", 1_099),
        ("base_dic", 59),
        ("base_province", 34),
        ("base_region", 7),
        ("base_trademark", 11),
        ("coupon_info", 4),
        ("coupon_range", 6),
        ("financial_sku_cost", 35),
        ("sku_info", 35),
        ("spu_info", 12),
        ("user_info", 500),
    ];
    assert_eq!(counts, BTreeMap::from(expected));
    let behind: Value = serde_json::from_slice(&bootstrap[count].1).unwrap();
    assert!(behind.get("xid").is_some(), "{behind}");
}

#[test]
fn transactions_are_whole_and_in_order() {
    let all = records(Settings { fault_share: 0, ..quick() }, 2_500, 12_000);
    let mut open: Option<(u64, i64, u64)> = None;
    let (mut last_xid, mut last_ts, mut longest) = (0, 0, 0);
    for (number, value) in sound(&all) {
        let (xid, ts) = (value["xid"].as_u64().unwrap(), value["ts"].as_i64().unwrap());
        assert!(ts >= last_ts, "record {number} goes back");
        last_ts = ts;
        let commit = value.get("commit");
        match open {
            Some((of, at, rows)) => assert_eq!((xid, ts), (of, at), "{rows} rows: {value}"),
            // The first record may lie in the middle.
            None => assert!(xid > last_xid || last_xid == 0, "{value}"),
        }
        last_xid = xid;
        let rows = open.map_or(0, |(.., rows)| rows);
        if commit == Some(&Value::Bool(true)) {
            assert!(value.get("xoffset").is_none());
            longest = longest.max(rows + 1);
            open = None;
        } else {
            assert!(commit.is_none());
            assert!(number < 2_520 || value["xoffset"].as_u64() == Some(rows), "{value}");
            open = Some((xid, ts, rows + 1));
        }
    }
    assert!((8..=13).contains(&longest), "{longest} rows in one transaction");
}

#[test]
fn records_come_when_their_time_says() {
    for settings in [quick(), bounded(20_000, 2)] {
        let generator = Generator::new(settings.clone());
        let first = generator.bootstrap_records();
        let (mut last, mut behind) = (i64::MIN, 0);
        for (number, value) in sound(&records(settings, 0, 20_000)) {
            let arrival = generator.arrival_ms(number);
            assert!(arrival >= last, "record {number}");
            last = arrival;
            let ts = value["ts"].as_i64().unwrap();
            assert!(ts * 1_000 <= arrival, "record {number} is from the future");
            behind = behind.max(arrival / 1_000 - ts);
            if number < first {
                assert_eq!(arrival, generator.arrival_ms(0));
            }
        }
        // No longer than a transaction takes.
        assert!(behind <= 110, "{behind} s");
    }
}

#[test]
fn bounded_streams_end_at_their_instant() {
    let generator = Generator::new(bounded(50_000, 3));
    let end = generator.settings().last_day_end_ms;
    assert_eq!(generator.arrival_ms(49_999), end);
    assert_eq!(generator.arrival_ms(0), end - 3 * DAY_MS);
}
