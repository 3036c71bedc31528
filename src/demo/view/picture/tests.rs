//! Pictures as text, at sizes from nothing to a wall.

use std::time::{Duration, Instant};

use engine::control::status::GroupStatus;
use engine::epoch::hold::{HoldEntry, HoldReason};
use engine::time::zone::Zone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::demo::sample::{Rates, Sample};
use crate::demo::stream::Stream;
use crate::demo::table::DimensionShown;
use crate::status::BackfillReport;

/// 2022-04-30 11:00:37 +08:00.
const EVENT_MS: i64 = 1_651_287_637_000;

fn tables() -> Shown {
    let dimension = |name: &str, rows, new| DimensionShown {
        name: format!("dim_{name}"),
        rows,
        new,
        ..DimensionShown::default()
    };
    let fill = BackfillReport { table: "user_info".to_owned(), records_left: Some(5) };
    Shown {
        dimensions: vec![
            dimension("activity_info", 4, false),
            dimension("base_trademark", 11, false),
            dimension("coupon_info", 4, false),
            dimension("financial_sku_cost", 35, false),
            dimension("sku_info", 37, false),
            dimension("spu_info", 12, false),
            dimension("user_info", 20_512, true),
        ],
        backfills: vec![fill],
        dws: dws(),
    }
}

fn dws() -> Vec<TableShown> {
    let row = |text: &str| serde_json::from_str(text).expect("an object");
    vec![
        TableShown {
            rows: 3,
            newest: vec![row(
                r#"{"stt":"2022-04-30 11:00:00","edt":"2022-04-30 11:00:10","cur_date":"2022-04-30","home_uv_ct":12,"good_detail_uv_ct":9}"#,
            )],
        },
        TableShown {
            rows: 1_234_567,
            newest: vec![row(
                r#"{"stt":"2022-04-30 11:00:00","edt":"2022-04-30 11:00:10","vc":"v2.1.134","ch":"oppo","ar":"330000","is_new":"0","uv_ct":1,"sv_ct":2,"pv_ct":3,"dur_sum":4567,"uj_ct":5}"#,
            )],
        },
    ]
}

fn drawn(width: u16, height: u16, sample: &Sample) -> String {
    let text = r#"{"format":1,"seed":7,"stream":{"live":{"rate":2000,"start_ms":0}}}"#;
    let stream: Stream = serde_json::from_str(text).expect("a stream");
    let zone = Zone::named("Asia/Shanghai").expect("a zone");
    let picture = Picture {
        stream: &stream,
        sample,
        rates: &Rates::new(Instant::now()),
        elapsed: Duration::from_secs(3_661),
        event_ms: EVENT_MS,
        window_ms: 10_000,
        zone: &zone,
        stopping: false,
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("never fails");
    terminal.draw(|frame| draw(frame, &picture, &tables())).expect("never fails");
    terminal.backend().to_string()
}

#[test]
fn every_layer_is_there_on_an_ordinary_screen() {
    let mut sample = Sample::default();
    sample.topics.insert("ods_log".into(), 123_456);
    let text = drawn(100, 36, &sample);
    for part in [
        "seed 7, 2000 records/s · up 01:01:01 · 0 B · cpu 0 %",
        "ods_log",
        "123,456",
        "table_process",
        "7 tables, 20,615 rows",
        "+user_info         20,512",
        "config applied: none · back-fill: 0 rows (0/s) of user_info",
        "dwd_traffic_user_jump_detail",
        "windows of 10 s: fired to 11:00:10, 3 open",
        "1,234,567 rows",
        "04-30 11:00:00 v2.1.134 oppo 330000",
        "dirty 0",
        "q or Ctrl-C stops",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
        let text = drawn(width, height, &Sample::default());
        assert_eq!(text.lines().count(), usize::from(height), "{width} x {height}");
    }
}

#[test]
fn the_smallest_usual_screen_shows_a_row_of_each_table() {
    let text = drawn(80, 24, &Sample::default());
    let parts = [
        " 12 ",
        " 4567 ",
        "cpu 0 %",
        "in flight 0 B",
        "+user_info",
        "user_jump",
        "ods_db",
        "Ctrl-C",
    ];
    for part in parts {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn an_epoch_that_hangs_says_where() {
    let mut sample = Sample::default();
    sample.status.groups = vec![GroupStatus {
        name: "log_split".into(),
        jobs: vec!["log_split".into(), "user_jump".into()],
        closed: 9,
        epoch_age_ms: 4_200,
        ..GroupStatus::default()
    }];
    let hold = |job: &str, epoch| HoldEntry {
        worker: 1,
        job: job.into(),
        uid: "jump".into(),
        epoch,
        reason: HoldReason::Loading,
    };
    sample.status.holds = vec![hold("user_jump", 9), hold("user_jump", 10), hold("generator", 9)];
    let text = drawn(120, 40, &sample);
    let expected =
        "an epoch of log_split is 4.2 s old: waiting for user_jump.jump (worker 1, loading) ";
    assert!(text.contains(expected), "{text}");
}

#[test]
fn midnight_does_not_open_eight_thousand_windows() {
    assert_eq!(open_windows(second_of_day("x 23:59:50"), second_of_day("x 00:00:12"), 10), Some(3));
    assert_eq!(second_of_day("no time"), None);
}
