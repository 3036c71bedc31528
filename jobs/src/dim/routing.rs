//! Which change goes to which dimension tables: what stands at the gate.
//!
//! The tests of a record come in the order of warehouse 5.1, and up to `no_config` nothing of its row
//! is read. A record may go to several sinks; each takes the columns it is configured for.
//!
//! Records whose sink is being made wait in state, so many at most. When there are more, the first
//! would hide the later ones that another way leads to the sink (an earlier route, or the back-fill),
//! so then none of them is taken from here.

mod key;
mod line;

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::format::maxwell::ChangeKind;
use connectors::format::maxwell::data::is_object_with_members;
use connectors::format::maxwell::decoder::{DATA, DATABASE, KIND, TABLE, VALUE, maxwell_schema};
use engine::batch::build::Stamp;
use engine::batch::order::Order;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::batch::stored;
use engine::hash::{Map, key_group};
use engine::operator::decode::{
    DEAD_PARTITION, DEAD_POSITION, DEAD_REASON, DEAD_VALUE, dead_schema,
};
use engine::operator::gate::{GateContext, GateLogic};
use engine::source::reread::Reread;

use self::key::{
    OVER_KEY, ROUTE_KEY, WAIT_KEY, over_key, route_key, row_key, take_names, wait_key,
};
use self::line::Line;
use super::keyless;
use super::notice::{Notice, Route};
use super::rows::change_schema;
use crate::settings::{ConfigLate, Deletes};

/// Input of the gate: changes as they come.
pub(super) const INPUT_LIVE: usize = 1;
/// Input of the gate: changes read again.
pub(super) const INPUT_REREAD: usize = 2;

/// Port: rows for the tables.
pub(super) const PORT_ROUTED: usize = 0;
/// Port: records whose row has no key, with the reason, to be told once.
pub(super) const PORT_NULL_PK: usize = 1;
/// Port: records whose table could not be made, with the reason.
pub(super) const PORT_UNROUTED: usize = 2;

/// How records are taken.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    /// The business database.
    pub(super) database: String,
    pub(super) deletes: Deletes,
    pub(super) late: ConfigLate,
    /// How many records may wait.
    pub(super) waiting_max: u64,
    /// A route that no configuration is needed for and no table is behind.
    pub(super) dictionary: Route,
}

/// Rows that wait for their table.
#[derive(Default)]
struct Waiting {
    rows: BTreeMap<Order, Vec<u8>>,
    /// Whether there were more.
    overflowed: bool,
}

/// The logic.
pub(super) struct Routing {
    rules: Rules,
    tables: Map<Box<[u8]>, Vec<Line>>,
    /// By source and sink.
    waiting: BTreeMap<(String, String), Waiting>,
    waiting_rows: u64,
    filled: Vec<(String, u32)>,
    /// Records of this epoch by table that nobody asks for.
    unconfigured: BTreeMap<Box<[u8]>, u64>,
    routed: Arc<Schema>,
    dead: Arc<Schema>,
    keyless: Arc<Schema>,
    changes: Arc<Schema>,
}

impl Routing {
    /// Nothing configured but the dictionary.
    pub(super) fn new(rules: Rules) -> Self {
        let mut routing = Self {
            tables: Map::default(),
            waiting: BTreeMap::new(),
            waiting_rows: 0,
            filled: Vec::new(),
            unconfigured: BTreeMap::new(),
            routed: change_schema(),
            dead: dead_schema(),
            keyless: keyless::schema(),
            changes: maxwell_schema(),
            rules,
        };
        routing.put(routing.rules.dictionary.clone());
        routing
    }

    fn put(&mut self, route: Route) {
        let lines = self.tables.entry(route.source.as_bytes().into()).or_default();
        match lines.iter_mut().find(|line| line.route.sink == route.sink) {
            Some(line) => *line = Line::of(route),
            None => lines.push(Line::of(route)),
        }
    }

