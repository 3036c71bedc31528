//! What the change of a config row means beside the rows in force (warehouse 4.5.6 and 5.2).
//!
//! [`Routes`] are the rows in force. [`Routes::decide`] changes nothing: it answers with effects,
//! in the order in which they are to be carried out. Whoever carries them out MUST hold back what
//! follows an [`Effect::Ensure`] until the sink has acknowledged it, MUST drop it if the sink
//! refuses for good (the old route stays, as if the row had been rejected), and MUST
//! [`Routes::apply`] the effects of one change before the next change is decided.
//!
//! | change | effects |
//! |---|---|
//! | a pair of tables that is not in force | ensure, put, back-fill |
//! | more columns | ensure, put, back-fill |
//! | fewer columns, or another order | put: the columns stay in the table, and nobody writes them |
//! | other properties | ensure, put |
//! | nothing | none |
//! | another sink table | ensure and put the new route, remove the old one, back-fill |
//! | another source table | as deleted and inserted |
//! | another key or salt | reject, the route in force stays |
//! | deleted | remove; the table and its rows stay |
//! | refused by itself | reject, the route in force stays |
//! | nothing of its kind any more | remove, reject |
//!
//! If tables are to be made anew (`dim.config_update = recreate`), every update of a row does so, even
//! one that changes nothing: what an update means must not depend on whether the row before it was
//! in force yet. Then the key and the salt may be others.
//!
//! A rejected row is forgotten: it does not come alive when what it ran into goes away.

use std::borrow::Cow;
use std::collections::BTreeMap;

use engine::sink::TableDefinition;

use super::config::{Columns, ConfigRow, RouteKey};
use super::rejected::{Reason, Rejected};
use super::subject::Subject;

/// The change of one config row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// A route that goes, whatever becomes of the row.
    gone: Option<RouteKey>,
    /// Where the row led before: goes once the row is in force.
    former: Option<RouteKey>,
    /// Whether it is an update.
    updated: bool,
    /// The row as it is now, unless it was deleted.
    row: Option<Result<ConfigRow, Rejected>>,
}

impl ConfigChange {
    /// A row that was read, inserted or updated; `before` is known for an update only. What
    /// `before` says counts as far as it was in force.
    pub fn put<S: Subject>(before: Option<&Columns>, after: &Columns) -> Self {
        let former = before.and_then(|before| S::key(before).ok());
        let row = S::row(after);
        let leaves = former.as_ref().is_some_and(|former| leaves::<S>(former, after, &row));
        let (gone, former) = if leaves { (former, None) } else { (None, former) };
        Self { gone, former, updated: false, row: Some(row) }
    }

    /// The change, told that it is an update; its row before need not be known.
    pub fn updated(self, updated: bool) -> Self {
        Self { updated, ..self }
    }

    /// A row that was deleted. If it cannot be told what it was about, it was not in force, and its
    /// deletion is rejected.
    pub fn delete<S: Subject>(before: &Columns) -> Self {
        match S::key(before) {
            Ok(key) => Self { gone: Some(key), former: None, updated: false, row: None },
            Err(rejected) => {
                Self { gone: None, former: None, updated: false, row: Some(Err(rejected)) }
            }
        }
    }
}

/// Whether the row is about another source now, which is a deletion and an insertion, or about
/// nothing of its kind.
fn leaves<S: Subject>(
    former: &RouteKey,
    after: &Columns,
    row: &Result<ConfigRow, Rejected>,
) -> bool {
    match row {
        Ok(row) => row.source_table != former.source_table,
        Err(Rejected { reason: Reason::NotADimension | Reason::NotAFact, .. }) => true,
        Err(_) => S::key(after).is_ok_and(|after| after.source_table != former.source_table),
    }
}

/// One thing to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Create the table or add the columns it lacks; everything that follows waits for it.
    Ensure(TableDefinition),
    /// Drop the table if it is there, with all its rows, and create it; likewise.
    Recreate(TableDefinition),
    /// Route by this row from now on, instead of the one with the same key if there is one.
    Put(ConfigRow),
    /// Stop routing.
    Remove(RouteKey),
    /// Read the source table again, for this route.
    Backfill(RouteKey),
    /// The row is refused; counted and put into the side output.
    Reject(Rejected),
}

/// What decisions depend on beside the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RouteRules {
    /// Schema of all dimension tables (`dim.schema`).
    pub schema: Option<String>,
    /// Whether several sources may feed one table (`dim.shared_sink`).
    pub shared_sink: bool,
    /// Whether an update makes its table anew (`dim.config_update`).
    pub recreate: bool,
    /// Whether what was sent is never sent again: then only a new route is filled.
    pub appends: bool,
}

/// The config rows in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes {
    rules: RouteRules,
    rows: BTreeMap<String, BTreeMap<String, ConfigRow>>,
}

impl Routes {
    /// No rows yet.
    pub fn new(rules: RouteRules) -> Self {
        Self { rules, rows: BTreeMap::new() }
    }

