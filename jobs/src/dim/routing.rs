//! Which change goes to which sinks: what stands at the gate of every job with a live configuration.
//!
//! The tests of a record come in the order of warehouse 5.1, and up to `no_config` nothing of its row
//! is read. A record may go to several sinks; each takes the columns it is configured for. What a
//! source is called and what a record becomes at a sink is the job's own: its [`Lane`].
//!
//! Records whose sink is being made wait in state, so many at most. When there are more, the first
//! would hide the later ones that another way leads to the sink (an earlier route, or the back-fill),
//! so then none of them is taken from here.

mod key;
pub(crate) mod line;

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::format::maxwell::ChangeKind;
use connectors::format::maxwell::data::is_object_with_members;
use connectors::format::maxwell::decoder::{DATA, KIND, TABLE, VALUE, maxwell_schema};
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
use super::notice::{Notice, Route};
use crate::settings::ConfigLate;

/// Input of the gate: changes as they come.
pub(crate) const INPUT_LIVE: usize = 1;
/// Input of the gate: changes read again.
pub(crate) const INPUT_REREAD: usize = 2;

/// Port: rows for the sinks.
pub(crate) const PORT_ROUTED: usize = 0;
/// Port: records whose sink could not be made, with the reason.
pub(crate) const PORT_UNROUTED: usize = 1;

