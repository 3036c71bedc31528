//! Messages to records: the reasons of warehouse.md 2.1 in their order, time, `behind`.

use serde_json::{Map, Value};

use super::{Input, Outcome, Place, Read, Settings};

const IN: &str = "job=log_split";

/// Deepest nesting that is still a record; the record itself is depth 1.
const DEPTH_MAX: usize = 64;

pub(super) fn decode(input: &Input, settings: &Settings, outcome: &mut Outcome) -> Vec<Read> {
    let mut reads = Vec::new();
    for (partition, messages) in input.partitions.iter().enumerate() {
        let mut greatest = None;
        for (offset, message) in messages.iter().enumerate() {
            outcome.count("records_in", IN);
            match record(message) {
                Err(reason) => {
                    outcome.count("dirty", &format!("{IN},reason={reason}"));
                    outcome.set_aside("dirty_log", reason, message.clone());
                }
                Ok((_, ts, _)) if ts > settings.clock_ms + settings.future_skew_ms => {
                    outcome.count("future", IN);
                    outcome.set_aside("future_log_split", "future", message.clone());
                }
                Ok((mid, ts, record)) => {
                    // The watermark before the row, and what the row does to it.
                    let watermark = greatest.map(|greatest| greatest - settings.bound_ms - 1);
                    let behind = watermark.filter(|&watermark| ts <= watermark);
                    if ts > settings.clock_ms + settings.future_hold_ms {
                        outcome.count("future_time", IN);
                    } else {
                        greatest = greatest.max(Some(ts));
                    }
                    let greatest = greatest.unwrap_or(ts);
                    let place = Place { ts, greatest, partition, offset, behind };
                    reads.push(Read { place, mid, record });
                }
            }
        }
    }
    reads
}

/// The mid, the time and the members of a message, or why it is dirty.
fn record(message: &[u8]) -> Result<(String, i64, Map<String, Value>), &'static str> {
    let Ok(Value::Object(record)) = serde_json::from_slice(message) else {
        return Err("not_object");
    };
    if depth(message) > DEPTH_MAX {
        return Err("not_object");
    }
    let common = record.get("common").and_then(Value::as_object).ok_or("no_common")?;
    let mid = match common.get("mid") {
        Some(Value::String(mid)) if !mid.is_empty() => mid.clone(),
        Some(Value::Number(mid)) => mid.to_string(),
        Some(Value::String(_) | Value::Null | Value::Bool(_) | Value::Array(_))
        | Some(Value::Object(_))
        | None => return Err("no_mid"),
    };
    let ts = record.get("ts").and_then(Value::as_i64).filter(|&ts| ts >= 0).ok_or("bad_ts")?;
    let error = record.get("err").is_some_and(|error| !error.is_null());
    if !has_object(&record, "start") && !has_object(&record, "page") && !error {
        return Err("no_main");
    }
    Ok((mid, ts, record))
}

pub(super) fn has_object(record: &Map<String, Value>, name: &str) -> bool {
    record.get(name).is_some_and(Value::is_object)
}

/// Greatest nesting of arrays and objects in a JSON text, those of overwritten members included.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}
