//! Jumps and first visits of the day, by the oracle.

use super::*;

#[test]
fn the_wait_for_jumps_follows_their_settings() {
    // A = 15 + 2 + 5 = 22 s: late iff 9999 + 22000 <= greatest - 3001.
    let settings =
        Settings { within_ms: 15_000, jump_out_of_orderness_ms: 2_000, ..Settings::default() };
    for (greatest, late_pages) in [(34_999, 0), (35_000, 1)] {
        let messages =
            [inner("a", ELEVEN + greatest), inner("b", ELEVEN)].map(|record| bytes(&record));
        let outcome = outcome(&Input { partitions: vec![messages.to_vec()] }, &settings);
        assert_eq!(late(&outcome, TRAFFIC), late_pages, "greatest {greatest}");
    }
}

#[test]
fn an_entry_is_a_jump_unless_a_page_follows_in_time() {
    let second = 1_000;
    // What follows the entry at 0: (ms later, is an entry); times of the jumps.
    let cases: &[(&[(i64, bool)], &[i64])] = &[
        (&[], &[0]),
        (&[(9_999, false)], &[]),
        (&[(10_000, false)], &[0]),
        (&[(4 * second, true)], &[0, 4 * second]),
        (&[(4 * second, true), (5 * second, false)], &[0]),
        (&[(4 * second, true), (4 * second, true)], &[0, 4 * second, 4 * second]),
        // The inner page at the same instant comes after, by arrival.
        (&[(0, false)], &[]),
    ];
    for (followers, jumps) in cases {
        let mut records = vec![entry("m", ELEVEN)];
        for &(after, is_entry) in *followers {
            records.push(if is_entry { entry } else { inner }("m", ELEVEN + after));
        }
        // Another device in between changes nothing.
        records.insert(1, inner("other", ELEVEN));
        let outcome = run(&records);
        let own: Vec<i64> = times(&outcome.topic(UJ)).iter().map(|ts| ts - ELEVEN).collect();
        assert_eq!(own, *jumps, "{followers:?}");
        assert_eq!(total(&outcome, "uj_ct"), i64::try_from(jumps.len()).unwrap());
    }
}

#[test]
fn a_page_before_the_entry_in_event_time_does_not_follow_it() {
    let outcome = run(&[entry("m", ELEVEN + 2_000), inner("m", ELEVEN)]);
    assert_eq!(times(&outcome.topic(UJ)), [ELEVEN + 2_000]);
}

#[test]
fn a_late_page_neither_saves_an_entry_nor_jumps() {
    let clock = || inner("clock", ELEVEN + 20_000);
    let outcome = run(&[entry("m", ELEVEN), clock(), inner("m", ELEVEN + 1_000)]);
    assert_eq!((times(&outcome.topic(UJ)), late(&outcome, "user_jump")), (vec![ELEVEN], 1));
    let outcome = run(&[clock(), entry("m", ELEVEN)]);
    assert_eq!((times(&outcome.topic(UJ)), late(&outcome, "user_jump")), (vec![], 1));
}

#[test]
fn a_duplicate_delivery_of_an_entry_is_an_entry_that_follows() {
    let outcome = run(&[entry("m", ELEVEN), entry("m", ELEVEN), inner("m", ELEVEN + 1_000)]);
    assert_eq!(times(&outcome.topic(UJ)), [ELEVEN]);
    assert_eq!(times(&outcome.topic(UV)), [ELEVEN]);
    assert_eq!(total(&outcome, "pv_ct"), 3);
    assert_eq!(outcome.table(PAGE_VIEW)[0]["home_uv_ct"], 1);
}

#[test]
fn the_first_of_the_day_goes_by_event_time() {
    let outcome =
        run(&[entry("m", ELEVEN + 2_000), entry("m", ELEVEN), entry("m", ELEVEN + 1_000)]);
    assert_eq!(times(&outcome.topic(UV)), [ELEVEN]);
    // Only entries are visitors.
    assert_eq!(run(&[inner("m", ELEVEN)]).topic(UV), [] as [Value; 0]);
}

#[test]
fn a_late_first_visit_is_emitted_unless_its_date_was_released() {
    let clock = |after: i64| inner("clock", ELEVEN + after);
    let at = |after: i64| entry("m", ELEVEN + after);
    // Records in order, times of the visitors, late ones, of these in the side output.
    type Case = (Vec<Value>, Vec<i64>, u64, u64);
    let cases: Vec<Case> = vec![
        // Nothing seen: the late one is the visitor.
        (vec![clock(60_000), at(0)], vec![0], 1, 0),
        // The second late one finds its date seen.
        (vec![clock(60_000), at(5_000), at(0)], vec![5_000], 2, 1),
        // The one on time lies at or below the watermark 56999: released, so seen.
        (vec![at(56_999), clock(60_000), at(0)], vec![56_999], 1, 1),
        // It lies above: buffered, not seen; the late one is first and takes its place.
        (vec![at(57_000), clock(60_000), at(0)], vec![0], 1, 0),
        // Buffered ones give way to a late one, then count as seen for the next.
        (vec![at(57_000), clock(60_000), at(0), clock(70_000), at(1_000)], vec![0], 2, 1),
    ];
    for (records, visitors, late_visits, refused) in cases {
        let outcome = run(&records);
        let own: Vec<i64> = times(&outcome.topic(UV)).iter().map(|ts| ts - ELEVEN).collect();
        assert_eq!(own, visitors, "{records:?}");
        assert_eq!(late(&outcome, "unique_visitor"), late_visits, "{records:?}");
        assert_eq!(aside(&outcome, "late_unique_visitor"), refused, "{records:?}");
    }
}

#[test]
fn a_date_is_kept_until_the_watermark_is_a_day_past_its_end() {
    // The watermark after the clock's record is 3001 ms before it; the date ends at midnight.
    for (watermark, visitors) in [(MIDNIGHT + 24 * HOUR - 1, 1), (MIDNIGHT + 24 * HOUR, 0)] {
        let outcome = run(&[inner("clock", watermark + 3_001), entry("m", MIDNIGHT - 1)]);
        assert_eq!(outcome.topic(UV).len(), visitors);
        assert_eq!(late(&outcome, "unique_visitor"), 1);
    }
}

#[test]
fn midnight_parts_visitors_and_not_windows() {
    let outcome = run(&[
        entry("m", MIDNIGHT - 5_000),
        inner("m", MIDNIGHT - 1),
        entry("m", MIDNIGHT),
        entry("m", MIDNIGHT + 2_000),
    ]);
    assert_eq!(times(&outcome.topic(UV)), [MIDNIGHT - 5_000, MIDNIGHT]);
    let rows = outcome.table(TRAFFIC);
    let seen: Vec<String> = rows
        .iter()
        .map(|row| format!("{} {} {}", row["stt"], row["edt"], row["cur_date"]).replace('"', ""))
        .collect();
    assert_eq!(
        seen,
        [
            "2022-04-30 23:59:50 2022-05-01 00:00:00 2022-04-30",
            "2022-05-01 00:00:00 2022-05-01 00:00:10 2022-05-01",
        ],
    );
    assert_eq!(rows[0]["pv_ct"], 2);
    assert_eq!((&rows[1]["uv_ct"], &rows[1]["uj_ct"]), (&json!(1), &json!(2)));
    let homes: Vec<Value> =
        outcome.table(PAGE_VIEW).iter().map(|row| row["home_uv_ct"].clone()).collect();
    assert_eq!(homes, [json!(1), json!(1)]);
}
