//! The rate at which one core reads change records, beside serde_json checking the same bytes.
//!
//! Prints records and megabytes per second, the best of [`ROUNDS`] passes over [`RECORDS`] records
//! of about 400 bytes. Build it optimised; the aim is 1 M records/s decoded with `data` skipped.

#![expect(clippy::print_stdout, reason = "printing the figures is what this example is for")]

use std::hint::black_box;
use std::time::Instant;

use connectors::format::maxwell::MaxwellParser;
use connectors::format::maxwell::data::DataReader;
use connectors::format::maxwell::decoder::MaxwellDecoder;
use engine::batch::Batch;
use engine::batch::build::{BatchBuilder, RawBuilder, raw_schema};
use engine::codec::{Decoded, Decoder};
use engine::counter::Counters;
use serde::de::IgnoredAny;

const RECORDS: u32 = 20_000;
const BATCH: usize = 1000;
const ROUNDS: u32 = 9;

fn main() {
    let records: Vec<Vec<u8>> = (0..RECORDS).map(|index| record(index).into_bytes()).collect();
    let bytes: usize = records.iter().map(Vec::len).sum();
    println!("{} records of {} bytes on average", records.len(), bytes / records.len());
    let each = |name, pass: &mut dyn FnMut(&[u8])| {
        rate(name, bytes, &mut || records.iter().for_each(|record| pass(record)));
    };
    each("serde_json, checked only", &mut |value| {
        black_box(serde_json::from_slice::<IgnoredAny>(value).is_ok());
    });
    each("from_utf8 only", &mut |value| {
        black_box(str::from_utf8(value).is_ok());
    });
    let mut parser = MaxwellParser::default();
    each("parse", &mut |value| {
        black_box(parser.parse(value).map(|change| change.ts()).expect("the records are valid"));
    });
    each("parse, read data", &mut |value| {
        let change = parser.parse(value).expect("the records are valid");
        let columns = DataReader::new(change.data().unwrap_or_default().as_bytes());
        black_box(columns.map(|member| member.name.len()).sum::<usize>());
    });
    let batches: Vec<Batch> = records.chunks(BATCH).map(raw_batch).collect();
    let mut decoder = MaxwellDecoder::new();
    rate("decode", bytes, &mut || batches.iter().for_each(|batch| decode(&mut decoder, batch)));
}

fn raw_batch(records: &[Vec<u8>]) -> Batch {
    let mut raw = RawBuilder::new(&raw_schema(), 0);
    for (position, record) in (0..).zip(records) {
        raw.push(position, None, Some(record));
    }
    raw.finish().expect("there are records")
}

/// As the engine's decode stage does it.
fn decode(decoder: &mut MaxwellDecoder, input: &Batch) {
    let mut counters = Counters::new("ods_db".into());
    let rows = BatchBuilder::over(decoder.schema(), input);
    let mut out = Decoded { rows, dead: Vec::new(), counters: &mut counters };
    decoder.decode(input, &mut out);
    assert!(out.dead.is_empty(), "the records are valid");
    black_box(out.rows.finish(None).map(|batch| batch.len()));
}

fn rate(name: &str, bytes: usize, pass: &mut dyn FnMut()) {
    let mut best = f64::INFINITY;
    for _round in 0..ROUNDS {
        let started = Instant::now();
        pass();
        best = best.min(started.elapsed().as_secs_f64());
    }
    let megabytes = f64::from(u32::try_from(bytes).expect("a few megabytes")) / 1e6;
    println!("{name:26} {:7.0} k/s {:6.0} MB/s", f64::from(RECORDS) / best / 1e3, megabytes / best);
}

/// Two facts in three, else a row of a dimension table; every third record is an update.
fn record(index: u32) -> String {
    let shuffled = index.wrapping_mul(2_654_435_761) >> 8;
    let (table, data) = match shuffled % 3 {
        0 => ("sku_info", sku(shuffled)),
        1 => ("order_info", order(shuffled)),
        _ => ("order_detail", detail(shuffled)),
    };
    let (kind, old) = if index.is_multiple_of(3) {
        ("update", r#","old":{"create_time":"2022-04-30 11:02:00"}"#)
    } else {
        ("insert", "")
    };
    let (ts, xid) = (1_651_287_720 + index / 100, 9000 + index);
    format!(
        r#"{{"database":"gmall2022","table":"{table}","type":"{kind}","ts":{ts},"xid":{xid},"commit":true,"data":{data}{old}}}"#
    )
}

fn sku(n: u32) -> String {
    format!(
        concat!(
            r#"{{"id":{},"spu_id":{},"price":{}.00,"sku_name":"小米 Demo phone 128G","#,
            r#""sku_desc":"a phone, 口红 not included","weight":0.20,"tm_id":{},"category3_id":61,"#,
            r#""sku_default_img":"http://host/group1/rBHu8l-sklaALrngAAHGDqdpFtU741.jpg","#,
            r#""is_sale":1,"create_time":"2022-04-30 11:02:00"}}"#
        ),
        n % 35,
        n % 12,
        n % 5000,
        n % 11
    )
}

fn order(n: u32) -> String {
    format!(
        concat!(
            r#"{{"id":{},"consignee":"A","total_amount":{}.00,"order_status":"1001","user_id":{},"#,
            r#""out_trade_no":"500012345678901","create_time":"2022-04-30 11:02:00","#,
            r#""operate_time":null,"province_id":{},"activity_reduce_amount":50.00,"#,
            r#""coupon_reduce_amount":0.00,"original_total_amount":3998.00,"feight_fee":0.00}}"#
        ),
        n,
        n % 9000,
        n % 2000,
        n % 34
    )
}

fn detail(n: u32) -> String {
    format!(
        concat!(
            r#"{{"id":{},"order_id":{},"sku_id":{},"sku_name":"Demo phone 128G","img_url":null,"#,
            r#""order_price":1999.00,"sku_num":"2","create_time":"2022-04-30 11:02:00","#,
            r#""source_type":"2401","source_id":null,"split_total_amount":{}.00,"#,
            r#""split_activity_amount":50.00,"split_coupon_amount":null}}"#
        ),
        n,
        n / 2,
        n % 35,
        n % 4000
    )
}
