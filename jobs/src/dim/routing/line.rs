//! What one route makes of a record: a change of its table, a deletion, or a refusal.

use std::sync::Arc;

use connectors::format::dimension::{ChangeTable, DimensionOp, ROW_BYTES_MAX};
use connectors::format::maxwell::ChangeKind;
use connectors::format::maxwell::decoder::{DATA, OLD};
use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::Schema;
use engine::operator::gate::GateContext;

use super::super::cells::Columns;
use super::super::keyless;
use super::super::notice::Route;
use super::super::rows::{CHANGE, FILL, KEY, SINK};
use super::{PORT_NULL_PK, PORT_ROUTED, Rules, kind};
use crate::settings::Deletes;

/// A route and what it picks.
pub(super) struct Line {
    pub(super) route: Route,
    columns: Columns,
}

impl Line {
    /// A line for `route`.
    pub(super) fn of(route: Route) -> Self {
        let columns = Columns::of(&route);
        Self { route, columns }
    }

    /// Whether a request of this number fills it.
    pub(super) fn is_served_by(&self, number: u32) -> bool {
        self.route.fill.is_some_and(|wanted| wanted <= number)
    }

    /// Sends what the record means for this sink.
    pub(super) fn take(
        &mut self,
        row: Row<'_>,
        fill: Option<u32>,
        rules: &Rules,
        (routed, keyless): (&Arc<Schema>, &Arc<Schema>),
        context: &mut GateContext<'_>,
    ) {
        self.columns.read(row.bytes(DATA).unwrap_or_default());
        let deletes = kind(row) == ChangeKind::Delete && rules.deletes == Deletes::Delete;
        let fault = self.columns.key_fault();
        let large = (self.columns.bytes() > ROW_BYTES_MAX).then_some("large_row");
        if let Some(reason) = fault.or(large) {
            let rows = context.output.row(PORT_NULL_PK, keyless);
            return keyless::write(rows, row, &self.route.sink, reason);
        }
        let former = match kind(row) {
            ChangeKind::Update => row.bytes(OLD).and_then(|old| self.columns.read_former_key(old)),
            _ => None,
        };
        let (sink, columns) = (self.route.sink.as_str(), &self.columns);
        let table = ChangeTable { name: sink, edition: self.route.edition };
        let counts = fill.is_none() && sink != rules.dictionary.sink;
        let to = To { sink, row, fill, routed };
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
