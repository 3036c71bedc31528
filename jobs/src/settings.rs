//! What the warehouse is: the switches of warehouse specification 13 that these jobs know.

use connectors::format::app_log::SplitOptions;
use engine::time::zone::{UnknownZone, Zone};

/// Settings of the log jobs; durations in milliseconds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `warehouse.time_zone`, checked by [`Settings::check`].
    pub time_zone: String,
    /// `log_split.*`: shape of display and action records, and how clashes are solved.
    pub split: SplitOptions,
    /// How long a log record may come after a later one of its partition.
    pub out_of_orderness_ms: i64,
    /// `source.idle_timeout`; 0 = never.
    pub idle_timeout_ms: i64,
    /// `source.future_hold`.
    pub future_hold_ms: i64,
    /// `source.future_skew`.
    pub future_skew_ms: i64,
    /// `user_jump.within`.
    pub jump_within_ms: i64,
    /// `user_jump.out_of_orderness`.
    pub jump_out_of_orderness_ms: i64,
    /// `dws.window`.
    pub window_ms: i64,
    /// `dws.lateness`.
    pub lateness_ms: i64,
    /// `dim.*`, and the business database.
    pub dim: DimSettings,
    /// `dwd_route.add_ts`: whether a routed fact ends with the time of its change, in seconds.
    pub route_adds_ts: bool,
}

/// Settings of the dimensions.
#[derive(Debug, Clone)]
pub struct DimSettings {
    /// The business database: changes of others are dropped (`other_db`).
    pub database: String,
    /// `dim.delete`.
    pub delete: Deletes,
    /// `dim.config_update`.
    pub config_update: ConfigUpdates,
    /// `dim.config_late`.
    pub config_late: ConfigLate,
    /// `dim.backfill`: read a table again that is configured late.
    pub backfill: bool,
    /// `dim.shared_sink`: several source tables may feed one sink.
    pub shared_sink: bool,
    /// `dim.schema`.
    pub schema: Option<String>,
}

impl Default for DimSettings {
    fn default() -> Self {
        Self {
            database: "gmall2022".to_owned(),
            delete: Deletes::Delete,
            config_update: ConfigUpdates::AlterAdd,
            config_late: ConfigLate::Hold,
            backfill: true,
            shared_sink: false,
            schema: None,
        }
    }
}

/// What a deleted row does to its dimension (`dim.delete`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// The row goes.
    Delete,
    /// Nothing; counted `delete_ignored`.
    Ignore,
    /// The row is written as it was.
    Upsert,
}

/// What an updated config row does (`dim.config_update`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigUpdates {
    /// It takes the place of the row before; columns that its table lacks are added.
    AlterAdd,
    /// Its table is made anew: all rows of it go, and those that can be read again come back. Makes
    /// no sense where several sources feed a table.
    Recreate,
    /// Nothing; counted `config_ignored`.
    Ignore,
}

/// What becomes of rows that come before their config row is in force (`dim.config_late`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigLate {
    /// They wait: for the first configuration of all, and for a table that is being made.
    Hold,
    /// They are dropped and counted `no_config`. Makes no sense with a back-fill.
    Drop,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            time_zone: "Asia/Shanghai".to_owned(),
            split: SplitOptions::default(),
            out_of_orderness_ms: 3_000,
            idle_timeout_ms: 30_000,
            future_hold_ms: 600_000,
            future_skew_ms: 86_400_000,
            jump_within_ms: 10_000,
            jump_out_of_orderness_ms: 3_000,
            window_ms: 10_000,
            lateness_ms: 0,
            dim: DimSettings::default(),
            route_adds_ts: true,
        }
    }
}

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// Why settings are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// No such zone.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
    /// Windows must divide the day, so that they need no zone offset.
    #[error("dws.window of {0} ms does not divide the day; take a divisor such as 10s or 1m")]
    Window(i64),
}

impl Settings {
    /// Refuses what makes no sense, before anything starts.
    pub fn check(&self) -> Result<(), SettingsError> {
        Zone::named(&self.time_zone)?;
        if self.window_ms <= 0 || DAY_MS % self.window_ms != 0 {
            return Err(SettingsError::Window(self.window_ms));
        }
        Ok(())
    }

    /// The warehouse's zone.
    pub fn zone(&self) -> Zone {
        Zone::named(&self.time_zone).expect("checked at start")
    }

    /// How far a row of DWS 2 may lie behind its partition's watermark, counted from the end of its
    /// window: user jumps come `within` plus `out of orderness` after their own time (8.4.2).
    pub fn traffic_lateness_ms(&self) -> i64 {
        let jumps = self.jump_within_ms + self.jump_out_of_orderness_ms + 5_000;
        jumps.max(self.lateness_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_that_does_not_divide_the_day_is_refused() {
        let settings = |window_ms| Settings { window_ms, ..Settings::default() };
        assert_eq!(settings(10_000).check(), Ok(()));
        assert_eq!(settings(7_000).check(), Err(SettingsError::Window(7_000)));
        assert_eq!(settings(0).check(), Err(SettingsError::Window(0)));
    }

    #[test]
    fn traffic_waits_for_jumps() {
        assert_eq!(Settings::default().traffic_lateness_ms(), 18_000);
        let patient = Settings { lateness_ms: 60_000, ..Settings::default() };
        assert_eq!(patient.traffic_lateness_ms(), 60_000);
    }
}