    fn remove(&mut self, source: &str, sink: &str) {
        if let Some(lines) = self.tables.get_mut(source.as_bytes()) {
            lines.retain(|line| line.route.sink != sink);
            if lines.is_empty() {
                self.tables.remove(source.as_bytes());
            }
        }
    }

    /// Whether rows go to this edition of a sink.
    fn is_routed(&self, source: &str, sink: &str, edition: u64) -> bool {
        let mut routes = self.routes(source);
        routes.any(|route| route.sink == sink && route.edition == edition)
    }

    fn routes(&self, source: &str) -> impl Iterator<Item = &Route> {
        let lines = self.tables.get(source.as_bytes());
        lines.into_iter().flatten().map(|line| &line.route)
    }

    /// Ends the wait for a sink.
    fn release(&mut self, source: &str, sink: &str, context: &mut GateContext<'_>) -> Waiting {
        let at = (source.to_owned(), sink.to_owned());
        let Some(waiting) = self.waiting.remove(&at) else { return Waiting::default() };
        self.waiting_rows -= waiting.rows.len() as u64;
        context.save_config(wait_key(source, sink), None);
        for order in waiting.rows.keys() {
            context.save(key_group(source.as_bytes()), row_key(source, sink, *order), None);
        }
        if waiting.overflowed {
            context.save(key_group(source.as_bytes()), over_key(source, sink), None);
        }
        waiting
    }

    /// Routes what waited for `sink`, which is there now; `otherwise`: it comes there in another way,
    /// too.
    fn route_waiting(
        &mut self,
        source: &str,
        sink: &str,
        otherwise: bool,
        context: &mut GateContext<'_>,
    ) {
        let waiting = self.release(source, sink, context);
        if waiting.overflowed && otherwise {
            return;
        }
        for stored in waiting.rows.into_values() {
            let batch = stored::decode(&self.changes, &stored).expect("written by this operator");
            let row = batch.row(0);
            let Some(lines) = self.tables.get_mut(source.as_bytes()) else { continue };
            let rules = &self.rules;
            let lines = lines.iter_mut().filter(|line| line.route.sink == sink);
            lines.for_each(|line| {
                line.take(row, None, rules, (&self.routed, &self.keyless), context)
            });
        }
    }

    fn give_up(&mut self, source: &str, sink: &str, context: &mut GateContext<'_>) {
        let is_routed = self.routes(source).any(|route| route.sink == sink);
        for stored in self.release(source, sink, context).rows.into_values() {
            // A route there was before has taken them already.
            if is_routed {
                continue;
            }
            let batch = stored::decode(&self.changes, &stored).expect("written by this operator");
            refuse(batch.row(0), PORT_UNROUTED, "unrouted", &self.dead, context);
        }
    }

    /// Whether a sink of this table is being made.
    fn is_waited_for(&self, table: &[u8]) -> bool {
        self.waiting.keys().any(|(source, _)| source.as_bytes() == table)
    }

    /// Keeps `row` for every sink of its table that is being made.
    fn keep_waiting(&mut self, row: Row<'_>, context: &mut GateContext<'_>) {
        let source = text(row, TABLE);
        let group = key_group(source.as_bytes());
        let lines = self.tables.get(source.as_bytes());
        for ((of, sink), waiting) in &mut self.waiting {
            if of != source {
                continue;
            }
            if self.waiting_rows >= self.rules.waiting_max {
                waiting.overflowed = true;
                context.save(group, over_key(of, sink), Some(Vec::new()));
                if !lines.is_some_and(|lines| lines.iter().any(|line| line.route.sink == *sink)) {
                    refuse(row, PORT_UNROUTED, "unrouted", &self.dead, context);
                }
                continue;
            }
            let mut bytes = Vec::new();
            stored::encode(row, &mut bytes);
            let key = row_key(of, sink, row.order());
            context.save(group, key, Some(bytes.clone()));
            waiting.rows.insert(row.order(), bytes);
            self.waiting_rows += 1;
        }
    }

