//! The tables as they are shown: newest rows and counts, read on a thread of its own so that the
//! view never waits for them.
//!
//! Newest rows cost what they are and are read about once a second, as is which dimension tables
//! there are. Counting walks a table, so it is done for at most a twentieth of the time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::state::backend::StateBackend;
use serde_json::{Map, Value};
use store::doris::DwsStore;
use store::phoenix::DimensionStore;

use super::layer;
use crate::status::{BackfillReport, backfills};
use crate::warehouse::Warehouse;

/// Newest rows that are kept for the view.
const NEWEST: usize = 24;
const EVERY: Duration = Duration::from_secs(1);
/// While a table is empty it is looked at more often: its first row is what people wait for.
const EVERY_EMPTY: Duration = Duration::from_millis(100);
/// A count that took so long is not repeated for this many times as long.
const REST: u32 = 20;
/// So long a dimension table that was made or widened counts as new.
const NEW_FOR: Duration = Duration::from_secs(6);

/// One DWS table.
#[derive(Debug, Clone, Default)]
pub(super) struct TableShown {
    /// Its rows when they were last counted.
    pub(super) rows: u64,
    /// The newest rows, the newest first.
    pub(super) newest: Vec<Map<String, Value>>,
}

/// One dimension table.
#[derive(Debug, Clone, Default)]
pub(super) struct DimensionShown {
    /// Its name, in lower case.
    pub(super) name: String,
    /// Its rows when they were last counted.
    pub(super) rows: u64,
    /// Whether it was made or got columns just now.
    pub(super) new: bool,
    /// How many columns it has.
    pub(super) columns: usize,
    /// When it was made or got columns, if that was seen.
    pub(super) changed_at: Option<Instant>,
}

/// All tables.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// Dimension tables by name.
    pub(super) dimensions: Vec<DimensionShown>,
    /// Source tables that are being read again.
    pub(super) backfills: Vec<BackfillReport>,
    /// The tables of [`layer::DWS`].
    pub(super) dws: Vec<TableShown>,
}

/// Reads tables until it is dropped.
pub(super) struct TableWatch {
    shown: Arc<Mutex<Shown>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is read.
struct Stores {
    dws: DwsStore,
    dimensions: DimensionStore,
    backend: Arc<dyn StateBackend>,
}

impl TableWatch {
    /// Begins to read.
    pub(super) fn begin(warehouse: &Warehouse) -> std::io::Result<Self> {
        let stores = Stores {
            dws: warehouse.tables.clone(),
            dimensions: warehouse.dimensions.clone(),
            backend: warehouse.backend.clone(),
        };
        let dws = vec![TableShown::default(); layer::DWS.len()];
        let shown = Arc::new(Mutex::new(Shown { dws, ..Shown::default() }));
        let stop = Arc::<AtomicBool>::default();
        let (ours, until) = (shown.clone(), stop.clone());
        let body = move || stores.read_until(&until, &ours);
        let thread = std::thread::Builder::new().name("tables".to_owned()).spawn(body)?;
        Ok(Self { shown, stop, thread: Some(thread) })
    }

