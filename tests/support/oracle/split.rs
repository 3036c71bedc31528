//! is_new repair (warehouse.md 6.2) and the split into five topics (6.3, shape `nested`).

use serde_json::{Map, Value};

use super::decode::has_object;
use super::{Outcome, Page, Read, calendar};

const LOG_SPLIT: &str = "job=log_split";

/// Repairs is_new in the order of reading.
pub(super) fn repair(reads: &mut [Read], outcome: &mut Outcome) {
    reads.sort_by_key(|read| read.place.reading_order());
    for read in reads {
        let today = calendar::date(read.place.ts);
        let common = read.record["common"].as_object_mut().expect("checked when decoded");
        let first = outcome.first_visits.get(&read.mid).cloned();
        match (common.get("is_new").and_then(Value::as_str), first) {
            (Some("1"), None) => {
                outcome.first_visits.insert(read.mid.clone(), today);
            }
            (Some("1"), Some(first)) if first == today => {}
            (Some("1"), Some(_)) => {
                common.insert("is_new".into(), "0".into());
                outcome.count("is_new_repaired", LOG_SPLIT);
            }
            (Some("0"), None) => {
                let yesterday = calendar::day_before(read.place.ts);
                outcome.first_visits.insert(read.mid.clone(), yesterday);
            }
            (Some("0"), Some(_)) => {}
            _ => outcome.count("bad_is_new", LOG_SPLIT),
        }
    }
}

/// Splits every record; the page records.
pub(super) fn split(reads: Vec<Read>, outcome: &mut Outcome) -> Vec<Page> {
    let mut pages = Vec::new();
    for read in reads {
        let before = written(outcome);
        if let Some(record) = split_one(read.record, outcome) {
            pages.push(Page { place: read.place, mid: read.mid, record });
        }
        let written = written(outcome) - before;
        outcome.count_many("records_out", LOG_SPLIT, written);
    }
    pages
}

fn written(outcome: &Outcome) -> usize {
    outcome.topics.values().map(Vec::len).sum()
}

/// Publishes the parts of one record; its page record, if it has one.
fn split_one(mut record: Map<String, Value>, outcome: &mut Outcome) -> Option<Value> {
    let is_start = has_object(&record, "start");
    let is_page = has_object(&record, "page") && !is_start;
    if is_start && has_object(&record, "page") {
        outcome.count("start_and_page", LOG_SPLIT);
    }
    if is_page {
        clean(&mut record, "displays", outcome);
        clean(&mut record, "actions", outcome);
    }
    if record.get("err").is_some_and(|error| !error.is_null()) {
        outcome.publish("dwd_traffic_error_log", Value::Object(record.clone()));
        record.remove("err");
    }
    if is_start {
        outcome.publish("dwd_traffic_start_log", Value::Object(record));
        return None;
    }
    if !is_page {
        outcome.count("no_main", LOG_SPLIT);
        return None;
    }
    Some(split_page(record, outcome))
}

fn split_page(mut record: Map<String, Value>, outcome: &mut Outcome) -> Value {
    let displays = record.remove("displays");
    let actions = record.remove("actions");
    for mut display in elements(displays) {
        display["common"] = record["common"].clone();
        display["page"] = record["page"].clone();
        display["ts"] = record["ts"].clone();
        outcome.publish("dwd_traffic_display_log", display);
    }
    for mut action in elements(actions) {
        action["common"] = record["common"].clone();
        action["page"] = record["page"].clone();
        outcome.publish("dwd_traffic_action_log", action);
    }
    let record = Value::Object(record);
    outcome.publish("dwd_traffic_page_log", record.clone());
    record
}

/// Drops the member if it is no array, and its elements that are no objects.
fn clean(record: &mut Map<String, Value>, name: &str, outcome: &mut Outcome) {
    match record.get_mut(name) {
        None => {}
        Some(Value::Array(elements)) => {
            let before = elements.len();
            elements.retain(Value::is_object);
            let dropped = before - elements.len();
            outcome.count_many("bad_member", LOG_SPLIT, dropped);
        }
        Some(_) => {
            record.remove(name);
            outcome.count("bad_member", LOG_SPLIT);
        }
    }
}

fn elements(member: Option<Value>) -> Vec<Value> {
    match member {
        Some(Value::Array(elements)) => elements,
        None => Vec::new(),
        Some(other) => unreachable!("not cleaned: {other}"),
    }
}
