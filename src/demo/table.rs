//! The tables as they are shown: newest rows and counts, read on a thread of its own so that the
//! view never waits for them.
//!
//! Newest rows cost what they are and are read about once a second. Counting walks a table, so it is done
//! for at most a twentieth of the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use store::doris::DwsStore;

use super::layer;

/// Newest rows that are kept for the view.
const NEWEST: usize = 24;
const EVERY: Duration = Duration::from_secs(1);
/// While a table is empty it is looked at more often: its first row is what people wait for.
const EVERY_EMPTY: Duration = Duration::from_millis(100);
/// A count that took so long is not repeated for this many times as long.
const REST: u32 = 20;

/// One table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableShown {
    /// Its rows when they were last counted.
    pub(super) rows: u64,
    /// The newest rows, the newest first.
    pub(super) newest: Vec<Map<String, Value>>,
}

/// Reads tables until it is dropped.
pub(super) struct TableWatch {
    shown: Arc<Mutex<Vec<TableShown>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TableWatch {
    /// Begins to read.
    pub(super) fn begin(tables: DwsStore) -> std::io::Result<Self> {
        let shown = Arc::new(Mutex::new(vec![TableShown::default(); layer::DWS.len()]));
        let stop = Arc::<AtomicBool>::default();
        let (ours, until) = (shown.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(move || {
            let mut count_at = Instant::now();
            while !until.load(Ordering::Relaxed) {
                let counting = Instant::now() >= count_at;
                let begun = Instant::now();
                for (index, table) in layer::DWS.iter().enumerate() {
                    read(&tables, table.name, counting, &ours, index);
                }
                if counting {
                    count_at = Instant::now() + begun.elapsed() * REST;
                }
                let empty =
                    ours.lock().expect("nothing panics under this lock").iter().any(is_empty);
                std::thread::park_timeout(if empty { EVERY_EMPTY } else { EVERY });
            }
        })?;
        Ok(Self { shown, stop, thread: Some(thread) })
    }

    /// The tables of [`layer::DWS`].
    pub(super) fn shown(&self) -> Vec<TableShown> {
        self.shown.lock().expect("nothing panics under this lock").clone()
    }
}

impl Drop for TableWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Only a view: what it may have panicked about is of no interest to the data.
            drop(thread.join());
        }
    }
}

fn is_empty(table: &TableShown) -> bool {
    table.newest.is_empty()
}

/// What cannot be read is shown as it was: the sink meets the same fault and says so.
fn read(
    tables: &DwsStore,
    name: &str,
    counting: bool,
    shown: &Mutex<Vec<TableShown>>,
    index: usize,
) {
    let newest = tables.newest(name, NEWEST).unwrap_or_default();
    let parse = |row: &Vec<u8>| serde_json::from_slice(row).ok();
    let newest = newest.iter().rev().filter_map(parse).collect();
    let rows = if counting { tables.count(name).ok() } else { None };
    let mut shown = shown.lock().expect("nothing panics under this lock");
    let table = &mut shown[index];
    table.newest = newest;
    table.rows = rows.unwrap_or(table.rows);
}