    fn live(&mut self, row: Row<'_>, context: &mut GateContext<'_>) {
        if let Some(reason) = self.refusal(row) {
            return context.counters.add_labelled("dropped", ("reason", reason), 1);
        }
        let table = row.bytes(TABLE).unwrap_or_default();
        if !self.tables.contains_key(table) && !self.is_waited_for(table) {
            return self.count_unconfigured(table);
        }
        if !is_object_with_members(row.bytes(DATA).unwrap_or_default()) {
            return context.counters.add_labelled("dropped", ("reason", "empty_data"), 1);
        }
        if kind(row) == ChangeKind::Delete && self.rules.deletes == Deletes::Ignore {
            return context.counters.add_labelled("dropped", ("reason", "delete_ignored"), 1);
        }
        self.keep_waiting(row, context);
        let Some(lines) = self.tables.get_mut(table) else { return };
        let (rules, schemas) = (&self.rules, (&self.routed, &self.keyless));
        lines.iter_mut().for_each(|line| line.take(row, None, rules, schemas, context));
    }

    /// A record read again, for the routes that wait for it. It was counted when it first came.
    fn again(&mut self, row: Row<'_>, context: &mut GateContext<'_>) {
        let number = Reread::number_of(row.order().partition).expect("a row read again");
        let ignored = kind(row) == ChangeKind::Delete && self.rules.deletes == Deletes::Ignore;
        let empty = !is_object_with_members(row.bytes(DATA).unwrap_or_default());
        if self.refusal(row).is_some() || ignored || empty {
            return;
        }
        let Some(lines) = self.tables.get_mut(row.bytes(TABLE).unwrap_or_default()) else { return };
        let (rules, schemas) = (&self.rules, (&self.routed, &self.keyless));
        // What an earlier request has finished in this epoch, a later one must not begin again: it
        // would be left in the middle.
        let source = text(row, TABLE);
        let earlier = |filled: &&(String, u32)| filled.0 == source && filled.1 < number;
        let earlier = self.filled.iter().filter(earlier).map(|(_, number)| *number).max();
        let wanted = |line: &&mut Line| {
            line.is_served_by(number) && !earlier.is_some_and(|earlier| line.is_served_by(earlier))
        };
        for line in lines.iter_mut().filter(wanted) {
            context.counters.add("backfill_rows", 1);
            line.take(row, line.route.fill, rules, schemas, context);
        }
    }

    fn count_unconfigured(&mut self, table: &[u8]) {
        match self.unconfigured.get_mut(table) {
            Some(count) => *count += 1,
            None => drop(self.unconfigured.insert(table.into(), 1)),
        }
    }

    /// Why a record is dropped before its table is looked up.
    fn refusal(&self, row: Row<'_>) -> Option<&'static str> {
        if row.bytes(DATABASE) != Some(self.rules.database.as_bytes()) {
            return Some("other_db");
        }
        match kind(row) {
            ChangeKind::BootstrapMarker => Some("bootstrap_marker"),
            ChangeKind::Ddl => Some("ddl"),
            ChangeKind::Unknown => Some("unknown_type"),
            ChangeKind::Insert | ChangeKind::Update | ChangeKind::Delete => None,
        }
    }
}

impl GateLogic for Routing {
    fn config(&mut self, row: Row<'_>, context: &mut GateContext<'_>) {
        let notice = Notice::read(row);
        let mut bytes = Vec::new();
        notice.encode(&mut bytes);
        match notice {
            Notice::Put(route) => {
                let (source, sink) = (route.source.clone(), route.sink.clone());
                context.save_config(route_key(&source, &sink), Some(bytes));
                let otherwise =
                    route.fill.is_some() || self.is_routed(&source, &sink, route.edition);
                self.put(route);
                self.route_waiting(&source, &sink, otherwise, context);
            }
            Notice::Remove { source, sink } => {
                context.save_config(route_key(&source, &sink), None);
                self.remove(&source, &sink);
                self.give_up(&source, &sink, context);
            }
            // Then its records are dropped, as those of any other table without configuration.
            Notice::Waits { .. } if self.rules.late == ConfigLate::Drop => {}
            Notice::Waits { source, sink } => {
                context.save_config(wait_key(&source, &sink), Some(bytes));
                self.waiting.entry((source, sink)).or_default();
            }
            Notice::GivenUp { source, sink } => self.give_up(&source, &sink, context),
            // Rows that it answers may be among those of this epoch.
            Notice::Filled { source, number } => self.filled.push((source, number)),
        }
    }

