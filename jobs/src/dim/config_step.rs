//! The configuration step: config rows become routes, one after the other, on one worker.
//!
//! A row that needs a table asks the sink for it and waits for the answer before it becomes a route;
//! the rows after it wait, too, so every decision sees the routes before it ([`super::change`]). If
//! the sink cannot make the table in time, the row stays pending in state: the epoch goes on, rows of
//! its source wait at the gate, and the table is asked for again at every close. What becomes of a
//! row is told to all workers by a [`Notice`].
//!
//! Back-fills are numbered here: a route is filled when the source has read again what its number,
//! or a later one, asked for. In the first epoch of all nothing has passed, so nothing is read again.

use std::collections::{BTreeMap, VecDeque};
use std::marker::PhantomData;
use std::sync::Arc;

use connectors::format::debezium::DebeziumOp;
use connectors::format::debezium::decoder::{AFTER, BEFORE, OP, VALUE};
use connectors::format::maxwell::data::column_map;
use engine::batch::NO_TIME;
use engine::batch::build::Stamp;
use engine::batch::order::Order;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::checkpoint::piece::Delta;
use engine::hash::key_group;
use engine::operator::ask::TableAnswer;
use engine::operator::decode::{
    DEAD_PARTITION, DEAD_POSITION, DEAD_REASON, DEAD_VALUE, REREAD_NAME, REREAD_NUMBER, dead_schema,
};
use engine::operator::stateful::{Close, SHARED_GROUP, Stateful};
use engine::sink::TableDefinition;
use engine::source::reread::Reread;

use super::change::{ConfigChange, Effect, RouteRules, Routes};
use super::config::{ConfigRow, RouteKey};
use super::config_state::{Entry, Given, Loaded, Pending};
use super::notice::{Notice, Route};
use super::rejected::{Reason, Rejected};
use super::subject::Subject;
use crate::settings::ConfigUpdates;

/// Input: rows of the config table. The other one: ends of what was read again.
const INPUT_CONFIG: usize = 0;
/// Port: notices.
pub(crate) const PORT_NOTICES: usize = 0;
/// Port: config rows that are refused, with the reason.
pub(crate) const PORT_FAULTS: usize = 1;

/// A config row under way.
struct Event {
    given: Given,
    /// What is left to do; not yet decided before its turn.
    effects: Option<VecDeque<Effect>>,
    rejected: bool,
    /// The edition that it made its table anew as.
    edition: Option<u64>,
    /// The record, for the side output.
    value: Vec<u8>,
    stamp: Stamp,
}

/// What the step is told.
#[derive(Debug, Clone)]
pub(crate) struct ConfigSettings {
    /// Whether the past of a new route is read again.
    pub(crate) backfill: bool,
    /// What an updated row does.
    pub(crate) updates: ConfigUpdates,
    /// What decisions depend on.
    pub(crate) rules: RouteRules,
    /// Whether sinks must be made before rows go there. If not, nothing is ever asked for.
    pub(crate) makes_sinks: bool,
    /// Text before the name of every sink.
    pub(crate) sink_prefix: String,
    /// Most bytes of the name of a sink, prefix included.
    pub(crate) sink_name_max: usize,
}

/// The operator.
pub(crate) struct ConfigStep<S> {
    settings: ConfigSettings,
    routes: Routes,
    /// Number of the last request to read again.
    number: u32,
    /// Routes that are being filled, and the request that serves each.
    fills: BTreeMap<RouteKey, u32>,
    /// Editions of sink tables that were made anew.
    editions: BTreeMap<String, u64>,
    /// Rows whose table is not there yet.
    pending: BTreeMap<RouteKey, Pending>,
    /// Rows of this epoch, in order; the first may wait for its table.
    events: VecDeque<Event>,
    /// What each question of this close is about: a pending row, or (none) the first event.
    questions: BTreeMap<u64, Option<RouteKey>>,
    asked: u64,
    /// Notices of this close.
    told: u64,
    /// Whether an epoch has ended.
    opened: bool,
    /// Whether this close has asked for what is pending.
    retried: bool,
    changed: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    notices: Arc<Schema>,
    dead: Arc<Schema>,
    subject: PhantomData<fn() -> S>,
}

