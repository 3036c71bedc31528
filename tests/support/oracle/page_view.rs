//! DWS 3 (warehouse.md 8.2 row 3, 8.1.9): first home and first good_detail of the day, per window.
//!
//! Late is every row at or below the watermark of its partition, even if its window is open: it
//! goes to the side output and does not make the date seen. The rest is sorted as a whole.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::traffic::window_start;
use super::{Outcome, PAGE_VIEW, Page, Settings, calendar};

const COUNTED: [&str; 2] = ["home", "good_detail"];

pub(super) fn page_view(pages: &[Page], settings: &Settings, outcome: &mut Outcome) {
    let mut on_time = Vec::new();
    for page in pages {
        let Some(column) = column(page) else { continue };
        if page.place.is_late() {
            outcome.refuse(PAGE_VIEW, page);
        } else {
            on_time.push((column, page));
        }
    }
    on_time.sort_by_key(|(_, page)| page.place.event_order());
    let mut seen = BTreeSet::new();
    let mut windows: BTreeMap<i64, [i64; 2]> = BTreeMap::new();
    for (column, page) in on_time {
        if seen.insert((column, &page.mid, calendar::date(page.place.ts))) {
            windows.entry(window_start(page, settings)).or_default()[column] += 1;
        }
    }
    let rows = windows.into_iter().map(|(start, counts)| row(start, counts, settings));
    outcome.tables.insert(PAGE_VIEW.into(), rows.collect());
}

/// Which of the two counts the page belongs to.
fn column(page: &Page) -> Option<usize> {
    let id = page.member("page_id")?.as_str()?;
    COUNTED.iter().position(|counted| *counted == id)
}

fn row(start: i64, [home, good_detail]: [i64; 2], settings: &Settings) -> Value {
    json!({
        "stt": calendar::date_time(start),
        "edt": calendar::date_time(start + settings.window_ms),
        "cur_date": calendar::date(start),
        "home_uv_ct": home,
        "good_detail_uv_ct": good_detail,
    })
}
