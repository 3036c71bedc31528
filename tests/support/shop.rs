//! A small shop under a seed: changes, config rows, and the dimension tables that must come of them.
//!
//! The oracle does not know the jobs: it takes the final configuration, applies all changes of each
//! source table in their order, row by row, and keeps every column that was ever configured. Where
//! the moment of a config row does make a difference, [`phases`] goes through them one by one.

#[path = "shop/churn.rs"]
pub(crate) mod churn;
#[path = "shop/phases.rs"]
pub(crate) mod phases;

use std::collections::{BTreeMap, BTreeSet};

use engine::random::Random;
use jobs::settings::Deletes;
use serde_json::{Map, Value, json};

/// A row of a table: text of each column; absent is not NULL.
pub(crate) type Cells = BTreeMap<String, Option<String>>;

/// The rows of a dimension table by key, each with all columns of the table; an empty text is NULL.
pub(crate) type Table = BTreeMap<Vec<String>, BTreeMap<String, Option<String>>>;

/// One change record.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) table: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) data: Cells,
    pub(crate) old: Option<Cells>,
}

/// One config row, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) source: String,
    pub(crate) sink: String,
    pub(crate) columns: Vec<String>,
    pub(crate) keys: Vec<String>,
    pub(crate) extend: Option<String>,
}

/// What happens to the config table.
#[derive(Debug, Clone)]
pub(crate) enum ConfigEvent {
    Put(Option<Config>, Config),
    Delete(Config),
}

impl Change {
    /// A change whose cells are given as `id=1 name=A price=`; nothing after the sign is NULL.
    pub(crate) fn of(table: &'static str, kind: &'static str, cells: &str) -> Self {
        Self { table, kind, data: cells_of(cells), old: None }
    }

    /// With what the columns were before.
    pub(crate) fn before(self, old: &str) -> Self {
        Self { old: Some(cells_of(old)), ..self }
    }

    /// Maxwell JSON. Numbers where the text is one, as a database would have them.
    pub(crate) fn json(&self, ts: i64) -> Vec<u8> {
        let mut record = format!(
            "{{\"database\":\"gmall2022\",\"table\":\"{}\",\"type\":\"{}\",\"ts\":{ts},\"data\":{}",
            self.table,
            self.kind,
            object(&self.data)
        );
        if let Some(old) = &self.old {
            record += &format!(",\"old\":{}", object(old));
        }
        (record + "}").into_bytes()
    }
}

fn cells_of(text: &str) -> Cells {
    let cell = |cell: &str| {
        let (name, text) = cell.split_once('=').expect("name=text");
        (name.to_owned(), (!text.is_empty()).then(|| text.to_owned()))
    };
    text.split_whitespace().map(cell).collect()
}

/// The rows of a table in the same form, by key.
pub(crate) fn lines(table: &Table) -> Vec<String> {
    let cell = |(name, text): (&String, &Option<String>)| {
        format!("{name}={}", text.as_deref().unwrap_or_default())
    };
    table.values().map(|row| row.iter().map(cell).collect::<Vec<_>>().join(" ")).collect()
}

fn object(cells: &Cells) -> String {
    let member = |(name, text): (&String, &Option<String>)| {
        let value = match text {
            None => "null".to_owned(),
            Some(text) if text.parse::<f64>().is_ok() => text.clone(),
            Some(text) => json!(text).to_string(),
        };
        format!("{}:{value}", json!(name))
    };
    format!("{{{}}}", cells.iter().map(member).collect::<Vec<_>>().join(","))
}

impl Config {
    pub(crate) fn new(source: &str, sink: &str, columns: &[&str]) -> Self {
        Self {
            source: source.to_owned(),
            sink: sink.to_owned(),
            columns: columns.iter().map(|name| (*name).to_owned()).collect(),
            keys: vec!["id".to_owned()],
            extend: None,
        }
    }

    /// The same row with other columns.
    pub(crate) fn with(&self, columns: &[&str]) -> Self {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Self { columns, ..self.clone() }
    }

    /// The columns, key columns among them.
    fn all_columns(&self) -> BTreeSet<String> {
        self.keys.iter().chain(&self.columns).cloned().collect()
    }

    fn row(&self) -> Value {
        json!({
            "source_table": self.source, "sink_table": self.sink,
            "sink_columns": self.columns.join(","), "sink_pk": self.keys.join(","),
            "sink_extend": self.extend,
        })
    }
}

impl ConfigEvent {
    /// A Debezium envelope.
    pub(crate) fn json(&self) -> Vec<u8> {
        let (op, before, after) = match self {
            Self::Put(None, row) => ("c", Value::Null, row.row()),
            Self::Put(Some(before), row) => ("u", before.row(), row.row()),
            Self::Delete(row) => ("d", row.row(), Value::Null),
        };
        let event = json!({
            "before": before, "after": after, "source": { "table": "table_process" }, "op": op,
            "ts_ms": 1, "transaction": null,
        });
        event.to_string().into_bytes()
    }
}

/// Changes in the order of their topic.
pub(crate) fn changes(seed: u64, count: u64) -> Vec<Change> {
    let mut random = Random::new(seed);
    (0..count).map(|_| change(&mut random)).collect()
}

