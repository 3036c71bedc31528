//! The switches of the warehouse as values: what its words mean in this run.

use connectors::format::app_log::{ActionTs, ErrForm, FlatClash, Shape, SplitOptions};
use engine::source::Start;
use jobs::Settings;

use super::judge::Judge;
use crate::config::duration::duration_text;
use crate::config::raw::{Given, Switch};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;

/// Where a source begins that has no saved position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StartWord {
    Earliest,
    Latest,
    Timestamp,
}

/// Judges the section. The zone is put in by the caller.
pub(super) fn check(raw: &Switch, time_zone: String, judge: &mut Judge<'_>) -> Settings {
    only_default(raw, judge);
    let settings = Settings {
        time_zone,
        split: split(raw, judge),
        future_hold_ms: judge.duration(raw.source_future_hold.as_ref(), HOUR / 6, 0..=365 * DAY),
        future_skew_ms: judge.duration(raw.source_future_skew.as_ref(), DAY, 0..=36_500 * DAY),
        out_of_orderness_ms: judge.duration(raw.source_bound.as_ref(), 3 * SECOND, 0..=HOUR),
        idle_timeout_ms: judge.duration(raw.source_idle_timeout.as_ref(), 30 * SECOND, 0..=DAY),
        jump_within_ms: judge.duration(raw.user_jump_within.as_ref(), 10 * SECOND, 1..=HOUR),
        jump_out_of_orderness_ms: judge.duration(
            raw.user_jump_out_of_orderness.as_ref(),
            3 * SECOND,
            0..=HOUR,
        ),
        window_ms: judge.duration(raw.dws_window.as_ref(), 10 * SECOND, SECOND..=DAY),
        lateness_ms: judge.duration(raw.dws_lateness.as_ref(), 0, 0..=DAY),
        dim: jobs::settings::DimSettings::default(),
    };
    combinations(raw, &settings, judge);
    settings
}

fn split(raw: &Switch, judge: &mut Judge<'_>) -> SplitOptions {
    SplitOptions {
        shape: judge.choice(
            raw.log_split_shape.as_ref(),
            &[("nested", Shape::Nested), ("wrapped", Shape::Wrapped), ("flat", Shape::Flat)],
            &[],
        ),
        flat_clash: judge.choice(
            raw.log_split_flat_clash.as_ref(),
            &[("element", FlatClash::Element), ("page", FlatClash::Page)],
            &[],
        ),
        err: judge.choice(
            raw.log_split_err.as_ref(),
            &[
                ("whole", ErrForm::Whole),
                ("sub_object", ErrForm::SubObject),
                ("sub_object_ts", ErrForm::SubObjectTs),
            ],
            &[],
        ),
        action_ts: judge.choice(
            raw.log_split_action_ts.as_ref(),
            &[("own", ActionTs::Own), ("page", ActionTs::Page), ("none", ActionTs::None)],
            &[],
        ),
    }
}

/// Switches of which only the default is built.
fn only_default(raw: &Switch, judge: &mut Judge<'_>) {
    judge.choice(raw.dws_cur_date.as_ref(), &[("window", ())], &["wall_clock"]);
    judge.choice(raw.time_advance_when_idle.as_ref(), &[("off", ())], &["wall_clock"]);
    let Some(ttl) = &raw.is_new_ttl else { return };
    let text = judge.text(Some(ttl)).unwrap_or_else(|| "none".to_owned());
    if text == "none" {
        return;
    }
    let known = crate::config::duration::parse_duration(&text).is_some();
    let message = if known { "is not available yet; what is" } else { "is none of its values" };
    judge.fault(ttl, format!(" {message}: none"));
}

/// Values that make no sense together are refused with both names.
fn combinations(raw: &Switch, settings: &Settings, judge: &mut Judge<'_>) {
    if let (Some(clash), true) = (&raw.log_split_flat_clash, settings.split.shape != Shape::Flat) {
        judge.fault(clash, " says nothing unless switch.log_split.shape = \"flat\"");
    }
    let (hold, skew) = (settings.future_hold_ms, settings.future_skew_ms);
    let given = raw.source_future_skew.as_ref().or(raw.source_future_hold.as_ref());
    if let (Some(given), true) = (given, skew < hold) {
        let (hold, skew) = (duration_text(hold), duration_text(skew));
        let message = format!(
            ": switch.source.future_skew ({skew}) is below switch.source.future_hold ({hold})"
        );
        judge.fault(given, message);
    }
    if let (Some(window), true) = (&raw.dws_window, DAY % settings.window_ms != 0) {
        judge.fault(window, " does not divide the day");
    }
}

/// Judges where a source begins: `source.start`, and over it the startup mode of the source.
pub(super) fn start(
    switch: Option<&Given>,
    mode: Option<&Given>,
    millis: Option<&Given>,
    judge: &mut Judge<'_>,
) -> Start {
    use StartWord::{Earliest, Latest, Timestamp};
    let switch_words = [("earliest", Earliest), ("latest", Latest), ("timestamp", Timestamp)];
    let mode_words =
        [("earliest-offset", Earliest), ("latest-offset", Latest), ("timestamp", Timestamp)];
    // Positions are in checkpoints; what a group has committed is not read.
    let fallback = judge.choice(switch, &switch_words, &["group-else-earliest", "group"]);
    let later = ["group-offsets", "specific-offsets"];
    let chosen = mode.map(|mode| judge.choice(Some(mode), &mode_words, &later));
    let (word, given) = chosen.map_or((fallback, switch), |word| (word, mode));
    let time = judge.integer(millis, 0, 0..=i64::MAX);
    match (word == Timestamp, given, millis) {
        (true, Some(given), None) => judge.fault(given, " needs scan.startup.timestamp-millis"),
        (false, _, Some(millis)) => {
            judge.fault(millis, " says nothing unless the mode is timestamp");
        }
        _ => {}
    }
    match word {
        Earliest => Start::Earliest,
        Latest => Start::Latest,
        Timestamp => Start::Timestamp(time),
    }
}
