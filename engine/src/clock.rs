//! The injected clock: the engine never asks the machine for the time.
//!
//! A [`Moment`] carries both faces of time. `wall_ms` may jump and is only for stamps and display;
//! `tick_us` never goes back and is what time-outs are measured with. In production a thread reads
//! both before each step of a machine; in simulation the seeded scheduler makes them up.

/// One reading of the clock, handed to every machine step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Moment {
    /// Milliseconds since 1970-01-01T00:00 UTC. May jump either way when the machine's clock is set.
    pub wall_ms: i64,
    /// Microseconds since an arbitrary start, monotonic. Time-outs and intervals use this.
    pub tick_us: u64,
}

impl Moment {
    /// This moment's tick plus `ms` milliseconds: the form deadlines are kept in.
    pub fn tick_after_ms(&self, ms: u64) -> u64 {
        self.tick_us.saturating_add(ms.saturating_mul(1000))
    }

    /// Whether the deadline `tick_us` has been reached.
    pub fn reached(&self, tick_us: u64) -> bool {
        self.tick_us >= tick_us
    }
}

/// Where moments come from. The only real implementation lies in `runtime/thread.rs`.
pub trait Clock: Send + Sync {
    /// Reads both faces of the clock.
    fn now(&self) -> Moment;
}
