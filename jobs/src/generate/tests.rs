//! Tests of the generator as its users see it: repeatable, in bounds, readable.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::device::{DAY_MS, day_of};
use super::*;

/// Lines with what was said about them, keys as text.
type Line = (Generated, Vec<u8>, Option<String>);

fn lines(settings: Settings, from: u64, count: usize) -> Vec<Line> {
    let mut cursor = Generator::new(settings).open(from);
    let mut all = Vec::new();
    for _ in 0..count {
        let mut out = b"before".to_vec();
        let Some(generated) = cursor.next(&mut out) else { break };
        let key =
            generated.key.clone().map(|range| String::from_utf8(out[range].to_vec()).unwrap());
        all.push((generated, out.split_off(6), key));
    }
    all
}

fn day(records: u64, days: u32) -> Settings {
    Settings { records: Some(records), days, mids: 2_000, ..Settings::default() }
}

fn dense() -> Settings {
    Settings { mids: 5_000, ..Settings::default() }
}

fn bytes(lines: &[Line]) -> Vec<&[u8]> {
    lines.iter().map(|(_, bytes, _)| &bytes[..]).collect()
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let first = lines(dense(), 0, 500);
    assert_eq!(bytes(&first), bytes(&lines(dense(), 0, 500)));
    let other = lines(Settings { seed: 2, ..dense() }, 0, 500);
    assert_ne!(bytes(&first), bytes(&other));
}

#[test]
fn opening_at_a_number_equals_skipping_to_it() {
    for settings in [dense(), day(3_000, 3), day(200_000, 1)] {
        let all = lines(settings.clone(), 0, 2_500);
        for from in [1_usize, 31, 32, 500, 2_499] {
            let opened = lines(settings.clone(), u64::try_from(from).unwrap(), 2_500 - from);
            assert_eq!(bytes(&opened), bytes(&all[from..]), "from {from}");
        }
    }
}

#[test]
fn a_bounded_stream_ends_and_appends_nothing_more() {
    let mut cursor = Generator::new(day(3, 1)).open(2);
    let mut out = Vec::new();
    assert_eq!(cursor.next(&mut out).map(|generated| generated.number), Some(2));
    let length = out.len();
    assert_eq!((cursor.next(&mut out), out.len()), (None, length));
}

#[test]
fn whole_lines_parse_and_say_what_was_announced() {
    for (generated, line, key) in lines(dense(), 0, 10_000) {
        assert!(!line.contains(&b'\n'), "record {}", generated.number);
        let Some(time_ms) = generated.time_ms else { continue };
        let value: Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value["ts"].as_i64(), Some(time_ms));
        assert_eq!(value["common"]["mid"].as_str(), key.as_deref());
        for member in ["ar", "ba", "ch", "md", "os", "vc"] {
            assert!(value["common"][member].is_string(), "{member} of {value}");
        }
        let main = ["start", "page", "err"].iter().any(|main| value[main].is_object());
        assert!(main, "{value}");
    }
}

#[test]
fn broken_lines_are_dirty() {
    let broken: Vec<Line> =
        lines(dense(), 0, 20_000).into_iter().filter(|(g, ..)| g.time_ms.is_none()).collect();
    let mut kinds = BTreeSet::new();
    for (_, line, key) in &broken {
        let kind = match serde_json::from_slice::<Value>(line) {
            Err(_) if line.iter().all(u8::is_ascii_whitespace) => "blank",
            Err(_) if std::str::from_utf8(line).is_err() => "not UTF-8",
            Err(_) if line.starts_with(b"{") => "cut",
            Err(_) => "plain text",
            Ok(value) if !value.is_object() => "not an object",
            Ok(value) if value.get("common").is_none() => "no common",
            Ok(value) if value["common"].get("mid").is_none() => "no mid",
            Ok(value) if value.get("ts").is_none() => "no ts",
            Ok(value) => panic!("not broken: {value}"),
        };
        let keyed = key.as_deref().is_none_or(|key| key.starts_with("mid_"));
        assert!(keyed, "{kind}: {key:?}");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 8, "{kinds:?}");
}

