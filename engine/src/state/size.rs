//! How much memory the state of operators takes.
//!
//! Hot state lies in maps in memory, so it can outgrow the machine: the controller stops the process
//! with a named error before the kernel kills it (specification 13.7, 17.7). What an operator takes is
//! estimated from what it writes down: its entries, each as large as those written so far are on
//! average, and [`ENTRY_BYTES`] for its place in a map. Nothing is counted per row.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What an entry of a map takes beside the bytes of its key and value: the place of its key, a slot that
/// is used for seven eighths at most, and the allocator's rounding.
const ENTRY_BYTES: u64 = 64;

/// State of one operator, all workers together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateSize {
    /// Job name.
    pub job: Arc<str>,
    /// Operator uid.
    pub uid: Arc<str>,
    /// Keys, rows that wait, timers.
    pub entries: u64,
    /// Estimated bytes in memory.
    pub bytes: u64,
}

/// Sizes by operator and worker; shared by workers and controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct SizeTable {
    inner: Arc<Mutex<Sizes>>,
}

/// Entries and bytes by job, operator and worker.
type Sizes = BTreeMap<(Arc<str>, Arc<str>, usize), (u64, u64)>;

impl SizeTable {
    pub(crate) fn set(&self, job: &Arc<str>, uid: &Arc<str>, worker: usize, size: (u64, u64)) {
        self.lock().insert((job.clone(), uid.clone(), worker), size);
    }

    /// Forgets a job that is gone.
    pub(crate) fn forget(&self, job: &str) {
        self.lock().retain(|(of, ..), _| **of != *job);
    }

    /// All operators that have state.
    pub(crate) fn all(&self) -> Vec<StateSize> {
        let mut all: Vec<StateSize> = Vec::new();
        for ((job, uid, _), &(entries, bytes)) in self.lock().iter().filter(|(_, size)| size.0 > 0)
        {
            match all.last_mut().filter(|last| last.job == *job && last.uid == *uid) {
                Some(last) => {
                    last.entries += entries;
                    last.bytes += bytes;
                }
                None => {
                    all.push(StateSize { job: job.clone(), uid: uid.clone(), entries, bytes });
                }
            }
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Sizes> {
        self.inner.lock().expect("no code panics while it holds this lock")
    }
}

/// The average entry of one operator on one worker.
#[derive(Debug, Default)]
pub(crate) struct Average {
    entries: u64,
    bytes: u64,
}

impl Average {
    /// An entry was written or loaded.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.entries += 1;
        self.bytes += (key.len() + value.len()) as u64;
    }

    /// What so many entries take.
    pub(crate) fn of(&self, entries: u64) -> u64 {
        entries * (ENTRY_BYTES + self.bytes / self.entries.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_workers_add_up_until_their_job_goes() {
        let table = SizeTable::default();
        let (a, b, uid): (Arc<str>, Arc<str>, Arc<str>) = ("a".into(), "b".into(), "u".into());
        for (job, worker, size) in [(&a, 0, (1, 80)), (&a, 1, (2, 160)), (&b, 0, (0, 0))] {
            table.set(job, &uid, worker, size);
        }
        table.set(&a, &uid, 0, (3, 240));
        let expected = StateSize { job: a, uid, entries: 5, bytes: 400 };
        assert_eq!(table.all(), [expected]);
        table.forget("a");
        assert_eq!(table.all(), []);
    }

    #[test]
    fn entries_are_as_large_as_those_written() {
        let mut average = Average::default();
        assert_eq!(average.of(2), 2 * ENTRY_BYTES);
        average.add(&[0; 10], &[0; 20]);
        average.add(&[0; 10], &[0; 60]);
        assert_eq!(average.of(3), 3 * (ENTRY_BYTES + 50));
    }
}