impl<S: Subject> ConfigStep<S> {
    /// Nothing configured.
    pub(crate) fn new(settings: ConfigSettings) -> Self {
        Self {
            routes: Routes::new(settings.rules.clone()),
            settings,
            number: S::REQUESTS_FROM,
            fills: BTreeMap::new(),
            editions: BTreeMap::new(),
            pending: BTreeMap::new(),
            events: VecDeque::new(),
            questions: BTreeMap::new(),
            asked: 0,
            told: 0,
            opened: false,
            retried: false,
            changed: BTreeMap::new(),
            notices: Notice::schema(),
            dead: dead_schema(),
            subject: PhantomData,
        }
    }

    /// Takes a config row, to be worked off in its turn; one that is not asked for is counted only.
    fn take(&mut self, event: Event, close: &mut Close<'_>) {
        let update = event.given.op == DebeziumOp::Update;
        if update && self.settings.updates == ConfigUpdates::Ignore {
            return close.counters.add("config_ignored", 1);
        }
        self.events.push_back(event);
    }

    /// Goes on with the events until one has to wait; then asks for what is pending.
    fn work(&mut self, close: &mut Close<'_>) {
        while let Some(mut event) = self.events.pop_front() {
            if self.carry_out(&mut event, close) {
                self.events.push_front(event);
                return;
            }
            if !event.rejected {
                close.counters.add_labelled("config_applied", ("op", event.given.op.as_str()), 1);
            }
        }
        if !std::mem::replace(&mut self.retried, true) {
            self.retry(close);
        }
    }

    fn retry(&mut self, close: &mut Close<'_>) {
        for (key, Pending { given, order, .. }) in self.pending.clone() {
            let row = S::row(&given.after).expect("it was in order when it came");
            let table = row.definition(self.settings.rules.schema.as_deref());
            let anew = self.settings.rules.recreate && given.op == DebeziumOp::Update;
            let edition = if anew { edition_of(order) } else { self.edition(&table.name) };
            self.ask(Some(key), TableDefinition { edition, ..table }, close);
        }
    }

    /// The edition of a sink table as it stands.
    fn edition(&self, sink: &str) -> u64 {
        self.editions.get(sink).copied().unwrap_or(0)
    }

    fn ask(&mut self, about: Option<RouteKey>, table: TableDefinition, close: &mut Close<'_>) {
        self.asked += 1;
        self.questions.insert(self.asked, about);
        let name = format!("{}{}", self.settings.sink_prefix, table.name);
        close.asked.ensure_table(self.asked, TableDefinition { name, ..table });
    }

    /// Does what an event means; true if it waits for its table.
    fn carry_out(&mut self, event: &mut Event, close: &mut Close<'_>) -> bool {
        let mut effects = event.effects.take().unwrap_or_else(|| self.decide(event, close));
        while let Some(effect) = effects.pop_front() {
            let table = match &effect {
                Effect::Ensure(table) => {
                    TableDefinition { edition: self.edition(&table.name), ..table.clone() }
                }
                Effect::Recreate(table) => {
                    let edition = edition_of(event.stamp.order);
                    event.edition = Some(edition);
                    TableDefinition { edition, ..table.clone() }
                }
                Effect::Put(_) | Effect::Remove(_) | Effect::Backfill(_) | Effect::Reject(_) => {
                    TableDefinition::default()
                }
            };
            if self.settings.makes_sinks && !table.name.is_empty() {
                self.ask(None, table, close);
                event.effects = Some(effects);
                return true;
            }
            self.routes.apply(&effect);
            let fills = effects.iter().any(|effect| matches!(effect, Effect::Backfill(_)));
            self.effect(effect, event, fills, close);
        }
        false
    }

