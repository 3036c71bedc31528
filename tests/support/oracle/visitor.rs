//! Unique visitors (warehouse.md 6.4, 8.1.9): the first entry page of each mid and date.
//!
//! Entry pages of a mid are gone through in the order of reading.
//! 1. One that is on time is buffered.
//! 2. For one that is late, first the buffered ones at or below its `behind` are released in event
//!    order: each whose date has not been seen is emitted, and its date is seen from then on.
//! 3. Then the late one counts `late`. It is emitted, and its date is seen at once, if the date has
//!    not been seen and is still kept, that is, `behind` < end of the date + 24 h. Otherwise it goes
//!    to the side output.
//! 4. At the end the rest is released.
//!
//! A late one that is emitted lies before all that are buffered then, so what is emitted is the
//! first in event order of all that were not refused, as 8.1.9 wants. An operator that releases by
//! `W(e)` gives the same iff it lets a late row meet the buffered rows at or below `behind` as if
//! they had been released, and refuses by the date rule whatever its state still holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outcome, Page, calendar};

const JOB: &str = "unique_visitor";
const KEEP_MS: i64 = 24 * 3_600_000;

pub(super) fn unique_visitors(pages: &[Page], outcome: &mut Outcome) -> Vec<Page> {
    let mut entries: Vec<&Page> = pages.iter().filter(|page| page.is_entry()).collect();
    outcome.count_many("records_in", "job=unique_visitor", entries.len());
    entries.sort_by_key(|page| page.place.reading_order());
    let mut by_mid: BTreeMap<&str, Vec<&Page>> = BTreeMap::new();
    for page in entries {
        by_mid.entry(&page.mid).or_default().push(page);
    }
    let visitors: Vec<Page> =
        by_mid.into_values().flat_map(|entries| of_one_mid(&entries, outcome)).cloned().collect();
    outcome.count_many("records_out", "job=unique_visitor", visitors.len());
    for visitor in &visitors {
        outcome.publish("dwd_traffic_unique_visitor_detail", visitor.record.clone());
    }
    visitors
}

fn of_one_mid<'a>(entries: &[&'a Page], outcome: &mut Outcome) -> Vec<&'a Page> {
    let mut seen = BTreeSet::new();
    let mut buffered: Vec<&Page> = Vec::new();
    let mut emitted = Vec::new();
    for page in entries {
        let Some(behind) = page.place.behind else {
            buffered.push(page);
            continue;
        };
        release(&mut buffered, behind, &mut seen, &mut emitted);
        let kept = behind < calendar::end_of_date(page.place.ts) + KEEP_MS;
        if kept && seen.insert(calendar::date(page.place.ts)) {
            outcome.count_late(JOB);
            emitted.push(*page);
        } else {
            outcome.refuse(JOB, page);
        }
    }
    release(&mut buffered, i64::MAX, &mut seen, &mut emitted);
    emitted
}

/// Takes the buffered pages at or below the watermark out and emits those that are first.
fn release<'a>(
    buffered: &mut Vec<&'a Page>,
    watermark: i64,
    seen: &mut BTreeSet<String>,
    emitted: &mut Vec<&'a Page>,
) {
    buffered.sort_by_key(|page| page.place.event_order());
    for page in buffered.extract_if(.., |page| page.place.ts <= watermark) {
        if seen.insert(calendar::date(page.place.ts)) {
            emitted.push(page);
        }
    }
}
