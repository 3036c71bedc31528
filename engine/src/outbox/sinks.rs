//! What every sink shard is doing: written by its dispatcher, read by the controller for `status`.
//!
//! "Nothing arrives" must always have an answer: which sink stands still, since when, and what its
//! target last said (specification 18.3).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::checkpoint::layout::SinkKey;
use crate::clock::Moment;
use crate::limit::SOURCES_HELD_MS;

/// What a dispatcher is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SinkWork {
    /// The target is made ready, and asked what it has.
    #[default]
    Preparing,
    /// Everything planned is delivered.
    Idle,
    /// A unit is under way.
    Delivering,
    /// The target failed; the same is tried again.
    Retrying,
    /// The target failed in a way that no retry helps: nothing more is sent.
    Stopped,
}

impl SinkWork {
    /// The word in status and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Idle => "idle",
            Self::Delivering => "delivering",
            Self::Retrying => "retrying",
            Self::Stopped => "stopped",
        }
    }
}

/// A sink shard as `status` shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// Job name.
    pub job: Arc<str>,
    /// Uid of the sink.
    pub sink: Arc<str>,
    /// Shard.
    pub shard: u16,
    /// What it is at.
    pub work: SinkWork,
    /// Milliseconds since something last came through while more waited; 0 if nothing waits.
    pub waiting_ms: u64,
    /// Units that wait here, the one under way included.
    pub units: usize,
    /// What the target said since then.
    pub fault: Option<String>,
}

/// What a dispatcher says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Standing {
    pub(crate) work: SinkWork,
    /// Tick since which it waits.
    pub(crate) since_us: u64,
    pub(crate) units: usize,
    pub(crate) fault: Option<String>,
}

impl Standing {
    /// Milliseconds since something last came through while more waited; 0 if nothing waits.
    fn waiting_ms(&self, now: Moment) -> u64 {
        match self.work {
            SinkWork::Idle => 0,
            _ => now.tick_us.saturating_sub(self.since_us) / 1000,
        }
    }
}

/// All shards; shared by dispatchers and controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct SinkTable {
    inner: Arc<Mutex<BTreeMap<SinkKey, Standing>>>,
}

impl SinkTable {
    pub(crate) fn set(&self, key: &SinkKey, standing: Standing) {
        self.lock().insert(key.clone(), standing);
    }

    /// Whether nothing waits at any shard of this sink for longer than a healthy target makes it wait.
    pub(crate) fn delivers(&self, job: &str, sink: &str, now: Moment) -> bool {
        let table = self.lock();
        let mut shards = table.iter().filter(|(key, _)| *key.job == *job && *key.sink == *sink);
        shards.all(|(_, standing)| standing.waiting_ms(now) < SOURCES_HELD_MS)
    }

    /// Forgets a job that is gone.
    pub(crate) fn forget(&self, job: &str) {
        self.lock().retain(|key, _| *key.job != *job);
    }

    /// All shards, by job, sink and number.
    pub(crate) fn all(&self, now: Moment) -> Vec<SinkStatus> {
        let status = |(key, standing): (&SinkKey, &Standing)| SinkStatus {
            job: key.job.clone(),
            sink: key.sink.clone(),
            shard: key.shard,
            work: standing.work,
            waiting_ms: standing.waiting_ms(now),
            units: standing.units,
            fault: standing.fault.clone(),
        };
        self.lock().iter().map(status).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SinkKey, Standing>> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_delivers_while_none_of_its_shards_waits_for_long() {
        let (table, limit_us) = (SinkTable::default(), SOURCES_HELD_MS * 1000);
        let set = |shard, work, since_us| {
            let key = SinkKey { job: "j".into(), sink: "out".into(), shard };
            table.set(&key, Standing { work, since_us, ..Standing::default() });
        };
        let delivers =
            |sink: &str| table.delivers("j", sink, Moment { wall_ms: 0, tick_us: 10 * limit_us });
        assert!(delivers("out"), "nothing is known of it");
        set(0, SinkWork::Idle, 0);
        set(1, SinkWork::Delivering, 9 * limit_us + 1);
        assert!(delivers("out"));
        set(1, SinkWork::Retrying, 9 * limit_us);
        assert!(!delivers("out"));
        assert!(delivers("another"));
        set(1, SinkWork::Idle, 9 * limit_us);
        assert!(delivers("out"), "nothing waits");
    }
}