    /// What was seen last.
    pub(super) fn shown(&self) -> Shown {
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

/// When tables may be counted again.
#[derive(Default)]
struct Counting {
    at: Option<Instant>,
}

impl Counting {
    /// Looks at tables, and counts them if it is time.
    fn look<T>(&mut self, look: impl FnOnce(bool) -> T) -> T {
        let begun = Instant::now();
        let counting = self.at.is_none_or(|at| begun >= at);
        let seen = look(counting);
        if counting {
            self.at = Some(Instant::now() + begun.elapsed() * REST);
        }
        seen
    }
}

impl Stores {
    fn read_until(&self, stop: &AtomicBool, shown: &Mutex<Shown>) {
        let (mut dws, mut dim) = (Counting::default(), Counting::default());
        let mut seen: Option<Vec<DimensionShown>> = None;
        while !stop.load(Ordering::Relaxed) {
            dws.look(|counting| {
                for (index, table) in layer::DWS.iter().enumerate() {
                    self.read(table.name, counting, shown, index);
                }
            });
            let dimensions =
                dim.look(|counting| self.dimensions(seen.as_deref(), counting, Instant::now()));
            let empty = {
                let mut shown = shown.lock().expect("nothing panics under this lock");
                shown.dimensions.clone_from(&dimensions);
                shown.backfills = backfills(self.backend.as_ref()).unwrap_or_default();
                shown.dws.iter().any(|table| table.newest.is_empty())
            };
            seen = Some(dimensions);
            std::thread::park_timeout(if empty { EVERY_EMPTY } else { EVERY });
        }
    }

    /// What cannot be read is shown as it was: the sink meets the same fault and says so.
    fn read(&self, name: &str, counting: bool, shown: &Mutex<Shown>, index: usize) {
        let newest = self.dws.newest(name, NEWEST).unwrap_or_default();
        let parse = |row: &Vec<u8>| serde_json::from_slice(row).ok();
        let newest = newest.iter().rev().filter_map(parse).collect();
        let rows = if counting { self.dws.count(name).ok() } else { None };
        let mut shown = shown.lock().expect("nothing panics under this lock");
        let table = &mut shown.dws[index];
        table.newest = newest;
        table.rows = rows.unwrap_or(table.rows);
    }

    /// The dimension tables of now; those that were not there when `before` was seen are new, and
    /// those that had fewer columns then.
    fn dimensions(
        &self,
        before: Option<&[DimensionShown]>,
        counting: bool,
        now: Instant,
    ) -> Vec<DimensionShown> {
        let counts = if counting { self.dimensions.counts().ok() } else { None };
        let shown = |table: &store::phoenix::catalog::DimensionTable| {
            let name = table.name.to_lowercase();
            let columns = table.columns.len();
            let known = before.map(|before| before.iter().find(|known| known.name == name));
            let changed_at = match known {
                // At the first look nothing is new.
                None => None,
                Some(Some(known)) if known.columns == columns => known.changed_at,
                Some(_) => Some(now),
            };
            let counted = counts.iter().flatten().find(|(counted, _)| *counted == table.name);
            let rows = counted.map(|(_, rows)| *rows);
            let rows = rows.or(known.flatten().map(|known| known.rows)).unwrap_or(0);
            let new = changed_at.is_some_and(|at| now.duration_since(at) < NEW_FOR);
            DimensionShown { name, rows, new, columns, changed_at }
        };
        self.dimensions.tables().iter().map(|table| shown(table)).collect()
    }
}

#[cfg(test)]
mod tests {
    use engine::sink::TableDefinition;
    use engine::state::memory::MemoryBackend;

    use super::*;

    #[test]
    fn a_dimension_table_is_new_when_it_is_made_or_widened_and_then_no_longer() {
        let backend = || Arc::new(MemoryBackend::new());
        let dimensions = DimensionStore::new(backend()).expect("empty");
        let dws = DwsStore::new(backend()).expect("empty");
        let stores = Stores { dws, dimensions: dimensions.clone(), backend: backend() };
        let ensure = |name: &str, columns: &[&str]| {
            let columns = columns.iter().map(|name| ((*name).to_owned(), "varchar".to_owned()));
            dimensions
                .ensure_table(&TableDefinition {
                    name: name.to_owned(),
                    columns: columns.collect(),
                    keys: vec!["id".to_owned()],
                    ..TableDefinition::default()
                })
                .expect("made");
        };
        let new = |shown: &[DimensionShown]| {
            let new = shown.iter().filter(|table| table.new).map(|table| table.name.clone());
            new.collect::<Vec<_>>()
        };
        let begin = Instant::now();
        ensure("dim_a", &["id"]);
        let first = stores.dimensions(None, true, begin);
        assert_eq!((first.len(), new(&first)), (1, Vec::new()), "it was there before");
        ensure("dim_b", &["id"]);
        let second = stores.dimensions(Some(&first), false, begin);
        assert_eq!(new(&second), ["dim_b"]);
        let third = stores.dimensions(Some(&second), false, begin + NEW_FOR);
        assert_eq!(new(&third), [""; 0]);
        ensure("dim_a", &["id", "name"]);
        let fourth = stores.dimensions(Some(&third), false, begin + NEW_FOR);
        assert_eq!(new(&fourth), ["dim_a"]);
    }
}