fn change(random: &mut Random) -> Change {
    let tables = ["sku_info", "spu_info", "order_info"];
    let table = tables[random.index(tables.len())];
    let id = (1 + random.below(5)).to_string();
    let mut data = Cells::from([("id".to_owned(), Some(id.clone()))]);
    for column in ["name", "price", "tm_id"] {
        match random.below(6) {
            0 => {}
            1 => drop(data.insert(column.to_owned(), None)),
            2 => drop(data.insert(column.to_owned(), Some(String::new()))),
            n => {
                let texts = ["口红 \"red\"", "80.00", "O'Neil\\", "null"];
                let text = texts[usize::try_from(n - 3).expect("small") % texts.len()];
                data.insert(column.to_owned(), Some(text.to_owned()));
            }
        }
    }
    match random.below(10) {
        0 | 1 => Change { table, kind: "delete", data, old: None },
        2 => {
            let other = (1 + random.below(5)).to_string();
            let old = (other != id).then(|| Cells::from([("id".to_owned(), Some(other))]));
            Change { table, kind: "update", data, old: Some(old.unwrap_or_default()) }
        }
        3..=5 => {
            let old = Cells::from([("name".to_owned(), None)]);
            Change { table, kind: "update", data, old: Some(old) }
        }
        6 => Change { table, kind: "bootstrap-insert", data, old: None },
        _ => Change { table, kind: "insert", data, old: None },
    }
}

/// Config rows that come, and grow wider: of these the outcome does not depend on when.
pub(crate) fn widening(seed: u64) -> Vec<ConfigEvent> {
    let mut random = Random::new(seed ^ 0x5eed);
    let steps: [&[&str]; 3] =
        [&["id", "name"], &["id", "name", "price"], &["id", "name", "price", "tm_id"]];
    let mut waiting: Vec<Vec<ConfigEvent>> = Vec::new();
    for (source, sink) in
        [("sku_info", "dim_sku"), ("spu_info", "dim_spu"), ("sku_info", "dim_sku_2")]
    {
        let mut events = Vec::new();
        let mut before: Option<Config> = None;
        for columns in steps.iter().skip(random.index(2)) {
            let row = Config::new(source, sink, columns);
            events.push(ConfigEvent::Put(before.replace(row.clone()), row));
        }
        if random.one_in(3) {
            // Gone and there again.
            let row = before.clone().expect("at least one");
            events.push(ConfigEvent::Delete(row.clone()));
            events.push(ConfigEvent::Put(None, row));
        }
        events.reverse();
        waiting.push(events);
    }
    let mut events = Vec::new();
    while waiting.iter().any(|left| !left.is_empty()) {
        let at = random.index(waiting.len());
        events.extend(waiting[at].pop());
    }
    events
}

/// The same with rows in between that mean nothing, so that they do not come all at once.
pub(crate) fn spaced(seed: u64, events: &[ConfigEvent]) -> Vec<ConfigEvent> {
    let mut random = Random::new(seed ^ 0x5face);
    let mut spaced = Vec::new();
    for event in events {
        let nothing = ConfigEvent::Delete(Config::new("nothing", "dim_nothing", &["id"]));
        spaced.extend((0..random.below(30)).map(|_| nothing.clone()));
        spaced.push(event.clone());
    }
    spaced
}

/// The tables that must come of it, by sink in lower case.
pub(crate) fn outcome(changes: &[Change], events: &[ConfigEvent]) -> BTreeMap<String, Table> {
    let mut routes: BTreeMap<(String, String), Config> = BTreeMap::new();
    let mut columns: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for event in events {
        let key = |row: &Config| (row.source.clone(), row.sink.clone());
        match event {
            ConfigEvent::Put(before, row) => {
                before.iter().for_each(|before| drop(routes.remove(&key(before))));
                columns.entry(row.sink.clone()).or_default().extend(row.all_columns());
                routes.insert(key(row), row.clone());
            }
            ConfigEvent::Delete(row) => drop(routes.remove(&key(row))),
        }
    }
    let mut tables: BTreeMap<String, Table> =
        columns.keys().map(|sink| (sink.clone(), Table::new())).collect();
    for route in routes.values() {
        let table = tables.get_mut(&route.sink).expect("made above");
        for change in changes.iter().filter(|change| change.table == route.source) {
            apply(route, change, Deletes::Delete, table);
        }
    }
    for (sink, table) in &mut tables {
        for row in table.values_mut() {
            for column in &columns[sink] {
                row.entry(column.clone()).or_insert(None);
            }
        }
    }
    tables
}

fn apply(route: &Config, change: &Change, deletes: Deletes, table: &mut Table) {
    let key_of = |cells: &Cells| -> Option<Vec<String>> {
        let text = |key: &String| cells.get(key).cloned().flatten().filter(|text| !text.is_empty());
        route.keys.iter().map(text).collect()
    };
    let deleted = change.kind == "delete";
    let Some(key) = key_of(&change.data) else { return };
    if deleted && deletes == Deletes::Ignore {
        return;
    }
    let mut former = change.data.clone();
    former.extend(change.old.clone().unwrap_or_default());
    let moved = change.kind == "update" && key_of(&former) != Some(key.clone());
    if moved && let Some(former) = key_of(&former) {
        table.remove(&former);
    }
    if deleted && deletes == Deletes::Delete {
        table.remove(&key);
        return;
    }
    if moved {
        table.remove(&key);
    }
    let row = table.entry(key).or_default();
    for column in &route.all_columns() {
        if let Some(text) = change.data.get(column) {
            row.insert(column.clone(), text.clone().filter(|text| !text.is_empty()));
        }
    }
}

/// A dumped row as the oracle has it: names in lower case.
pub(crate) fn dumped(line: &[u8]) -> BTreeMap<String, Option<String>> {
    let row: Map<String, Value> = serde_json::from_slice(line).expect("a JSON object");
    let text = |value: Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => panic!("{other} is no text"),
    };
    row.into_iter().map(|(name, value)| (name.to_lowercase(), text(value))).collect()
}