    fn decide(&mut self, event: &Event, close: &mut Close<'_>) -> VecDeque<Effect> {
        let Given { op, before, after } = &event.given;
        // What is pending is not in force: it goes without an effect of its own.
        let now = if *op == DebeziumOp::Delete { None } else { S::key(after).ok() };
        let former = before.as_ref().and_then(|before| S::key(before).ok());
        if let Some(former) = former.filter(|former| Some(former) != now.as_ref()) {
            self.drop_pending(&former, close);
        }
        let change = match before {
            Some(before) if *op == DebeziumOp::Delete => ConfigChange::delete::<S>(before),
            before => ConfigChange::put::<S>(before.as_ref(), after),
        };
        let change = change.updated(*op == DebeziumOp::Update);
        let effects = self.routes.decide(&change);
        match effects.iter().find_map(|effect| self.too_long(effect)) {
            None => effects.into(),
            // A row about another source is one that was deleted, whatever becomes of the new one.
            Some(rejected) => {
                let gone = effects.into_iter().take_while(|e| matches!(e, Effect::Remove(_)));
                gone.chain([Effect::Reject(rejected)]).collect()
            }
        }
    }

    /// Why a row cannot be in force though it is in order: its sink has no legal name here.
    fn too_long(&self, effect: &Effect) -> Option<Rejected> {
        let Effect::Put(ConfigRow { sink_table, .. }) = effect else { return None };
        let ConfigSettings { sink_prefix, sink_name_max, .. } = &self.settings;
        let length = sink_prefix.len() + sink_table.len();
        (length > *sink_name_max).then(|| {
            let text = format!("\"{sink_prefix}{sink_table}\" has more than {sink_name_max} bytes");
            Rejected::new(Reason::LongName, text)
        })
    }

    fn effect(&mut self, effect: Effect, event: &mut Event, fills: bool, close: &mut Close<'_>) {
        match effect {
            Effect::Put(row) => self.put(&row, event, fills, close),
            Effect::Remove(key) => self.remove(&key, close),
            Effect::Reject(rejected) => self.reject(rejected.reason.as_str(), event, close),
            // The first is handled by the caller, the other asked for with its route.
            Effect::Ensure(_) | Effect::Recreate(_) | Effect::Backfill(_) => {}
        }
    }

    /// Makes `row` a route, and asks for what it needs of the past.
    fn put(&mut self, row: &ConfigRow, event: &Event, fills: bool, close: &mut Close<'_>) {
        let key = row.key();
        self.pending.remove(&key);
        self.change(Entry::Pending(&key), None);
        if let Some(edition) = event.edition {
            self.editions.insert(row.sink_table.clone(), edition);
            let bytes = edition.to_be_bytes().to_vec();
            self.change(Entry::Edition(&row.sink_table), Some(bytes));
        }
        let passed = self.opened || !close.asked.nothing_has_passed();
        if fills && self.settings.backfill && passed {
            self.number += 1;
            self.fills.insert(key.clone(), self.number);
            let name = S::request(S::table_of(&row.source_table)).into();
            close.asked.reread(Reread { name, number: self.number });
            let number = self.number.to_be_bytes().to_vec();
            self.change(Entry::Fill(&key), Some(number.clone()));
            self.change(Entry::Number, Some(number));
        }
        self.change(Entry::Route(&key), Some(event.given.encode()));
        let route = Route {
            source: row.source_table.clone(),
            sink: row.sink_table.clone(),
            columns: row.columns.clone(),
            keys: row.keys.clone(),
            fill: self.fills.get(&key).copied(),
            edition: self.edition(&row.sink_table),
        };
        self.notify(&Notice::Put(route), close);
    }

    fn remove(&mut self, key: &RouteKey, close: &mut Close<'_>) {
        self.fills.remove(key);
        self.change(Entry::Route(key), None);
        self.change(Entry::Fill(key), None);
        let (source, sink) = (key.source_table.clone(), key.sink_table.clone());
        self.notify(&Notice::Remove { source, sink }, close);
    }

