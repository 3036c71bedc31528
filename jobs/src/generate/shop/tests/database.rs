//! The changes applied to tables in memory: they must fit to what is there, and the rows to each other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{bounded, quick, records, sound};
use crate::generate::shop::Settings;

/// All rows of all tables by their key.
#[derive(Default)]
struct Database {
    tables: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
}

impl Database {
    fn apply(&mut self, value: &Value) {
        let table = value["table"].as_str().unwrap();
        let data = value["data"].as_object().unwrap().clone();
        let rows = self.tables.entry(table.to_owned()).or_default();
        let key = |row: &Map<String, Value>| {
            row.get("id").or_else(|| row.get("dic_code")).unwrap().to_string()
        };
        match value["type"].as_str().unwrap() {
            "insert" | "bootstrap-insert" => {
                assert!(value.get("old").is_none(), "{value}");
                assert!(rows.insert(key(&data), data).is_none(), "inserted twice: {value}");
            }
            "update" => {
                let old = value["old"].as_object().unwrap();
                assert!(!old.is_empty(), "{value}");
                let mut before = data.clone();
                for (name, was) in old {
                    assert_ne!(data[name], *was, "{name} did not change: {value}");
                    before.insert(name.clone(), was.clone());
                }
                let row = rows.remove(&key(&before));
                assert_eq!(row, Some(before), "was something else: {value}");
                assert!(rows.insert(key(&data), data).is_none(), "key taken: {value}");
            }
            "delete" => assert_eq!(rows.remove(&key(&data)), Some(data), "{value}"),
            marker => assert!(data.is_empty() && marker.starts_with("bootstrap-"), "{value}"),
        }
    }

    fn rows(&self, table: &str) -> impl Iterator<Item = &Map<String, Value>> {
        self.tables.get(table).into_iter().flat_map(BTreeMap::values)
    }

    fn has(&self, table: &str, key: &Value) -> bool {
        self.tables.get(table).is_some_and(|rows| rows.contains_key(&key.to_string()))
    }
}

fn database(settings: Settings, count: usize) -> Database {
    let mut database = Database::default();
    for (_, value) in sound(&records(settings, 0, count)) {
        database.apply(&value);
    }
    database
}

#[test]
fn every_change_fits_to_the_row_that_was_there() {
    for settings in [
        quick(),
        Settings { seed: 5, dimension_share: 3_333, fault_share: 100, ..quick() },
        Settings { records_per_second: 1_000, ..quick() },
        Settings { users: 3, skus: 50, dimension_share: 2_000, ..bounded(15_000, 3) },
    ] {
        assert!(database(settings, 15_000).tables.len() > 35);
    }
}

#[test]
fn all_rows_of_a_story_belong_together() {
    let database = database(quick(), 30_000);
    for (table, column, target) in [
        ("order_detail", "order_id", "order_info"),
        ("order_detail", "sku_id", "sku_info"),
        ("order_info", "user_id", "user_info"),
        ("order_info", "province_id", "base_province"),
        ("order_detail_activity", "order_detail_id", "order_detail"),
        ("order_detail_activity", "activity_rule_id", "activity_rule"),
        ("order_detail_coupon", "order_detail_id", "order_detail"),
        ("order_detail_coupon", "coupon_use_id", "coupon_use"),
        ("order_detail_coupon", "coupon_id", "coupon_info"),
        ("payment_info", "order_id", "order_info"),
        ("order_refund_info", "order_id", "order_info"),
        ("refund_payment", "order_id", "order_info"),
        ("comment_info", "order_id", "order_info"),
        ("favor_info", "spu_id", "spu_info"),
        ("favor_info", "user_id", "user_info"),
        ("cart_info", "sku_id", "sku_info"),
        ("coupon_range", "coupon_id", "coupon_info"),
        ("activity_sku", "activity_id", "activity_info"),
        ("activity_sku", "sku_id", "sku_info"),
        ("sku_info", "spu_id", "spu_info"),
        ("sku_info", "category3_id", "base_category3"),
        ("sku_info", "tm_id", "base_trademark"),
        ("base_category3", "category2_id", "base_category2"),
        ("base_category2", "category1_id", "base_category1"),
    ] {
        let mut count = 0;
        for row in database.rows(table) {
            assert!(database.has(target, &row[column]), "{table}.{column}: {row:?}");
            count += 1;
        }
        assert!(count > 0, "{table} has no rows");
    }
    for row in database.rows("base_province") {
        let region = Value::String(row["region_id"].as_str().unwrap().to_owned());
        assert!(database.has("base_region", &region));
    }
}

#[test]
fn sums_of_orders_are_those_of_their_details() {
    let database = database(quick(), 20_000);
    let cents = |value: &Value| {
        let hundredths = value.as_f64().unwrap_or(0.0) * 100.0;
        format!("{hundredths:.0}").parse::<i64>().unwrap()
    };
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    let mut reduced = 0;
    for detail in database.rows("order_detail") {
        let price = cents(&detail["order_price"]);
        let count: i64 = detail["sku_num"].as_str().unwrap().parse().unwrap();
        let [total, activity, coupon] =
            ["split_total_amount", "split_activity_amount", "split_coupon_amount"]
                .map(|name| cents(&detail[name]));
        assert_eq!(total, price * count - activity - coupon, "{detail:?}");
        assert!(total > 0, "{detail:?}");
        reduced += i32::from(activity > 0) + i32::from(coupon > 0);
        *sums.entry(detail["order_id"].to_string()).or_default() += total;
    }
    assert!(reduced > 100);
    for order in database.rows("order_info") {
        let total = cents(&order["total_amount"]) - cents(&order["feight_fee"]);
        assert_eq!(Some(&total), sums.get(&order["id"].to_string()), "{order:?}");
    }
}

#[test]
fn stories_reach_every_state() {
    let database = database(Settings { records_per_second: 20, ..quick() }, 40_000);
    let count = |table: &str, column: &str, state: &str| {
        database.rows(table).filter(|row| row[column] == state).count()
    };
    for (table, column, states) in [
        ("order_info", "order_status", &["1001", "1002", "1003", "1004", "1005", "1006"][..]),
        ("payment_info", "payment_status", &["1601", "1602", "1603"]),
        ("payment_info", "payment_type", &["1101", "1102", "1103"]),
        ("coupon_use", "coupon_status", &["1401", "1402", "1403"]),
        ("order_refund_info", "refund_status", &["0701", "0702", "0705"]),
        ("refund_payment", "refund_status", &["0701", "0705"]),
        ("order_refund_info", "refund_type", &["1501", "1502"]),
        ("comment_info", "appraise", &["1201", "1202", "1203", "1204"]),
        ("favor_info", "is_cancel", &["0", "1"]),
        ("order_detail", "source_type", &["2401", "2402", "2403", "2404"]),
    ] {
        for state in states {
            assert!(count(table, column, state) > 0, "{table}.{column} is never {state}");
        }
    }
}
