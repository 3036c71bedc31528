//! How the engine runs: limits and paces. Nothing here changes a result.

use engine::epoch::stall::StallLimits;
use engine::limit::{
    EPOCHS_INFLIGHT_MAX, INFLIGHT_BYTES_MAX, OPERATOR_BUDGET, OUTBOX_BYTES_MAX, OUTBOX_UNITS_MAX,
    SOURCE_QUEUE_BYTES,
};
use engine::outbox::log::LogOptions;
use engine::outbox::quota::Quota;

use super::judge::Judge;
use crate::config::raw::{Engine, Given};
use crate::machine;

const SECOND: i64 = 1000;
const DAY: i64 = 86_400 * SECOND;
const MIB: i64 = 1 << 20;
/// What is more than any machine has.
const PIB: i64 = 1 << 50;

/// How the engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EngineSettings {
    /// Milliseconds between two closes.
    pub(crate) epoch_interval_ms: u64,
    /// Closed and incomplete epochs of a group.
    pub(crate) epochs_inflight_max: u64,
    /// Batches an operator takes at a time.
    pub(crate) operator_batches: usize,
    /// Live bytes above which sources stop.
    pub(crate) inflight_bytes_max: u64,
    /// Bytes of state above which the process stops.
    pub(crate) state_bytes_max: u64,
    /// Bytes a source reads ahead, per worker.
    pub(crate) source_queue_bytes: u64,
    /// Size at which a log file is full.
    pub(crate) segment_bytes: u64,
    /// What may wait for a sink.
    pub(crate) quota: Quota,
    /// When standing still is reported.
    pub(crate) stall: StallLimits,
    /// Failures in 10 minutes after which the supervisor gives up.
    pub(crate) restart_max: usize,
    /// Milliseconds a stop may take.
    pub(crate) shutdown_limit_ms: u64,
}

/// Judges the section.
pub(super) fn engine(raw: &Engine, judge: &mut Judge<'_>) -> EngineSettings {
    let mut size = |given: Option<&Given>, default: u64, (least, most): (i64, i64)| {
        unsigned(judge.size(given, signed(default), least..=most))
    };
    let log = LogOptions::default();
    let inflight_bytes_max =
        size(raw.memory_inflight_max.as_ref(), INFLIGHT_BYTES_MAX, (16 * MIB, PIB));
    let state_bytes_max =
        size(raw.state_memory_max.as_ref(), machine::memory_bytes() / 2, (16 * MIB, PIB));
    let source_queue_bytes =
        size(raw.source_queue_bytes.as_ref(), SOURCE_QUEUE_BYTES, (MIB / 4, 1024 * MIB));
    let segment_bytes = size(raw.outbox_segment_bytes.as_ref(), log.file_bytes, (MIB, 4096 * MIB));
    let bytes = size(raw.outbox_bytes_max.as_ref(), OUTBOX_BYTES_MAX, (MIB, PIB));

    let mut integer = |given: Option<&Given>, default: u64, most: i64| {
        unsigned(judge.integer(given, signed(default), 1..=most))
    };
    let epochs_inflight_max = integer(raw.epoch_inflight_max.as_ref(), EPOCHS_INFLIGHT_MAX, 16);
    let batches = integer(raw.operator_budget.as_ref(), OPERATOR_BUDGET as u64, 4096);
    let units = integer(raw.outbox_units_max.as_ref(), OUTBOX_UNITS_MAX as u64, 1_000_000);
    let restart_max = integer(raw.restart_max.as_ref(), 10, 1000);

    EngineSettings {
        epoch_interval_ms: unsigned(judge.duration(
            raw.epoch_interval.as_ref(),
            SECOND,
            1..=3600 * SECOND,
        )),
        epochs_inflight_max,
        operator_batches: usize::try_from(batches).expect("judged to be at most 4096"),
        inflight_bytes_max,
        state_bytes_max,
        source_queue_bytes,
        segment_bytes,
        quota: Quota {
            units: usize::try_from(units).expect("judged to be at most a million"),
            bytes,
        },
        stall: stall(raw, judge),
        restart_max: usize::try_from(restart_max).expect("judged to be at most 1000"),
        shutdown_limit_ms: unsigned(judge.duration(
            raw.shutdown_limit.as_ref(),
            30 * SECOND,
            SECOND..=600 * SECOND,
        )),
    }
}

fn stall(raw: &Engine, judge: &mut Judge<'_>) -> StallLimits {
    let StallLimits { warn_ms, error_ms, .. } = StallLimits::default();
    let mut after = |given: Option<&Given>, default: u64| {
        unsigned(judge.duration(given, signed(default), SECOND..=DAY))
    };
    let warn_ms = after(raw.stall_warn.as_ref(), warn_ms);
    let error_ms = after(raw.stall_error.as_ref(), error_ms);
    let restart = judge.duration(raw.stall_restart.as_ref(), 0, 0..=DAY);
    let restart_ms = (restart > 0).then(|| unsigned(restart));
    StallLimits { warn_ms, error_ms, restart_ms }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).expect("a limit below 2^63")
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).expect("judged not to be negative")
}
