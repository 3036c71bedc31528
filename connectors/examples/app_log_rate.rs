//! The rate at which one core reads and splits app logs, beside serde_json checking the same bytes.
//!
//! Prints records and megabytes per second, the best of [`ROUNDS`] passes over [`RECORDS`] records
//! of about 650 bytes. Build it optimised; the aim is engine 24.1 (1.2 M records/s read).

#![expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]

use std::hint::black_box;
use std::time::Instant;

use connectors::format::app_log::{AppLogParser, Endings, Layout, Main, Split, SplitOptions};
use serde::de::IgnoredAny;

const RECORDS: u32 = 20_000;
const ROUNDS: u32 = 9;

fn main() {
    let records: Vec<Vec<u8>> = (0..RECORDS).map(|index| record(index).into_bytes()).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!("{} records of {} bytes on average", records.len(), bytes / records.len());
    let report = |name, pass: &mut dyn FnMut(&[u8])| rate(name, &records, bytes, pass);

    report("serde_json, checked only", &mut |value| {
        black_box(serde_json::from_slice::<IgnoredAny>(value).is_ok());
    });
    report("from_utf8 only", &mut |value| {
        black_box(str::from_utf8(value).is_ok());
    });
    let mut parser = AppLogParser::default();
    report("parse", &mut |value| {
        black_box(parser.parse(value).map(|log| log.ts()).expect("the records are valid"));
    });
    let mut layout = Vec::new();
    let (mut endings, mut out) = (Endings::default(), Vec::new());
    report("parse, layout", &mut |value| {
        layout.clear();
        let log = parser.parse(value).expect("the records are valid");
        log.write_layout(&mut layout);
        black_box(layout.len());
    });
    report("parse, layout, split", &mut |value| {
        layout.clear();
        out.clear();
        let log = parser.parse(value).expect("the records are valid");
        log.write_layout(&mut layout);
        split(value, Layout::read(&layout), &mut endings, &mut out);
        black_box(out.len());
    });
}

/// All outputs of one record.
fn split(value: &[u8], layout: Layout<'_>, endings: &mut Endings, out: &mut Vec<u8>) {
    let split = Split::new(value, layout, false, SplitOptions::default(), endings);
    split.write_error(out);
    for element in layout.displays() {
        split.write_display(element, out);
    }
    for element in layout.actions() {
        split.write_action(element, out);
    }
    if layout.main() != Main::None && !split.is_main_plain() {
        split.write_main(out);
    }
}

fn rate(name: &str, records: &[Vec<u8>], bytes: usize, pass: &mut dyn FnMut(&[u8])) {
    let mut best = f64::INFINITY;
    for _round in 0..ROUNDS {
        let started = Instant::now();
        for record in records {
            pass(record);
        }
        best = best.min(started.elapsed().as_secs_f64());
    }
    let count = u32::try_from(records.len()).expect("there are few records");
    let megabytes = f64::from(u32::try_from(bytes).expect("a few megabytes")) / 1e6;
    println!("{name:26} {:7.0} k/s {:6.0} MB/s", f64::from(count) / best / 1e3, megabytes / best);
}

/// A start record now and then, else a page record with a few displays and sometimes an action.
fn record(index: u32) -> String {
    let shuffled = index.wrapping_mul(2_654_435_761) >> 8;
    let mut text = String::from("{");
    let displays = if shuffled.is_multiple_of(16) { 0 } else { 2 + shuffled / 16 % 5 };
    if displays != 0 && shuffled.is_multiple_of(3) {
        text.push_str(&format!(
            r#""actions":[{{"action_id":"favor_add","item":"{}","item_type":"sku_id","ts":{}}}],"#,
            shuffled % 35,
            1_651_287_612_500_u64 + u64::from(index)
        ));
    }
    text.push_str(&format!(
        concat!(
            r#""common":{{"ar":"{}","ba":"Xiaomi","ch":"{}","is_new":"{}","md":"Xiaomi 10 Pro","#,
            r#""mid":"mid_{}","os":"Android 11.0","uid":"{}","vc":"v2.1.134"}},"#
        ),
        110_000 + shuffled % 30 * 10_000,
        ["oppo", "xiaomi", "Appstore", "web"].get(shuffled as usize % 4).unwrap_or(&"vivo"),
        shuffled % 2,
        shuffled % 100_000,
        shuffled % 2000,
    ));
    if displays == 0 {
        text.push_str(r#""start":{"entry":"icon","loading_time":4120,"open_ad_id":7,"open_ad_ms":3050,"open_ad_skip_ms":0},"#);
    } else {
        displays_and_page(&mut text, shuffled, displays);
    }
    text.push_str(&format!(r#""ts":{}}}"#, 1_651_287_600_000 + u64::from(index)));
    text
}

fn displays_and_page(text: &mut String, shuffled: u32, displays: u32) {
    text.push_str(r#""displays":["#);
    for order in 1..=displays {
        text.push_str(&format!(
            r#"{}{{"display_type":"{}","item":"{}","item_type":"sku_id","order":{order},"pos_id":{}}}"#,
            if order == 1 { "" } else { "," },
            ["promotion", "query", "recommend"].get((shuffled + order) as usize % 3).unwrap_or(&""),
            (shuffled + order) % 35,
            1 + (shuffled + order) % 5,
        ));
    }
    text.push_str(&format!(
        concat!(
            r#"],"page":{{"during_time":{},"item":"{}","item_type":"sku_id","last_page_id":"home","#,
            r#""page_id":"good_detail","source_type":"promotion"}},"#
        ),
        5000 + shuffled % 15_000,
        shuffled % 35,
    ));
}