    fn reject(&self, reason: &str, event: &mut Event, close: &mut Close<'_>) {
        event.rejected = true;
        close.counters.add("config_rejected", 1);
        let rows = close.output.row(PORT_FAULTS, &self.dead);
        rows.begin();
        let order = event.stamp.order;
        let partition = order.partition.to_string();
        let parts = [
            (DEAD_VALUE, event.value.as_slice()),
            (DEAD_REASON, reason.as_bytes()),
            (DEAD_PARTITION, partition.as_bytes()),
        ];
        for (column, bytes) in parts {
            let slice = rows.append(bytes);
            rows.slice(column, slice);
        }
        rows.int(DEAD_POSITION, i64::try_from(order.position).ok());
        rows.end(event.stamp);
    }

    /// Tells all workers. Notices of an epoch come in the order in which they were told.
    fn notify(&mut self, notice: &Notice, close: &mut Close<'_>) {
        self.told += 1;
        let order = Order { peak: 0, partition: 0, position: self.told };
        let stamp = Stamp { time: NO_TIME, order, behind: None };
        notice.write(close.output.row(PORT_NOTICES, &self.notices), stamp);
    }

    /// The answer to the first event's question; its other effects follow, or are dropped.
    fn event_answered(&mut self, answer: TableAnswer, close: &mut Close<'_>) {
        let event = self.events.front_mut().expect("it waits for this answer");
        match answer {
            TableAnswer::Ready => {}
            TableAnswer::Pending(_) => {
                let (given, record) = (event.given.clone(), event.value.clone());
                let row = Pending { given, record, order: event.stamp.order };
                event.effects = Some(VecDeque::new());
                event.rejected = true;
                let key = S::key(&row.given.after).expect("a table is made for a route");
                self.change(Entry::Pending(&key), Some(row.encode()));
                let (source, sink) = (key.source_table.clone(), key.sink_table.clone());
                self.pending.insert(key, row);
                self.notify(&Notice::Waits { source, sink }, close);
            }
            TableAnswer::Refused(fault) => {
                let mut event = self.events.pop_front().expect("it is the first");
                if let Ok(key) = S::key(&event.given.after) {
                    self.drop_pending(&key, close);
                }
                self.reject(&format!("table_refused: {fault}"), &mut event, close);
            }
        }
    }

    /// The answer to the question about a pending row: it is decided anew, beside the routes of now.
    fn pending_answered(&mut self, key: &RouteKey, answer: TableAnswer, close: &mut Close<'_>) {
        let Some(Pending { given, record, order }) = self.pending.get(key).cloned() else { return };
        let refused = match answer {
            TableAnswer::Pending(_) => return,
            TableAnswer::Ready => None,
            TableAnswer::Refused(fault) => Some(fault),
        };
        let stamp = Stamp { time: NO_TIME, order, behind: None };
        let mut event =
            Event { given, effects: None, rejected: false, edition: None, value: record, stamp };
        if let Some(fault) = refused {
            self.reject(&format!("table_refused: {fault}"), &mut event, close);
        } else {
            let mut effects = self.decide(&event, close);
            if effects.iter().any(|effect| matches!(effect, Effect::Recreate(_))) {
                event.edition = Some(edition_of(order));
            }
            effects.retain(|effect| !matches!(effect, Effect::Ensure(_) | Effect::Recreate(_)));
            event.effects = Some(effects);
            self.carry_out(&mut event, close);
            if !event.rejected {
                close.counters.add_labelled("config_applied", ("op", event.given.op.as_str()), 1);
            }
        }
        // What became a route waits no longer.
        self.drop_pending(key, close);
    }

    fn drop_pending(&mut self, key: &RouteKey, close: &mut Close<'_>) {
        if self.pending.remove(key).is_some() {
            self.change(Entry::Pending(key), None);
            let (source, sink) = (key.source_table.clone(), key.sink_table.clone());
            self.notify(&Notice::GivenUp { source, sink }, close);
        }
    }

