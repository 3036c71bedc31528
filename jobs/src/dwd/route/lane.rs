//! What a route makes of a change: a fact for its topic.

use std::sync::Arc;

use connectors::format::maxwell::ChangeKind;
use connectors::format::maxwell::decoder::{DATA, SNAPSHOT, TABLE, TS};
use connectors::format::maxwell::pick::Picker;
use engine::batch::Slice;
use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::operator::gate::GateContext;
use engine::source::reread::Reread;

use super::config::{Facts, push_source};
use crate::dim::notice::Route;
use crate::dim::routing::line::refusal;
use crate::dim::routing::{Lane, Line, PORT_ROUTED, kind};
use crate::dim::subject::Subject as _;
use crate::ods::ods_db::FIRST_FOR_FACTS;

/// Column of a fact: name of its topic. Slice, never null.
pub(super) const TOPIC: usize = 0;
/// Column: key of the record. Slice.
pub(super) const KEY: usize = 1;
/// Column: the record. Slice, never null.
pub(super) const VALUE: usize = 2;
/// Column of a fact that may come twice: its source and its topic. Slice, never null.
pub(super) const ROUTE: usize = 3;
/// Column, likewise: partition of its change. Int, never null.
pub(super) const PARTITION: usize = 4;
/// Column, likewise: place of its change there. Int, never null.
pub(super) const POSITION: usize = 5;
/// Column, likewise: 1 if it was read again, else 0. Int, never null.
pub(super) const AGAIN: usize = 6;

/// Schema of facts on their way to a topic.
pub(super) fn facts() -> Arc<Schema> {
    Schema::new("fact", &COLUMNS[..ROUTE])
}

const COLUMNS: [(&str, Kind); 7] = [
    ("topic", Kind::Slice),
    ("key", Kind::Slice),
    ("value", Kind::Slice),
    ("route", Kind::Slice),
    ("partition", Kind::Int),
    ("position", Kind::Int),
    ("again", Kind::Int),
];

/// How changes become facts.
#[derive(Debug, Clone)]
pub(super) struct FactLane {
    /// The business database.
    database: String,
    /// Whether a fact ends with the time of its change.
    adds_ts: bool,
    /// Text before the name of every topic.
    prefix: String,
    facts: Arc<Schema>,
}

impl FactLane {
    /// For changes of `database`, to topics whose names begin with `prefix`.
    pub(super) fn new(database: &str, adds_ts: bool, prefix: &str) -> Self {
        Self {
            database: database.to_owned(),
            adds_ts,
            prefix: prefix.to_owned(),
            facts: Schema::new("fact with its place", &COLUMNS),
        }
    }
}

/// What is picked for a topic.
pub(super) struct Picks {
    topic: String,
    /// Source and topic.
    route: String,
    columns: Picker,
}

impl Lane for FactLane {
    type Picks = Picks;

    fn picks(&self, route: &Route) -> Picks {
        // The time of the change takes the place of a column of its name.
        let free = |name: &&String| !(self.adds_ts && *name == "ts");
        let columns: Vec<String> = route.columns.iter().filter(free).cloned().collect();
        let name = format!("{}\0{}", route.source, route.sink);
        Picks {
            route: name,
            topic: format!("{}{}", self.prefix, route.sink),
            columns: Picker::new(&columns),
        }
    }

    fn refusal(&self, row: Row<'_>) -> Option<&'static str> {
        // What a bootstrap reads has not happened now.
        refusal(row, &self.database)
            .or_else(|| (row.int(SNAPSHOT) == Some(1)).then_some("bootstrap_row"))
    }

    fn write_source(&self, row: Row<'_>, out: &mut Vec<u8>) {
        let kind = match kind(row) {
            ChangeKind::Update => "update",
            ChangeKind::Delete => "delete",
            // The others have been refused.
            ChangeKind::Insert
            | ChangeKind::BootstrapMarker
            | ChangeKind::Ddl
            | ChangeKind::Unknown => "insert",
        };
        push_source(row.bytes(TABLE).unwrap_or_default(), kind, out);
    }

    fn table_of<'s>(&self, source: &'s str) -> &'s str {
        Facts::table_of(source)
    }

    fn serves(&self, number: u32) -> bool {
        number >= FIRST_FOR_FACTS
    }

    fn ignores(&self, _row: Row<'_>) -> Option<&'static str> {
        None
    }

    fn take(
        &self,
        line: &mut Line<Picks>,
        row: Row<'_>,
        fill: Option<u32>,
        context: &mut GateContext<'_>,
    ) {
        let Picks { topic, route, columns } = &mut line.picks;
        let data = row.bytes(DATA).unwrap_or_default();
        columns.read(data);
        let facts = context.output.row(PORT_ROUTED, &self.facts);
        facts.begin();
        let topic = facts.append(topic.as_bytes());
        facts.slice(TOPIC, topic);
        let key = columns.first().map_or(Slice::NULL, |key| facts.append(key.as_bytes()));
        facts.slice(KEY, key);
        let ts = row.int(TS).filter(|_| self.adds_ts);
        let value = facts.append_with(|out| columns.write(data, ts, out));
        facts.slice(VALUE, value);
        let route = facts.append(route.as_bytes());
        facts.slice(ROUTE, route);
        let (partition, place) = Reread::origin(row.order());
        facts.int(PARTITION, Some(partition.into()));
        facts.int(POSITION, i64::try_from(place).ok());
        facts.int(AGAIN, Some(fill.is_some().into()));
        facts.end(Stamp::of(row));
    }
}
