//! The switches of the warehouse as values: what its words mean in this run.

use connectors::format::app_log::{ActionTs, ErrForm, FlatClash, Shape, SplitOptions};
use engine::source::Start;
use jobs::Settings;
use jobs::settings::{ConfigLate, ConfigUpdates, Deletes, DimSettings};

use super::judge::Judge;
use crate::config::document::Value;
use crate::config::duration::duration_text;
use crate::config::raw::{Given, Switch, Watershed};

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
pub(super) fn check(
    raw: &Switch,
    watershed: &Watershed,
    time_zone: String,
    judge: &mut Judge<'_>,
) -> Settings {
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
        dim: dimensions(raw, watershed, judge),
        route_adds_ts: judge.choice(
            raw.dwd_route_add_ts.as_ref(),
            &[("on", true), ("off", false)],
            &[],
        ),
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

fn dimensions(raw: &Switch, watershed: &Watershed, judge: &mut Judge<'_>) -> DimSettings {
    let deletes =
        [("delete", Deletes::Delete), ("ignore", Deletes::Ignore), ("upsert", Deletes::Upsert)];
    let default = DimSettings::default();
    let database = judge.text(watershed.database.as_ref()).unwrap_or(default.database);
    if let (Some(given), true) = (&watershed.database, database.is_empty()) {
        judge.fault(given, ": a database has a name");
    }
    reconcile(raw.dim_backfill_reconcile.as_ref(), judge);
    let updates = [
        ("alter_add", ConfigUpdates::AlterAdd),
        ("recreate", ConfigUpdates::Recreate),
        ("ignore", ConfigUpdates::Ignore),
    ];
    let late = [("hold", ConfigLate::Hold), ("drop", ConfigLate::Drop)];
    DimSettings {
        database,
        delete: judge.choice(raw.dim_delete.as_ref(), &deletes, &[]),
        config_update: judge.choice(raw.dim_config_update.as_ref(), &updates, &[]),
        config_late: judge.choice(raw.dim_config_late.as_ref(), &late, &[]),
        backfill: judge.choice(raw.dim_backfill.as_ref(), &[("on", true), ("off", false)], &[]),
        shared_sink: judge.choice(
            raw.dim_shared_sink.as_ref(),
            &[("off", false), ("on", true)],
            &[],
        ),
        schema: schema(raw.dim_schema.as_ref(), judge),
    }
}

/// Rows that a snapshot lacks can be deleted only where a snapshot is read: a back-fill reads the
/// changes again, deletions among them.
fn reconcile(given: Option<&Given>, judge: &mut Judge<'_>) {
    let on = given.is_some_and(|given| given.value == Value::Text("on".to_owned()));
    match given {
        Some(given) if on => judge.fault(
            given,
            " needs a MySQL snapshot of the source table, and a back-fill reads ods_db again \
             instead, with the deletions it holds; it comes with the capture of the business \
             tables",
        ),
        _ => judge.choice(given, &[("off", ())], &[]),
    }
}

/// `none`, or a name that is the same at every store.
fn schema(given: Option<&Given>, judge: &mut Judge<'_>) -> Option<String> {
    let name = judge.text(given).filter(|name| name != "none")?;
    let mut letters = name.chars();
    let good = letters.next().is_some_and(|letter| letter.is_ascii_alphabetic())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if let (Some(given), false) = (given, good) {
        let message = " is no name of a schema: a letter, then letters, digits and '_'";
        judge.fault(given, message);
    }
    Some(name)
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
    if let (Some(late), ConfigLate::Drop, true) =
        (&raw.dim_config_late, settings.dim.config_late, settings.dim.backfill)
    {
        let message = " makes no sense unless switch.dim.backfill = \"off\": what is dropped \
                       would be read again";
        judge.fault(late, message);
    }
    if let (Some(update), ConfigUpdates::Recreate, true) =
        (&raw.dim_config_update, settings.dim.config_update, settings.dim.shared_sink)
    {
        let message = " makes no sense with switch.dim.shared_sink = \"on\": the rows of the other \
                       sources would go, too";
        judge.fault(update, message);
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

/// What `source.start` says, for sources without a startup mode of their own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin<'a> {
    word: StartWord,
    given: Option<&'a Given>,
}

impl<'a> Begin<'a> {
    /// Judges the switch.
    pub(super) fn of(raw: &'a Switch, judge: &mut Judge<'_>) -> Self {
        use StartWord::{Earliest, Latest, Timestamp};
        let words = [("earliest", Earliest), ("latest", Latest), ("timestamp", Timestamp)];
        // Positions are in checkpoints; what a group has committed is not read.
        let later = ["group-else-earliest", "group"];
        let given = raw.source_start.as_ref();
        Self { word: judge.choice(given, &words, &later), given }
    }

    /// The same for a source that is read, the default for one that is not.
    pub(super) fn if_read(self, read: bool) -> Self {
        if read { self } else { Self { word: StartWord::Earliest, given: None } }
    }
}

/// Judges where the source of this section begins: its startup mode, else what the switch says.
pub(super) fn start(
    section: &str,
    begin: Begin<'_>,
    (mode, millis): (Option<&Given>, Option<&Given>),
    judge: &mut Judge<'_>,
) -> Start {
    use StartWord::{Earliest, Latest, Timestamp};
    let words =
        [("earliest-offset", Earliest), ("latest-offset", Latest), ("timestamp", Timestamp)];
    let later = ["group-offsets", "specific-offsets"];
    let chosen = mode.map(|mode| judge.choice(Some(mode), &words, &later));
    let word = chosen.unwrap_or(begin.word);
    let time = judge.integer(millis, 0, 0..=i64::MAX);
    match (word == Timestamp, mode, begin.given, millis) {
        (true, Some(mode), _, None) => judge.fault(mode, " needs scan.startup.timestamp-millis"),
        (true, None, Some(switch), None) => {
            let needs = format!(" needs scan.startup.timestamp-millis in [{section}]");
            judge.fault(switch, needs);
        }
        (false, _, _, Some(millis)) => {
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
