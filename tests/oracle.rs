//! The batch oracle against figures worked out by hand: the golden scenario and small cases.
//!
//! Other tests trust the oracle; nothing but these cases watches it. A change here means that a
//! rule of warehouse.md was read wrongly before.

mod support {
    pub(crate) mod oracle;
}

#[path = "by_hand/visits.rs"]
mod visits;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::oracle::{Input, Outcome, PAGE_VIEW, Settings, TRAFFIC, outcome, sorted};

/// 2022-04-30 11:00:00 +08:00, the start of a window.
const ELEVEN: i64 = 1_651_287_600_000;
/// 2022-05-01 00:00:00 +08:00.
const MIDNIGHT: i64 = 1_651_334_400_000;
const HOUR: i64 = 3_600_000;

const UV: &str = "dwd_traffic_unique_visitor_detail";
const UJ: &str = "dwd_traffic_user_jump_detail";

/// An entry page, `home`.
fn entry(mid: &str, ts: i64) -> Value {
    json!({
        "common": {"ar": "330000", "ch": "oppo", "is_new": "0", "mid": mid, "vc": "v2.1.134"},
        "page": {"during_time": 1000, "page_id": "home"}, "ts": ts,
    })
}

/// A page that was reached from `home`.
fn inner(mid: &str, ts: i64) -> Value {
    let mut record = entry(mid, ts);
    record["page"] = json!({"during_time": 10, "page_id": "good_detail", "last_page_id": "home"});
    record
}

fn bytes(record: &Value) -> Vec<u8> {
    record.to_string().into_bytes()
}

/// One partition of these records.
fn run(records: &[Value]) -> Outcome {
    run_partitions(&[records])
}

fn run_partitions(partitions: &[&[Value]]) -> Outcome {
    let partitions = partitions.iter().map(|records| records.iter().map(bytes).collect());
    outcome(&Input { partitions: partitions.collect() }, &Settings::default())
}

fn run_raw(messages: &[&[u8]]) -> Outcome {
    let messages = messages.iter().map(|message| message.to_vec()).collect();
    outcome(&Input { partitions: vec![messages] }, &Settings::default())
}

fn times(records: &[Value]) -> Vec<i64> {
    let mut times: Vec<i64> = records.iter().filter_map(|record| record["ts"].as_i64()).collect();
    assert_eq!(times.len(), records.len());
    times.sort_unstable();
    times
}

/// The sum of a metric over all rows of DWS 2.
fn total(outcome: &Outcome, metric: &str) -> i64 {
    outcome.table(TRAFFIC).iter().map(|row| row[metric].as_i64().expect("a metric")).sum()
}

fn late(outcome: &Outcome, job: &str) -> u64 {
    let counted = outcome.counter("late", &format!("job={job}"));
    assert!(
        aside(outcome, &format!("late_{job}")) <= counted,
        "{job}: in the side output but not counted"
    );
    counted
}

/// How many entries a side output has.
fn aside(outcome: &Outcome, output: &str) -> u64 {
    let count = outcome.side.get(output).map_or(0, Vec::len);
    u64::try_from(count).expect("a usize fits in u64")
}

fn golden(path: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines/golden");
    let text =
        std::fs::read(folder.join(path)).expect("the golden scenario is part of the repository");
    text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
}

fn golden_values(path: &str) -> Vec<Value> {
    sorted(golden(path).iter().map(|line| serde_json::from_slice(line).expect("golden JSON")))
}

#[test]
fn the_golden_scenario_comes_out_exactly() {
    let messages = golden("IN/ods_log.jsonl");
    // Spread over partitions by mid or not, the result is the same.
    for count in [1, 2, 3] {
        let mut partitions = vec![Vec::new(); count];
        for message in &messages {
            let record: Value = serde_json::from_slice(message).unwrap();
            let mid = record["common"]["mid"].as_str().unwrap();
            let number: usize = mid.trim_start_matches("mid_").parse().unwrap();
            partitions[number % count].push(message.clone());
        }
        let outcome = outcome(&Input { partitions }, &Settings::default());
        for topic in ["page_log", "start_log", "display_log", "action_log", "error_log"]
            .into_iter()
            .chain(["unique_visitor_detail", "user_jump_detail"])
        {
            let topic = format!("dwd_traffic_{topic}");
            let expected = golden_values(&format!("OUT/dwd/{topic}.jsonl"));
            assert_eq!(outcome.topic(&topic), expected, "{topic}");
        }
        for table in [TRAFFIC, PAGE_VIEW] {
            let expected = golden_values(&format!("OUT/dws/{table}.jsonl"));
            assert_eq!(outcome.table(table), expected, "{table}");
        }
        assert_eq!(outcome.counter("records_in", "job=log_split"), 9);
        assert_eq!(outcome.side.len(), 0);
        let states =
            outcome.first_visits.iter().map(|(mid, date)| json!({"mid": mid, "date": date}));
        let expected = [("mid_1", "2022-04-30"), ("mid_2", "2022-04-29"), ("mid_3", "2022-04-29")];
        let expected = expected.map(|(mid, date)| json!({"mid": mid, "date": date}));
        assert_eq!(sorted(states), sorted(expected));
    }
}

