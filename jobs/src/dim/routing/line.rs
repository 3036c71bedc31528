//! What a dimension's route makes of a record: a change of its table, a deletion, or a refusal.

use std::sync::Arc;

use connectors::format::dimension::{ChangeTable, DimensionOp, ROW_BYTES_MAX};
use connectors::format::maxwell::ChangeKind;
use connectors::format::maxwell::decoder::{DATA, DATABASE, OLD, TABLE};
use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::operator::gate::GateContext;

use super::super::cells::Columns;
use super::super::keyless;
use super::super::notice::Route;
use super::super::rows::{CHANGE, FILL, KEY, SINK, change_schema};
use super::{Lane, Line, PORT_ROUTED, kind};
use crate::ods::ods_db::FIRST_FOR_FACTS;
use crate::settings::Deletes;

/// Port: records whose row has no key, with the reason, to be told once.
pub(in crate::dim) const PORT_NULL_PK: usize = 2;

/// How records become changes of dimension tables.
#[derive(Debug, Clone)]
pub(in crate::dim) struct DimensionLane {
    /// The business database.
    database: String,
    deletes: Deletes,
    /// A sink that is no table: what goes there is not counted.
    dictionary: String,
    routed: Arc<Schema>,
    keyless: Arc<Schema>,
}

impl DimensionLane {
    /// For changes of `database`; the sink `dictionary` is no table.
    pub(in crate::dim) fn new(database: &str, deletes: Deletes, dictionary: &str) -> Self {
        Self {
            database: database.to_owned(),
            deletes,
            dictionary: dictionary.to_owned(),
            routed: change_schema(),
            keyless: keyless::schema(),
        }
    }
}

impl Lane for DimensionLane {
    type Picks = Columns;

    fn picks(&self, route: &Route) -> Columns {
        Columns::of(route)
    }

    fn refusal(&self, row: Row<'_>) -> Option<&'static str> {
        refusal(row, &self.database)
    }

    fn write_source(&self, row: Row<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(row.bytes(TABLE).unwrap_or_default());
    }

    fn table_of<'s>(&self, source: &'s str) -> &'s str {
        source
    }

    fn serves(&self, number: u32) -> bool {
        number < FIRST_FOR_FACTS
    }

    fn ignores(&self, row: Row<'_>) -> Option<&'static str> {
        let ignored = kind(row) == ChangeKind::Delete && self.deletes == Deletes::Ignore;
        ignored.then_some("delete_ignored")
    }

    fn take(
        &self,
        line: &mut Line<Columns>,
        row: Row<'_>,
        fill: Option<u32>,
        context: &mut GateContext<'_>,
    ) {
        let Line { route, picks: columns } = line;
        columns.read(row.bytes(DATA).unwrap_or_default());
        let deletes = kind(row) == ChangeKind::Delete && self.deletes == Deletes::Delete;
        let fault = columns.key_fault();
        let large = (columns.bytes() > ROW_BYTES_MAX).then_some("large_row");
        if let Some(reason) = fault.or(large) {
            let rows = context.output.row(PORT_NULL_PK, &self.keyless);
            return keyless::write(rows, row, &route.sink, reason);
        }
        let former = match kind(row) {
            ChangeKind::Update => row.bytes(OLD).and_then(|old| columns.read_former_key(old)),
            _ => None,
        };
        let (sink, columns) = (route.sink.as_str(), &*columns);
        let table = ChangeTable { name: sink, edition: route.edition };
        let counts = fill.is_none() && sink != self.dictionary;
        let to = To { sink, row, fill, routed: &self.routed };
        if let Some(texts) = &former {
            let (mut key, mut change) = (Vec::new(), Vec::new());
            if columns.write_former(table, texts, &mut key, &mut change) {
                context.counters.add("dim_deletes", u64::from(counts));
                to.emit(context, |out| out.extend(&key), |out| out.extend(&change));
            }
        }
        let write_key = |out: &mut Vec<u8>| columns.write_key(out);
        if deletes {
            context.counters.add("dim_deletes", u64::from(counts));
            return to.emit(context, write_key, |out| columns.write_deletion(table, out));
        }
        // The row under its new key is what the record says, not what it was under the old one.
        let op = if former.is_some() { DimensionOp::Replace } else { DimensionOp::Upsert };
        context.counters.add("dim_upserts", u64::from(counts));
        to.emit(context, write_key, |out| columns.write_row(table, op, out));
    }
}

/// Why a record is dropped before its table is looked up, whatever it is to become: warehouse 5.1.
pub(crate) fn refusal(row: Row<'_>, database: &str) -> Option<&'static str> {
    if row.bytes(DATABASE) != Some(database.as_bytes()) {
        return Some("other_db");
    }
    match kind(row) {
        ChangeKind::BootstrapMarker => Some("bootstrap_marker"),
        ChangeKind::Ddl => Some("ddl"),
        ChangeKind::Unknown => Some("unknown_type"),
        ChangeKind::Insert | ChangeKind::Update | ChangeKind::Delete => None,
    }
}

/// Where a change goes, and what it comes from.
struct To<'a> {
    sink: &'a str,
    row: Row<'a>,
    fill: Option<u32>,
    routed: &'a Arc<Schema>,
}

impl To<'_> {
    fn emit(
        &self,
        context: &mut GateContext<'_>,
        key: impl FnOnce(&mut Vec<u8>),
        change: impl FnOnce(&mut Vec<u8>),
    ) {
        let rows = context.output.row(PORT_ROUTED, self.routed);
        rows.begin();
        let sink = rows.append(self.sink.as_bytes());
        rows.slice(SINK, sink);
        let key = rows.append_with(key);
        rows.slice(KEY, key);
        let change = rows.append_with(change);
        rows.slice(CHANGE, change);
        rows.int(FILL, self.fill.map(i64::from));
        rows.end(Stamp::of(self.row));
    }
}
