//! Tests of the report: what it says as text, and that it survives the socket.

use super::*;

#[test]
fn a_report_survives_the_socket() {
    let report = example();
    let text = serde_json::to_string(&report).expect("plain data");
    assert!(!text.contains('\n'), "a report is one line");
    assert_eq!(serde_json::from_str::<Report>(&text).expect("ours"), report);
}

#[test]
fn the_text_says_all() {
    let text = example().text();
    for part in [
        "running as pid 12, generation 3, 2 workers, epoch 42 open",
        "3.0 MiB under way, 0 B in the outbox, 7 units undelivered",
        "group log_split: running, epochs closed 41, complete 40, settled 39",
        "sources wait: 3 units (5.0 MiB) are undelivered to sink log_split.kafka",
        "sinks that stand still\n  log_split.kafka shard 1: delivering for 5.0s, 3 units wait",
        "oldest incomplete epoch closed 1.2s ago",
        "last checkpoint 5ms ago",
        "jobs log_split, user_jump",
        "epoch 41 by log_split.ods_log on worker 1: source",
        "faults\n  the broker is gone",
        "in quarantine\n  bad_job: it fails",
        "dimensions\n  config rows applied: none; rejected 0\n  rows written 3, deleted 0",
        "dwd_traffic_page_log                               0: 5  1: 7",
        "dirty{job=log_split,reason=no_mid}",
        "state in memory, 2.0 MiB in all\n  log_split.is_new: 5 entries, 2.0 MiB",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(Report::default().text().starts_with("not running; the last generation was 0"));
}

#[test]
fn sizes() {
    let cases = [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 30, "5.0 GiB"),
        (u64::MAX, "17179869183.9 GiB"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(bytes_text(bytes), expected);
    }
}

fn example() -> Report {
    let mark = |next_base| Mark { file: 0, length: 100, next_base };
    let topic = |partition, next| TopicReport::new("dwd_traffic_page_log", partition, &mark(next));
    let labels = [("job", "log_split"), ("reason", "no_mid")];
    Report {
        running: true,
        pid: Some(12),
        generation: 3,
        workers: 2,
        open_epoch: Some(42),
        finished: false,
        groups: vec![GroupReport {
            name: "log_split".to_owned(),
            jobs: vec!["log_split".to_owned(), "user_jump".to_owned()],
            running: true,
            closed: Some(41),
            complete: 40,
            settled: Some(39),
            full_sink: Some(FullSink {
                job: "log_split".to_owned(),
                sink: "kafka".to_owned(),
                units: 3,
                bytes: 5 << 20,
            }),
            epoch_age_ms: 1234,
            checkpoint_age_ms: Some(5),
        }],
        holds: vec![HoldReport {
            worker: 1,
            job: "log_split".to_owned(),
            uid: "ods_log".to_owned(),
            epoch: 41,
            reason: "source".to_owned(),
        }],
        sinks: vec![SinkReport {
            job: "log_split".to_owned(),
            sink: "kafka".to_owned(),
            shard: 1,
            work: "delivering".to_owned(),
            waiting_ms: 5_000,
            units: 3,
            fault: None,
        }],
        faults: vec!["the broker is gone".to_owned()],
        quarantined: vec![QuarantineReport {
            job: "bad_job".to_owned(),
            reason: "it fails".to_owned(),
        }],
        inflight_bytes: 3 << 20,
        states: vec![StateReport {
            job: "log_split".to_owned(),
            uid: "is_new".to_owned(),
            entries: 5,
            bytes: 2 << 20,
        }],
        outbox_bytes: Some(0),
        units: 7,
        topics: vec![topic(0, 5), topic(1, 7)],
        dimensions: Some(DimensionReport { upserts: 3, ..DimensionReport::default() }),
        counters: vec![CounterReport {
            name: "dirty".to_owned(),
            labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            value: 9,
        }],
    }
}
