//! The tables after each phase: one row of configuration at a time, one change at a time, nothing
//! under way in between.
//!
//! What a new or wider row makes of the past is written here in one line: all past changes of its
//! source, from the first to the last, over what the table holds.

use std::collections::{BTreeMap, BTreeSet};

use jobs::settings::Deletes;

use super::{Change, Config, ConfigEvent, Table, apply};

/// A source and a sink.
pub(crate) type Pair = (String, String);

/// A table at the store: what was decided when it was made, and every column it ever had.
#[derive(Debug, Clone)]
struct Made {
    keys: Vec<String>,
    extend: Option<String>,
    columns: BTreeSet<String>,
    rows: Table,
}

/// The shop and its dimensions.
#[derive(Debug, Clone)]
pub(crate) struct Phases {
    deletes: Deletes,
    /// Whether an updated row makes its table anew.
    recreates: bool,
    /// Rows in force.
    pub(crate) routes: BTreeMap<Pair, Config>,
    /// Config rows that were refused.
    pub(crate) rejected: u64,
    made: BTreeMap<String, Made>,
    past: Vec<Change>,
}

impl Default for Phases {
    fn default() -> Self {
        Self {
            deletes: Deletes::Delete,
            recreates: false,
            routes: BTreeMap::new(),
            rejected: 0,
            made: BTreeMap::new(),
            past: Vec::new(),
        }
    }
}

impl Phases {
    /// What `dim.delete` says.
    pub(crate) fn with_deletes(deletes: Deletes) -> Self {
        Self { deletes, ..Self::default() }
    }

    /// What `dim.config_update = recreate` says.
    pub(crate) fn recreating() -> Self {
        Self { recreates: true, ..Self::default() }
    }

    /// A change comes by.
    pub(crate) fn change(&mut self, change: &Change) {
        for route in self.routes.values().filter(|route| route.source == change.table) {
            let made = self.made.get_mut(&route.sink).expect("made with its route");
            apply(route, change, self.deletes, &mut made.rows);
        }
        self.past.push(change.clone());
    }

    /// The configuration changes.
    pub(crate) fn configure(&mut self, event: &ConfigEvent) {
        match event {
            ConfigEvent::Put(before, row) => self.put(before.as_ref(), row),
            ConfigEvent::Delete(row) => drop(self.routes.remove(&pair(row))),
        }
    }

    fn put(&mut self, before: Option<&Config>, row: &Config) {
        if let Some(before) = before.filter(|before| before.source != row.source) {
            self.routes.remove(&pair(before));
        }
        let anew = self.recreates && before.is_some();
        if !self.accepts(row, anew) {
            self.rejected += 1;
            return;
        }
        if anew {
            self.made.remove(&row.sink);
        }
        let made = self.made.entry(row.sink.clone()).or_insert_with(|| Made {
            keys: row.keys.clone(),
            extend: row.extend.clone(),
            columns: BTreeSet::new(),
            rows: Table::new(),
        });
        made.columns.extend(row.all_columns());
        let known = self.routes.insert(pair(row), row.clone());
        if let Some(former) = before.map(pair).filter(|former| *former != pair(row)) {
            self.routes.remove(&former);
        }
        let wider = known.is_none_or(|known| {
            let known = known.all_columns();
            row.all_columns().iter().any(|column| !known.contains(column))
        });
        if anew || wider {
            for change in self.past.iter().filter(|change| change.table == row.source) {
                apply(row, change, self.deletes, &mut made.rows);
            }
        }
    }

    fn accepts(&self, row: &Config, anew: bool) -> bool {
        let mut seen = BTreeSet::new();
        let well_formed =
            !row.columns.is_empty() && row.columns.iter().all(|column| seen.insert(column));
        // In force, made earlier, or fed by somebody else: the key and the salt were decided then.
        let same = |made: &Made| (&made.keys, &made.extend) == (&row.keys, &row.extend);
        let foreign = |route: &&Config| route.sink == row.sink && route.source != row.source;
        let in_force = self.routes.contains_key(&pair(row));
        let taken = !in_force && self.routes.values().any(|r| foreign(&r));
        well_formed && !taken && (anew || self.made.get(&row.sink).is_none_or(same))
    }

    /// All tables, every row with every column.
    pub(crate) fn tables(&self) -> BTreeMap<String, Table> {
        let whole = |made: &Made| {
            let mut rows = made.rows.clone();
            for row in rows.values_mut() {
                made.columns.iter().for_each(|column| {
                    row.entry(column.clone()).or_insert(None);
                });
            }
            rows
        };
        self.made.iter().map(|(sink, made)| (sink.clone(), whole(made))).collect()
    }

    /// Whether every route of `before` is still there, with all its columns: then it makes no
    /// difference which of the rows of a phase came before its configuration.
    pub(crate) fn has_grown_since(&self, before: &Self) -> bool {
        before.routes.iter().all(|(pair, route)| {
            let now = self.routes.get(pair).map(Config::all_columns);
            now.is_some_and(|now| route.all_columns().is_subset(&now))
        })
    }
}

fn pair(row: &Config) -> Pair {
    (row.source.clone(), row.sink.clone())
}