    fn filled(&mut self, row: Row<'_>, close: &mut Close<'_>) {
        let name = row.bytes(REREAD_NAME).unwrap_or_default();
        let name = str::from_utf8(name).expect("the name of a request");
        let Some(source) = S::requested(name).map(str::to_owned) else { return };
        let number = row.int(REREAD_NUMBER).and_then(|number| u32::try_from(number).ok());
        let number = number.expect("written by the source");
        let done = |(key, fill): &(&RouteKey, &u32)| {
            S::table_of(&key.source_table) == source && **fill <= number
        };
        let done: Vec<RouteKey> =
            self.fills.iter().filter(done).map(|(key, _)| key.clone()).collect();
        for key in done {
            self.fills.remove(&key);
            self.change(Entry::Fill(&key), None);
        }
        self.notify(&Notice::Filled { source, number }, close);
    }

    fn change(&mut self, entry: Entry<'_>, value: Option<Vec<u8>>) {
        self.changed.insert(entry.key(), value);
    }

    /// Ends the close once nothing waits.
    fn end(&mut self, close: &mut Close<'_>) {
        if !self.questions.is_empty() {
            return;
        }
        self.retried = false;
        self.told = 0;
        if !std::mem::replace(&mut self.opened, true) && close.worker == 0 {
            let (key, value) = (Entry::Opened.key(), Some(Vec::new()));
            close.deltas.push(Delta { group: SHARED_GROUP, key, value });
        }
        // Rows come to one worker, by a key of no columns.
        let group = key_group(&[]);
        let delta = |(key, value)| Delta { group, key, value };
        close.deltas.extend(std::mem::take(&mut self.changed).into_iter().map(delta));
    }
}

impl<S: Subject> Stateful for ConfigStep<S> {
    fn close(&mut self, close: &mut Close<'_>) {
        for (input, row) in close.rows.iter() {
            match input {
                INPUT_CONFIG => self.take(event(row), close),
                _ => self.filled(row, close),
            }
        }
        self.work(close);
        self.end(close);
    }

    fn table_answered(&mut self, close: &mut Close<'_>, id: u64, answer: TableAnswer) {
        let about = self.questions.remove(&id).expect("asked in this close");
        match about {
            None => {
                self.event_answered(answer, close);
                self.work(close);
            }
            Some(key) => self.pending_answered(&key, answer, close),
        }
        self.end(close);
    }

    fn load(&mut self, _group: u16, key: &[u8], value: &[u8]) {
        match Loaded::read(key, value).expect("state of this operator was written by it") {
            Loaded::Route(given) => {
                let row = S::row(&given.after).expect("it was in order when it came");
                self.routes.apply(&Effect::Put(row));
            }
            Loaded::Pending(key, row) => drop(self.pending.insert(key, row)),
            Loaded::Fill(key, number) => drop(self.fills.insert(key, number)),
            Loaded::Edition(sink, edition) => drop(self.editions.insert(sink, edition)),
            Loaded::Number(number) => self.number = number,
            Loaded::Opened => self.opened = true,
        }
    }

    fn entries(&self) -> usize {
        self.routes.all().count() + self.pending.len() + self.fills.len()
    }
}

/// The edition of a table that a config row at this place has made anew: the same whenever the row is
/// read, another one for every row.
fn edition_of(order: Order) -> u64 {
    order.position + 1
}

fn event(row: Row<'_>) -> Event {
    let op = DebeziumOp::of_code(row.int(OP).expect("never null")).expect("written by the decoder");
    let columns = |column| row.bytes(column).map(column_map);
    let after = columns(AFTER).unwrap_or_default();
    Event {
        given: Given { op, before: columns(BEFORE), after },
        effects: None,
        rejected: false,
        edition: None,
        value: row.bytes(VALUE).unwrap_or_default().to_vec(),
        stamp: Stamp::of(row),
    }
}