/// What records mean to a job. MUST be deterministic.
pub(crate) trait Lane: 'static {
    /// What a route picks of a record.
    type Picks;

    /// Of this route.
    fn picks(&self, route: &Route) -> Self::Picks;
    /// Why a record is dropped before its source is looked up.
    fn refusal(&self, row: Row<'_>) -> Option<&'static str>;
    /// Appends what routes call the source of a record.
    fn write_source(&self, row: Row<'_>, out: &mut Vec<u8>);
    /// The table of a source.
    fn table_of<'s>(&self, source: &'s str) -> &'s str;
    /// Whether a request of this number was made for these routes.
    fn serves(&self, number: u32) -> bool;
    /// Why a record that a route asks for is dropped all the same.
    fn ignores(&self, row: Row<'_>) -> Option<&'static str>;
    /// Sends what a record, read again for `fill` or live, means for the sink of `line`.
    fn take(
        &self,
        line: &mut Line<Self::Picks>,
        row: Row<'_>,
        fill: Option<u32>,
        context: &mut GateContext<'_>,
    );
}

/// A route and what it picks.
pub(crate) struct Line<P> {
    pub(crate) route: Route,
    pub(crate) picks: P,
}

impl<P> Line<P> {
    /// Whether a request of this number fills it.
    fn is_served_by(&self, number: u32) -> bool {
        self.route.fill.is_some_and(|wanted| wanted <= number)
    }
}

/// Rows that wait for their sink.
#[derive(Default)]
struct Waiting {
    rows: BTreeMap<Order, Vec<u8>>,
    /// Whether there were more.
    overflowed: bool,
}

/// The logic.
pub(crate) struct Routing<L: Lane> {
    lane: L,
    late: ConfigLate,
    /// How many records may wait.
    waiting_max: u64,
    lines: Map<Box<[u8]>, Vec<Line<L::Picks>>>,
    /// By source and sink.
    waiting: BTreeMap<(String, String), Waiting>,
    waiting_rows: u64,
    filled: Vec<(String, u32)>,
    /// Records of this epoch by table that nobody asks for.
    unconfigured: BTreeMap<Box<[u8]>, u64>,
    /// Memory for what the source of a record is called.
    source: Vec<u8>,
    dead: Arc<Schema>,
    changes: Arc<Schema>,
}

impl<L: Lane> Routing<L> {
    /// Nothing configured but these routes.
    pub(crate) fn new(
        lane: L,
        late: ConfigLate,
        waiting_max: u64,
        fixed: impl IntoIterator<Item = Route>,
    ) -> Self {
        let mut routing = Self {
            lane,
            late,
            waiting_max,
            lines: Map::default(),
            waiting: BTreeMap::new(),
            waiting_rows: 0,
            filled: Vec::new(),
            unconfigured: BTreeMap::new(),
            source: Vec::new(),
            dead: dead_schema(),
            changes: maxwell_schema(),
        };
        fixed.into_iter().for_each(|route| routing.put(route));
        routing
    }

    fn put(&mut self, route: Route) {
        let lines = self.lines.entry(route.source.as_bytes().into()).or_default();
        let picks = self.lane.picks(&route);
        match lines.iter_mut().find(|line| line.route.sink == route.sink) {
            Some(line) => *line = Line { route, picks },
            None => lines.push(Line { route, picks }),
        }
    }

    fn remove(&mut self, source: &str, sink: &str) {
        if let Some(lines) = self.lines.get_mut(source.as_bytes()) {
            lines.retain(|line| line.route.sink != sink);
            if lines.is_empty() {
                self.lines.remove(source.as_bytes());
            }
        }
    }

    /// Whether rows go to this edition of a sink.
    fn is_routed(&self, source: &str, sink: &str, edition: u64) -> bool {
        let mut routes = self.routes(source);
        routes.any(|route| route.sink == sink && route.edition == edition)
    }

    fn routes(&self, source: &str) -> impl Iterator<Item = &Route> {
        let lines = self.lines.get(source.as_bytes());
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
            let Some(lines) = self.lines.get_mut(source.as_bytes()) else { continue };
            let lines = lines.iter_mut().filter(|line| line.route.sink == sink);
            lines.for_each(|line| self.lane.take(line, row, None, context));
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

    /// Whether a sink of this source is being made.
    fn is_waited_for(&self, source: &[u8]) -> bool {
        self.waiting.keys().any(|(of, _)| of.as_bytes() == source)
    }

    /// Keeps `row` for every sink of its source that is being made.
    fn keep_waiting(&mut self, source: &[u8], row: Row<'_>, context: &mut GateContext<'_>) {
        let group = key_group(source);
        let lines = self.lines.get(source);
        for ((of, sink), waiting) in &mut self.waiting {
            if of.as_bytes() != source {
                continue;
            }
            if self.waiting_rows >= self.waiting_max {
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

    /// A record, live or read again.
    fn record(&mut self, again: bool, row: Row<'_>, context: &mut GateContext<'_>) {
        let mut source = std::mem::take(&mut self.source);
        source.clear();
        self.lane.write_source(row, &mut source);
        if again {
            self.again(&source, row, context);
        } else {
            self.live(&source, row, context);
        }
        self.source = source;
    }

    fn live(&mut self, source: &[u8], row: Row<'_>, context: &mut GateContext<'_>) {
        if let Some(reason) = self.lane.refusal(row) {
            return context.counters.add_labelled("dropped", ("reason", reason), 1);
        }
        if !self.lines.contains_key(source) && !self.is_waited_for(source) {
            return self.count_unconfigured(row.bytes(TABLE).unwrap_or_default());
        }
        if !is_object_with_members(row.bytes(DATA).unwrap_or_default()) {
            return context.counters.add_labelled("dropped", ("reason", "empty_data"), 1);
        }
        if let Some(reason) = self.lane.ignores(row) {
            return context.counters.add_labelled("dropped", ("reason", reason), 1);
        }
        self.keep_waiting(source, row, context);
        let Some(lines) = self.lines.get_mut(source) else { return };
        lines.iter_mut().for_each(|line| self.lane.take(line, row, None, context));
    }

    /// A record read again, for the routes that wait for it. It was counted when it first came.
    fn again(&mut self, source: &[u8], row: Row<'_>, context: &mut GateContext<'_>) {
        let number = Reread::number_of(row.order().partition).expect("a row read again");
        let empty = !is_object_with_members(row.bytes(DATA).unwrap_or_default());
        if empty
            || !self.lane.serves(number)
            || self.lane.refusal(row).is_some()
            || self.lane.ignores(row).is_some()
        {
            return;
        }
        let Some(lines) = self.lines.get_mut(source) else { return };
        // What an earlier request has finished in this epoch, a later one must not begin again: it
        // would be left in the middle.
        let table = text(row, TABLE);
        let earlier = |filled: &&(String, u32)| filled.0 == table && filled.1 < number;
        let earlier = self.filled.iter().filter(earlier).map(|(_, number)| *number).max();
        let wanted = |line: &&mut Line<L::Picks>| {
            line.is_served_by(number) && !earlier.is_some_and(|earlier| line.is_served_by(earlier))
        };
        for line in lines.iter_mut().filter(wanted) {
            context.counters.add("backfill_rows", 1);
            let fill = line.route.fill;
            self.lane.take(line, row, fill, context);
        }
    }

    fn count_unconfigured(&mut self, table: &[u8]) {
        match self.unconfigured.get_mut(table) {
            Some(count) => *count += 1,
            None => drop(self.unconfigured.insert(table.into(), 1)),
        }
    }
}

impl<L: Lane> GateLogic for Routing<L> {
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
            Notice::Waits { .. } if self.late == ConfigLate::Drop => {}
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
            INPUT_LIVE => self.record(false, row, context),
            INPUT_REREAD => self.record(true, row, context),
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
            let of_table = |line: &&mut Line<L::Picks>| {
                self.lane.table_of(&line.route.source) == source && line.is_served_by(number)
            };
            for line in self.lines.values_mut().flatten().filter(of_table) {
                line.route.fill = None;
                let mut bytes = Vec::new();
                Notice::Put(line.route.clone()).encode(&mut bytes);
                context.save_config(route_key(&line.route.source, &line.route.sink), Some(bytes));
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
        self.lines.len() + self.waiting.values().map(|waiting| waiting.rows.len()).sum::<usize>()
    }
}

fn text(row: Row<'_>, column: usize) -> &str {
    std::str::from_utf8(row.bytes(column).unwrap_or_default()).unwrap_or_default()
}

/// What a record says was done.
pub(crate) fn kind(row: Row<'_>) -> ChangeKind {
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