#[test]
fn each_dirty_message_has_its_reason_in_the_order_of_the_table() {
    let nested = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"common":{{"mid":"m"}},"page":{{}},"ts":1,"deep":{open}{close}}}"#)
    };
    let (fits, too_deep) = (nested(64), nested(65));
    let cases: &[(&str, &[u8])] = &[
        ("not_object", b""),
        ("not_object", b" \t"),
        ("not_object", b"plain text"),
        ("not_object", b"[1]"),
        ("not_object", b"{\"common\":{\"mid\":\"mid_41\",\"is_n"),
        ("not_object", b"{\"common\":{\"mid\":\"m\"},\"page\":{},\"ts\":1} {}"),
        ("not_object", b"{\"common\":{\"mid\":\"m\"},\"page\":{},\"ts\":1,\"x\":\"\xff\"}"),
        ("not_object", too_deep.as_bytes()),
        ("no_common", b"{}"),
        ("no_common", br#"{"common":[],"ts":-1}"#),
        ("no_mid", br#"{"common":{},"ts":-1}"#),
        ("no_mid", br#"{"common":{"mid":""},"page":{},"ts":1}"#),
        ("no_mid", br#"{"common":{"mid":null},"page":{},"ts":1}"#),
        ("no_mid", br#"{"common":{"mid":"m"},"page":{},"ts":1,"common":{"mid":true}}"#),
        ("bad_ts", br#"{"common":{"mid":"m"}}"#),
        ("bad_ts", br#"{"common":{"mid":"m"},"page":{},"ts":-1}"#),
        ("bad_ts", br#"{"common":{"mid":"m"},"page":{},"ts":1.5}"#),
        ("bad_ts", br#"{"common":{"mid":"m"},"page":{},"ts":"1"}"#),
        ("no_main", br#"{"common":{"mid":"m"},"ts":1}"#),
        ("no_main", br#"{"common":{"mid":"m"},"ts":1,"page":null,"start":1,"err":null}"#),
    ];
    for (reason, message) in cases {
        let outcome = run_raw(&[message]);
        let expected = [((*reason).to_owned(), message.to_vec())];
        assert_eq!(outcome.side["dirty_log"], expected, "{}", String::from_utf8_lossy(message));
        assert_eq!(outcome.counter("dirty", &format!("job=log_split,reason={reason}")), 1);
        assert_eq!(outcome.counter("records_out", "job=log_split"), 0);
    }
    let valid: &[&[u8]] = &[
        fits.as_bytes(),
        br#"{"common":{"mid":41},"page":{},"ts":1}"#,
        br#"{"common":{"mid":"m"},"ts":1,"err":0}"#,
        br#"{"common":7,"common":{"mid":"m"},"page":{},"ts":"x","ts":1}"#,
    ];
    let outcome = run_raw(valid);
    assert_eq!(outcome.side.get("dirty_log"), None);
    assert_eq!(outcome.counter("no_main", "job=log_split"), 1);
}

#[test]
fn the_truth_table_of_is_new_holds() {
    let day = 24 * HOUR;
    // Flag and day of each record of one mid, the flags that come out, the state at the end.
    type Case<'a> = (&'a [(&'a str, i64)], &'a [&'a str], Option<&'a str>);
    let cases: &[Case<'_>] = &[
        (&[("1", 0), ("1", 0)], &["1", "1"], Some("2022-04-30")),
        (&[("1", 0), ("1", 1)], &["1", "0"], Some("2022-04-30")),
        (&[("0", 0), ("1", 0)], &["0", "0"], Some("2022-04-29")),
        (&[("0", 0), ("1", -1)], &["0", "1"], Some("2022-04-29")),
        (&[("1", 0), ("0", 0), ("1", 0)], &["1", "0", "1"], Some("2022-04-30")),
        (&[("1", 0), ("1", -1)], &["1", "0"], Some("2022-04-30")),
        (&[("yes", 0), ("1", 0)], &["yes", "1"], Some("2022-04-30")),
        (&[("yes", 0)], &["yes"], None),
    ];
    for (records, flags, state) in cases {
        let records: Vec<Value> = records
            .iter()
            .enumerate()
            .map(|(index, (flag, days))| {
                let mut record = entry("m", ELEVEN + days * day);
                record["common"]["is_new"] = json!(flag);
                record["index"] = json!(index);
                record
            })
            .collect();
        let outcome = run(&records);
        let mut pages = outcome.topic("dwd_traffic_page_log");
        pages.sort_by_key(|page| page["index"].as_u64());
        let own: Vec<&str> =
            pages.iter().map(|page| page["common"]["is_new"].as_str().unwrap()).collect();
        assert_eq!(own, *flags, "{records:?}");
        assert_eq!(outcome.first_visits.get("m").map(String::as_str), *state, "{records:?}");
    }
}

#[test]
fn a_record_is_split_into_its_parts() {
    let mut record = inner("m", ELEVEN);
    record["displays"] = json!([{"item": "1", "ts": 5}, 7, {"item": "2"}]);
    record["actions"] = json!([{"action_id": "cart_add", "ts": 6}]);
    record["err"] = json!({"error_code": 1});
    record["extra"] = json!(true);
    let outcome = run(&[record.clone()]);
    let (common, page) = (&record["common"], &record["page"]);
    let plain = json!({"common": common, "page": page, "ts": ELEVEN, "extra": true});
    let mut error = record.clone();
    error["displays"].as_array_mut().unwrap().remove(1);
    assert_eq!(outcome.topic("dwd_traffic_page_log"), [plain]);
    assert_eq!(outcome.topic("dwd_traffic_error_log"), [error]);
    assert_eq!(
        outcome.topic("dwd_traffic_display_log"),
        ["1", "2"].map(|item| json!({"item": item, "common": common, "page": page, "ts": ELEVEN})),
    );
    assert_eq!(
        outcome.topic("dwd_traffic_action_log"),
        [json!({"action_id": "cart_add", "ts": 6, "common": common, "page": page})],
    );
    assert_eq!(outcome.counter("bad_member", "job=log_split"), 1);
    assert_eq!(outcome.counter("records_out", "job=log_split"), 5);
}

#[test]
fn a_start_record_keeps_its_page_and_loses_its_error() {
    let mut record = entry("m", ELEVEN);
    record["start"] = json!({"entry": "icon"});
    let clean = record.clone();
    record["err"] = json!({"error_code": 1});
    let outcome = run(&[record.clone()]);
    assert_eq!(outcome.topic("dwd_traffic_start_log"), [clean]);
    assert_eq!(outcome.topic("dwd_traffic_error_log"), [record]);
    assert_eq!(outcome.topic("dwd_traffic_page_log"), [] as [Value; 0]);
    assert_eq!(outcome.counter("start_and_page", "job=log_split"), 1);
}

#[test]
fn a_time_beyond_the_clock_is_held_or_set_aside() {
    let settings = Settings { clock_ms: ELEVEN, ..Settings::default() };
    let at = |ts| bytes(&entry("m", ts));
    let run = |ts: i64| {
        // The last record shows by its lateness whether the first advanced the watermark.
        let messages = vec![at(ts), at(ELEVEN)];
        outcome(&Input { partitions: vec![messages] }, &settings)
    };
    let cases = [
        (ELEVEN + 600_000, 0, 0, 1),
        (ELEVEN + 600_001, 1, 0, 0),
        (ELEVEN + 24 * HOUR, 1, 0, 0),
        (ELEVEN + 24 * HOUR + 1, 0, 1, 0),
    ];
    for (ts, held, future, late_jumps) in cases {
        let outcome = run(ts);
        assert_eq!(outcome.counter("future_time", "job=log_split"), held, "{ts}");
        assert_eq!(outcome.counter("future", "job=log_split"), future, "{ts}");
        assert_eq!(late(&outcome, "user_jump"), late_jumps, "{ts}");
        assert_eq!(aside(&outcome, "future_log_split"), future, "{ts}");
    }
}

#[test]
fn a_record_exactly_the_bound_behind_is_on_time() {
    for (behind, is_late) in [(2_999, 0), (3_000, 0), (3_001, 1)] {
        let outcome = run(&[entry("a", ELEVEN + 10_000), entry("b", ELEVEN + 10_000 - behind)]);
        for job in ["user_jump", "unique_visitor", PAGE_VIEW] {
            assert_eq!(late(&outcome, job), is_late, "{behind} ms behind, {job}");
        }
        // The window of job 2 waits: the late first visit counts there as visitor too.
        assert_eq!(total(&outcome, "pv_ct"), 2);
        assert_eq!(total(&outcome, "uv_ct"), 2);
        assert_eq!(late(&outcome, TRAFFIC), 0);
    }
}

#[test]
fn lateness_is_judged_by_the_own_partition() {
    let quick = [entry("a", ELEVEN + 60_000)];
    let slow = [entry("b", ELEVEN)];
    let apart = run_partitions(&[&quick, &slow]);
    assert_eq!(late(&apart, "user_jump"), 0);
    let together = run(&[quick[0].clone(), slow[0].clone()]);
    assert_eq!(late(&together, "user_jump"), 1);
}

#[test]
fn dws_2_takes_late_pages_until_eighteen_seconds_past_the_window() {
    // The window [0, 10 s) of the second page ends at 9999; late iff 9999 + 18000 <= greatest - 3001.
    for (greatest, is_late) in [(30_999, false), (31_000, true)] {
        for (at, page) in [(0, entry("b", ELEVEN)), (9_999, inner("b", ELEVEN + 9_999))] {
            let outcome = run(&[entry("a", ELEVEN + greatest), page]);
            let case = format!("greatest {greatest}, page at {at}");
            let is_entry = at == 0;
            assert_eq!(total(&outcome, "pv_ct"), if is_late { 1 } else { 2 }, "{case}");
            // A late entry is refused twice, as page and as visitor.
            let refused = if !is_late { 0 } else { 1 + u64::from(is_entry) };
            assert_eq!(late(&outcome, TRAFFIC), refused, "{case}");
            assert_eq!(total(&outcome, "uv_ct"), if is_entry && !is_late { 2 } else { 1 });
        }
    }
}

#[test]
fn a_greater_lateness_replaces_the_eighteen_seconds_and_a_smaller_does_not() {
    for (lateness_ms, late_pages) in [(0, 1), (17_000, 1), (18_001, 0)] {
        let settings = Settings { lateness_ms, ..Settings::default() };
        let messages =
            [inner("a", ELEVEN + 31_000), inner("b", ELEVEN)].map(|record| bytes(&record));
        let outcome = outcome(&Input { partitions: vec![messages.to_vec()] }, &settings);
        assert_eq!(late(&outcome, TRAFFIC), late_pages, "lateness {lateness_ms}");
    }
}

#[test]
fn null_key_parts_are_groups_of_their_own() {
    let mut bare = entry("a", ELEVEN);
    bare["common"] = json!({"mid": "a", "is_new": "0", "ch": null, "vc": 7});
    bare["page"] = json!({"page_id": "home", "during_time": "5"});
    let mut empty = entry("b", ELEVEN);
    empty["common"]["ch"] = json!("");
    let outcome = run(&[bare, empty, entry("c", ELEVEN)]);
    let rows = outcome.table(TRAFFIC);
    assert_eq!(rows.len(), 3);
    let bare = rows.iter().find(|row| row["ch"].is_null()).unwrap();
    assert_eq!(
        (&bare["vc"], &bare["ar"], &bare["dur_sum"]),
        (&json!("7"), &json!(null), &json!(0))
    );
}

#[test]
fn dws_3_refuses_what_is_late_and_does_not_count_it_as_seen() {
    let records = [inner("clock", ELEVEN + 4_000), entry("m", ELEVEN), entry("m", ELEVEN + 5_000)];
    let outcome = run(&records);
    // The late home lies in the open window of the second one, and is refused all the same.
    assert_eq!(late(&outcome, PAGE_VIEW), 1);
    let rows = outcome.table(PAGE_VIEW);
    assert_eq!(rows.len(), 1);
    assert_eq!((&rows[0]["home_uv_ct"], &rows[0]["good_detail_uv_ct"]), (&json!(1), &json!(1)));
    // Late pages of other kinds are no input of the job.
    let mut search = entry("m", ELEVEN);
    search["page"]["page_id"] = json!("search");
    let outcome = run(&[inner("clock", ELEVEN + 60_000), search]);
    assert_eq!(late(&outcome, PAGE_VIEW), 0);
}

#[test]
fn the_two_dates_of_dws_3_are_separate() {
    let outcome =
        run(&[entry("m", ELEVEN), inner("m", ELEVEN + 10_000), inner("m", ELEVEN + 30_000)]);
    let rows = outcome.table(PAGE_VIEW);
    let counts: Vec<(&Value, &Value)> =
        rows.iter().map(|row| (&row["home_uv_ct"], &row["good_detail_uv_ct"])).collect();
    assert_eq!(counts, [(&json!(1), &json!(0)), (&json!(0), &json!(1))]);
}

/// Records of some devices, a few hundred ms apart, over a midnight.
fn walk() -> Vec<Value> {
    (0..600_i64)
        .map(|index| {
            // Multiplying by an odd number spreads the kinds without a pattern in time.
            let spread = index * 7_919 % 1_009;
            let record = if spread % 3 == 0 { entry } else { inner };
            record(&format!("mid_{}", spread % 13), MIDNIGHT - 60_000 + index * 211)
        })
        .collect()
}

#[test]
fn records_out_of_order_within_the_bound_give_what_sorted_ones_give() {
    let sorted = walk();
    let mut shuffled = sorted.clone();
    // Each record is delayed by less than 3 s; the instants of arrival decide the order.
    shuffled.sort_by_key(|record| {
        let ts = record["ts"].as_i64().unwrap();
        ts + ts * 6_151 % 2_999
    });
    assert_ne!(shuffled, sorted);
    let expected = run(&sorted).normalised();
    let own = run(&shuffled).normalised();
    assert_eq!(own.side.len(), 0, "nothing is late");
    assert_eq!(own, expected);
}

#[test]
fn records_in_time_order_give_the_same_over_any_number_of_partitions() {
    let records = walk();
    let expected = run(&records).normalised();
    for count in [2, 5] {
        let mut partitions = vec![Vec::new(); count];
        for record in &records {
            let mid = record["common"]["mid"].as_str().unwrap();
            partitions[mid.len() * 7 % count].push(record.clone());
        }
        let partitions: Vec<&[Value]> = partitions.iter().map(Vec::as_slice).collect();
        assert_eq!(run_partitions(&partitions).normalised(), expected, "{count} partitions");
    }
}

#[test]
fn every_generated_record_is_accounted_for() {
    let shares = jobs::generate::Shares { late: 300, very_late: 100, ..Default::default() };
    // Slow enough for the 20 000 records to last minutes, and windows to be closed.
    let settings = jobs::generate::Settings {
        records_per_second: 50,
        mids: 4_000,
        shares,
        ..Default::default()
    };
    let mut cursor = jobs::generate::Generator::new(settings).open(0);
    let mut partitions = vec![Vec::new(); 4];
    for _ in 0..20_000 {
        let mut line = Vec::new();
        let generated = cursor.next(&mut line).expect("the stream has no end");
        let key = generated.key.map(|range| &line[range]).unwrap_or_default();
        let place = key.iter().map(|&byte| usize::from(byte)).sum::<usize>() % 4;
        partitions[place].push(line);
    }
    let outcome = outcome(&Input { partitions }, &Settings::default());
    check_books(&outcome);
    for (job, least) in [(TRAFFIC, 20), (PAGE_VIEW, 50), ("user_jump", 100), ("unique_visitor", 20)]
    {
        assert!(late(&outcome, job) >= least, "{job}: {} late", late(&outcome, job));
    }
}

/// What holds whatever the input: nothing is lost between layers.
fn check_books(outcome: &Outcome) {
    let signed = |count: u64| i64::try_from(count).expect("a small count");
    let count = |topic: &str| outcome.topics.get(topic).into_iter().flatten().map(|_| 1).sum();
    let pages: i64 = count("dwd_traffic_page_log");
    let main = pages + count("dwd_traffic_start_log");
    let split = |name: &str| signed(outcome.counter(name, "job=log_split"));
    let dirty = signed(aside(outcome, "dirty_log"));
    assert_eq!(split("records_in"), main + split("no_main") + dirty);
    let details = count("dwd_traffic_display_log") + count("dwd_traffic_action_log");
    assert_eq!(split("records_out"), main + details + count("dwd_traffic_error_log"));
    let metrics: i64 =
        ["pv_ct", "uv_ct", "uj_ct"].map(|metric| total(outcome, metric)).iter().sum();
    let late_rows = signed(late(outcome, TRAFFIC));
    assert_eq!(metrics + late_rows, pages + count(UV) + count(UJ));
    assert_eq!(total(outcome, "uj_ct"), count(UJ), "jumps are never late in one process");
    assert_eq!(signed(aside(outcome, &format!("late_{TRAFFIC}"))), late_rows);
}
