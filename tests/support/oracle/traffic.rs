//! DWS 2 (warehouse.md 8.2 row 2, 8.4.2): page, visitor and jump counts per window and
//! (vc, ch, ar, is_new).
//!
//! **Late.** A row is late iff last millisecond of its window + A <= `behind`, where
//! A = within + out-of-orderness + 5 s, or `dws.lateness` if that is greater.
//! - A page row: `behind` of the page.
//! - A visitor row is the page row unchanged and keeps its `behind`: a late first entry of the day
//!   may be too late here, and then its page row and its visitor row are refused and counted each.
//! - A jump row: user_jump refuses late pages, so a jump never has a `behind` and is never late in
//!   one process. (When it is read from its topic it can be; this oracle does not cover that.)
//!
//! In one process user_jump declares the delay `within`, and the window sees
//! `behind` - within and lateness A - within: the same comparison.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Outcome, Page, Settings, TRAFFIC, calendar};

/// What 8.4.2 adds to within and out-of-orderness.
const SLACK_MS: i64 = 5_000;

/// vc, ch, ar, is_new.
type Group = [Option<String>; 4];

#[derive(Clone, Copy, Default)]
struct Sums {
    uv: i64,
    sv: i64,
    pv: i64,
    dur: i64,
    uj: i64,
}

pub(super) fn traffic(
    pages: &[Page],
    visitors: &[Page],
    jumps: &[Page],
    settings: &Settings,
    outcome: &mut Outcome,
) {
    let mut sums: BTreeMap<(i64, Group), Sums> = BTreeMap::new();
    let mut add = |page: &Page, change: Sums| {
        let start = window_start(page, settings);
        if is_late(page, start, settings) {
            outcome.refuse(TRAFFIC, page);
            return;
        }
        let sums = sums.entry((start, group(page))).or_default();
        sums.uv += change.uv;
        sums.sv += change.sv;
        sums.pv += change.pv;
        sums.dur += change.dur;
        sums.uj += change.uj;
    };
    for page in pages {
        let dur = page.member("during_time").and_then(Value::as_i64).unwrap_or(0);
        add(page, Sums { pv: 1, sv: i64::from(page.is_entry()), dur, ..Sums::default() });
    }
    for visitor in visitors {
        add(visitor, Sums { uv: 1, ..Sums::default() });
    }
    for jump in jumps {
        assert!(!jump.place.is_late(), "user_jump lets no late page through");
        add(jump, Sums { uj: 1, ..Sums::default() });
    }
    let rows = sums.iter().map(|((start, group), sums)| row(*start, group, sums, settings));
    let rows: Vec<Value> = rows.collect();
    outcome.tables.insert(TRAFFIC.into(), rows);
}

pub(super) fn window_start(page: &Page, settings: &Settings) -> i64 {
    page.place.ts.div_euclid(settings.window_ms) * settings.window_ms
}

fn is_late(page: &Page, start: i64, settings: &Settings) -> bool {
    let own = settings.within_ms + settings.jump_out_of_orderness_ms + SLACK_MS;
    let lateness = own.max(settings.lateness_ms);
    let last = start + settings.window_ms - 1;
    page.place.behind.is_some_and(|behind| last + lateness <= behind)
}

fn group(page: &Page) -> Group {
    ["vc", "ch", "ar", "is_new"].map(|name| match page.record["common"].get(name) {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.clone()),
        // The key columns are text: anything else is its JSON text, as a STRING column reads it.
        Some(other) => Some(other.to_string()),
    })
}

fn row(start: i64, [vc, ch, ar, is_new]: &Group, sums: &Sums, settings: &Settings) -> Value {
    json!({
        "stt": calendar::date_time(start),
        "edt": calendar::date_time(start + settings.window_ms),
        "vc": vc, "ch": ch, "ar": ar, "is_new": is_new,
        "cur_date": calendar::date(start),
        "uv_ct": sums.uv, "sv_ct": sums.sv, "pv_ct": sums.pv, "dur_sum": sums.dur,
        "uj_ct": sums.uj,
    })
}
