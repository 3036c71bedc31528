//! User jumps (warehouse.md 6.5): entry pages that nothing but another entry follows in time.
//!
//! Late pages are refused, so all others of a mid can be sorted as a whole: once the watermark has
//! passed `e.ts + within`, a page that could still follow `e` in time would be late.

use std::collections::BTreeMap;

use super::{Outcome, Page, Settings};

const JOB: &str = "user_jump";

pub(super) fn user_jumps(pages: &[Page], settings: &Settings, outcome: &mut Outcome) -> Vec<Page> {
    outcome.count_many("records_in", "job=user_jump", pages.len());
    let mut by_mid: BTreeMap<&str, Vec<&Page>> = BTreeMap::new();
    for page in pages {
        if page.place.is_late() {
            outcome.refuse(JOB, page);
        } else {
            by_mid.entry(&page.mid).or_default().push(page);
        }
    }
    let mut jumps = Vec::new();
    for mut walked in by_mid.into_values() {
        walked.sort_by_key(|page| page.place.event_order());
        for (index, page) in walked.iter().enumerate() {
            let next = walked.get(index + 1);
            let is_alone = next.is_none_or(|next| {
                next.place.ts - page.place.ts >= settings.within_ms || next.is_entry()
            });
            if page.is_entry() && is_alone {
                jumps.push((*page).clone());
            }
        }
    }
    outcome.count_many("records_out", "job=user_jump", jumps.len());
    for jump in &jumps {
        outcome.publish("dwd_traffic_user_jump_detail", jump.record.clone());
    }
    jumps
}