    /// The routes of a source table, by name of the sink table; none if it is not configured.
    pub fn of<'r>(&'r self, source_table: &str) -> impl Iterator<Item = &'r ConfigRow> + use<'r> {
        self.rows.get(source_table).into_iter().flat_map(BTreeMap::values)
    }

    /// All routes, by source table and sink table.
    pub fn all(&self) -> impl Iterator<Item = &ConfigRow> {
        self.rows.values().flat_map(BTreeMap::values)
    }

    /// The route with this key.
    pub fn get(&self, key: &RouteKey) -> Option<&ConfigRow> {
        self.rows.get(&key.source_table)?.get(&key.sink_table)
    }

    /// What `change` means. See the module.
    pub fn decide(&self, change: &ConfigChange) -> Vec<Effect> {
        let mut effects = Vec::new();
        let mut routes = Cow::Borrowed(self);
        if let Some(gone) = change.gone.as_ref().filter(|gone| self.get(gone).is_some()) {
            let remove = Effect::Remove(gone.clone());
            routes.to_mut().apply(&remove);
            effects.push(remove);
        }
        match &change.row {
            Some(Ok(row)) => routes.decide_row(row, change, &mut effects),
            Some(Err(rejected)) => effects.push(Effect::Reject(rejected.clone())),
            None => {}
        }
        effects
    }

    fn decide_row(&self, row: &ConfigRow, change: &ConfigChange, effects: &mut Vec<Effect>) {
        let key = row.key();
        let in_force = self.get(&key);
        let anew = change.updated && self.rules.recreate;
        let rejected = match in_force {
            Some(_) if anew => None,
            Some(in_force) => differs_for_good(in_force, row),
            None => self.taken(row),
        };
        if let Some(rejected) = rejected {
            return effects.push(Effect::Reject(rejected));
        }
        let widened = in_force
            .is_none_or(|route| row.columns.iter().any(|column| !route.columns.contains(column)));
        let same_table = in_force
            .is_some_and(|route| (&route.extend, &route.family) == (&row.extend, &row.family));
        let definition = || row.definition(self.rules.schema.as_deref());
        if anew {
            effects.push(Effect::Recreate(definition()));
        } else if widened || !same_table {
            effects.push(Effect::Ensure(definition()));
        }
        if anew || in_force != Some(row) {
            effects.push(Effect::Put(row.clone()));
        }
        let former = change.former.as_ref().filter(|former| **former != key);
        if let Some(former) = former.filter(|former| self.get(former).is_some()) {
            effects.push(Effect::Remove(former.clone()));
        }
        let fills = if self.rules.appends { in_force.is_none() } else { widened };
        if anew || fills {
            effects.push(Effect::Backfill(key));
        }
    }

    /// Why the sink table of a new route cannot be had.
    fn taken(&self, row: &ConfigRow) -> Option<Rejected> {
        let other = |route: &&ConfigRow| {
            route.sink_table == row.sink_table && route.source_table != row.source_table
        };
        self.all().filter(other).find_map(|route| {
            let (source, sink) = (&route.source_table, &route.sink_table);
            if !self.rules.shared_sink {
                let text = format!("{sink} is fed by {source}, and dim.shared_sink is off");
                return Some(Rejected::new(Reason::SinkTaken, text));
            }
            let with = format!("{sink} is fed by {source}, too, with");
            key_difference(route, row)
                .map(|keys| Rejected::new(Reason::SharedKeyDiffers, format!("{with} {keys}")))
                .or_else(|| {
                    let salt = salt_difference(route, row)?;
                    Some(Rejected::new(Reason::SharedSaltDiffers, format!("{with} {salt}")))
                })
        })
    }

    /// Carries out what concerns the routes themselves.
    pub fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Put(row) => {
                let routes = self.rows.entry(row.source_table.clone()).or_default();
                routes.insert(row.sink_table.clone(), row.clone());
            }
            Effect::Remove(key) => {
                let Some(routes) = self.rows.get_mut(&key.source_table) else { return };
                routes.remove(&key.sink_table);
                if routes.is_empty() {
                    self.rows.remove(&key.source_table);
                }
            }
            Effect::Ensure(_) | Effect::Recreate(_) | Effect::Backfill(_) | Effect::Reject(_) => {}
        }
    }
}

/// Why a row cannot take the place of the one in force.
fn differs_for_good(in_force: &ConfigRow, row: &ConfigRow) -> Option<Rejected> {
    let has = format!("{} has", row.sink_table);
    let key = key_difference(in_force, row)
        .map(|keys| Rejected::new(Reason::KeyChanged, format!("{has} {keys}")));
    key.or_else(|| {
        let salt = salt_difference(in_force, row)?;
        Some(Rejected::new(Reason::SaltChanged, format!("{has} {salt}")))
    })
}

fn key_difference(is: &ConfigRow, should: &ConfigRow) -> Option<String> {
    (is.folded_keys() != should.folded_keys())
        .then(|| format!("key ({}), not ({})", is.keys.join(", "), should.keys.join(", ")))
}

fn salt_difference(is: &ConfigRow, should: &ConfigRow) -> Option<String> {
    let (is, should) = (is.extend.salt_buckets(), should.extend.salt_buckets());
    (is != should).then(|| format!("{is} salt buckets, not {should}"))
}

#[cfg(test)]
mod tests;