    fn row(&mut self, input: usize, row: Row<'_>, context: &mut GateContext<'_>) {
        match input {
            INPUT_LIVE => self.live(row, context),
            INPUT_REREAD => self.again(row, context),
            other => unreachable!("the gate has no input {other}"),
        }
    }

    fn closed(&mut self, context: &mut GateContext<'_>) {
        for (table, count) in std::mem::take(&mut self.unconfigured) {
            let name = String::from_utf8_lossy(&table).into_owned();
            context.counters.add_labelled("dropped", ("reason", "no_config"), count);
            context.counters.add_labelled("no_config", ("table", name), count);
        }
        for (source, number) in std::mem::take(&mut self.filled) {
            let Some(lines) = self.tables.get_mut(source.as_bytes()) else { continue };
            for line in lines.iter_mut().filter(|line| line.is_served_by(number)) {
                line.route.fill = None;
                let mut bytes = Vec::new();
                Notice::Put(line.route.clone()).encode(&mut bytes);
                context.save_config(route_key(&source, &line.route.sink), Some(bytes));
            }
        }
    }

    fn load(&mut self, key: &[u8], value: &[u8]) {
        let written = "state of this operator was written by it";
        let (kind, mut rest) = key.split_first().expect(written);
        match *kind {
            ROUTE_KEY => match Notice::decode(value).expect(written) {
                Notice::Put(route) => self.put(route),
                other => unreachable!("{other:?} is no route"),
            },
            WAIT_KEY => {
                let (source, sink) = take_names(&mut rest).expect(written);
                self.waiting.entry((source, sink)).or_default();
            }
            OVER_KEY => {
                let (source, sink) = take_names(&mut rest).expect(written);
                self.waiting.entry((source, sink)).or_default().overflowed = true;
            }
            _ => {
                let (source, sink) = take_names(&mut rest).expect(written);
                let order = Order::decode(rest).expect(written);
                let waiting = self.waiting.entry((source, sink)).or_default();
                waiting.rows.insert(order, value.to_vec());
                self.waiting_rows += 1;
            }
        }
    }

    fn entries(&self) -> usize {
        self.tables.len() + self.waiting.values().map(|waiting| waiting.rows.len()).sum::<usize>()
    }
}

fn text(row: Row<'_>, column: usize) -> &str {
    std::str::from_utf8(row.bytes(column).unwrap_or_default()).unwrap_or_default()
}

fn kind(row: Row<'_>) -> ChangeKind {
    let code = row.int(KIND).expect("never null");
    ChangeKind::of_code(code).expect("written by the decoder")
}

/// Sends the record to a side output.
fn refuse(
    row: Row<'_>,
    port: usize,
    reason: &str,
    schema: &Arc<Schema>,
    context: &mut GateContext<'_>,
) {
    let rows = context.output.row(port, schema);
    rows.begin();
    let value = rows.append(row.bytes(VALUE).unwrap_or_default());
    rows.slice(DEAD_VALUE, value);
    let reason = rows.append(reason.as_bytes());
    rows.slice(DEAD_REASON, reason);
    let order = row.order();
    let partition = rows.append(order.partition.to_string().as_bytes());
    rows.slice(DEAD_PARTITION, partition);
    rows.int(DEAD_POSITION, i64::try_from(order.position).ok());
    rows.end(Stamp::of(row));
}

#[cfg(test)]
mod tests;