#[test]
fn shares_are_kept() {
    // Far from the start, which cuts the delays of the first minutes short.
    let all = lines(dense(), 1_000_000, 20_000);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut size = 0;
    let mut seen = BTreeSet::new();
    for (generated, line, _) in &all {
        size += line.len();
        let mut add = |name, yes: bool| *counts.entry(name).or_default() += usize::from(yes);
        let Some(time_ms) = generated.time_ms else {
            add("broken", true);
            continue;
        };
        let value: Value = serde_json::from_slice(line).unwrap();
        let delay = generator_delay(generated.number, time_ms);
        add("late", (3_001..18_000).contains(&delay));
        add("very late", delay > 18_000);
        add("duplicate", !seen.insert(line));
        add("error", value.get("err").is_some());
        add("start", value.get("start").is_some());
        add("page", value.get("page").is_some());
        add("entry", value["page"].is_object() && value["page"].get("last_page_id").is_none());
        add("display", value.get("displays").is_some());
        add("action", value.get("actions").is_some());
        add("new", value["common"]["is_new"] == "1");
        add("known", value["common"].get("uid").is_some());
        add("search", value["page"]["item_type"] == "keyword");
        add("odd", value["common"]["is_new"] != "0" && value["common"]["is_new"] != "1");
    }
    let within = [
        ("broken", 70..130),
        ("late", 40..90),
        ("very late", 3..22),
        ("duplicate", 22..62),
        ("error", 520..680),
        ("start", 1_600..4_000),
        ("page", 16_000..18_400),
        ("entry", 2_400..5_000),
        ("display", 7_000..12_000),
        ("action", 1_400..4_000),
        ("new", 1_000..8_000),
        ("known", 9_000..16_000),
        ("search", 600..2_000),
        ("odd", 1..12),
    ];
    for (name, range) in within {
        assert!(range.contains(&counts[name]), "{name}: {} of 20000", counts[name]);
    }
    assert!((600..=650).contains(&(size / all.len())), "{} bytes a line", size / all.len());
}

/// How long before its arrival a record of [`dense`] was made.
fn generator_delay(number: u64, time_ms: i64) -> i64 {
    Generator::new(dense()).arrival_ms(number) - time_ms
}

#[test]
fn all_days_asked_for_are_covered_and_nothing_lies_in_the_future() {
    let settings = day(8_000, 5);
    let mut days = BTreeSet::new();
    for (generated, line, _) in lines(settings.clone(), 0, usize::MAX) {
        let Some(time_ms) = generated.time_ms else { continue };
        assert!(time_ms <= settings.last_day_end_ms);
        assert!(time_ms >= settings.last_day_end_ms - 5 * DAY_MS);
        days.insert(day_of(time_ms));
        let value: Value = serde_json::from_slice(&line).unwrap();
        for action in value["actions"].as_array().into_iter().flatten() {
            assert!(action["ts"].as_i64().unwrap() <= settings.last_day_end_ms);
        }
    }
    // Noon to noon touches six calendar days.
    assert_eq!(days.len(), 6);
    assert_eq!(days.last(), Some(&day_of(settings.last_day_end_ms)));
}

#[test]
fn a_live_stream_keeps_the_pace_of_its_rate() {
    let generator = Generator::new(Settings { records_per_second: 4_000, ..Settings::default() });
    let start_ms = generator.settings().start_ms;
    assert_eq!(generator.arrival_ms(0), start_ms);
    assert_eq!(generator.arrival_ms(4_000 * 3_600), start_ms + 3_600_000);
}

#[test]
fn devices_begin_with_is_new_and_lose_it_the_next_day() {
    let settings = Settings {
        shares: Shares { cleared: 0, odd: 0, very_late: 0, ..Shares::default() },
        ..day(10_000, 3)
    };
    let mut new_days: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    for (generated, line, key) in lines(settings, 0, usize::MAX) {
        let Some(time_ms) = generated.time_ms else { continue };
        let value: Value = serde_json::from_slice(&line).unwrap();
        if value["common"]["is_new"] == "1" {
            new_days.entry(key.unwrap()).or_default().insert(day_of(time_ms));
        }
    }
    assert!(new_days.len() > 100, "{} new devices", new_days.len());
    assert!(new_days.values().all(|days| days.len() == 1));
    assert!(new_days.values().flatten().collect::<BTreeSet<_>>().len() > 2);
}

#[test]
fn entries_follow_entries_of_the_same_device() {
    let mut after_entry: BTreeMap<String, bool> = BTreeMap::new();
    let mut jumps = 0;
    for (generated, line, key) in lines(dense(), 0, 10_000) {
        if generated.time_ms.is_none() {
            continue;
        }
        let value: Value = serde_json::from_slice(&line).unwrap();
        if value["page"].is_object() {
            let entry = value["page"].get("last_page_id").is_none();
            let before = after_entry.insert(key.unwrap(), entry);
            jumps += u32::from(entry && before == Some(true));
        }
    }
    assert!(jumps > 75, "{jumps} entries right after an entry");
}
