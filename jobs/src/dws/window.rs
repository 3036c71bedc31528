//! What all DWS windows share: the sums of metrics, and the columns `stt`, `edt` and `cur_date`.

use std::sync::Arc;

use connectors::format::json::{JsonKind, JsonMember, JsonRow};
use engine::batch::build::BatchBuilder;
use engine::batch::schema::{Kind, Schema};
use engine::codec::Encoder;
use engine::graph::plan::{Asks, Feed, SinkTarget, StatefulSpec};
use engine::graph::{Edge, JobBuilder, Route};
use engine::operator::keyed::Codec;
use engine::operator::window::{
    Aggregate, PARTIAL_KEY, PORT_LATE, PORT_PARTIAL, WindowFinal, WindowPartial,
};
use engine::time::window::Tumbling;
use engine::time::zone::Zone;

/// Metrics of one window and group, in column order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sums<const N: usize>(pub [i64; N]);

impl<const N: usize> Default for Sums<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Sums<N> {
    /// Adds metric by metric. Sums are bounded by the number of records times a duration, far from
    /// overflow; a hostile `during_time` saturates instead of wrapping.
    pub fn add(&mut self, other: &Self) {
        for (sum, other) in self.0.iter_mut().zip(other.0) {
            *sum = sum.saturating_add(other);
        }
    }
}

impl<const N: usize> Codec for Sums<N> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.0.iter().for_each(|sum| out.extend_from_slice(&sum.to_be_bytes()));
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (sums, rest) = bytes.as_chunks::<8>();
        let sums: &[[u8; 8]; N] = sums.try_into().ok()?;
        rest.is_empty().then(|| Self(sums.map(i64::from_be_bytes)))
    }
}

/// A window table: names of its group columns and metrics, in table order.
#[derive(Debug, Clone, Copy)]
pub struct WindowTable {
    /// Table, and job.
    pub name: &'static str,
    /// Group columns between `edt` and `cur_date`.
    pub groups: &'static [&'static str],
    /// Metrics after `cur_date`.
    pub metrics: &'static [&'static str],
}

impl WindowTable {
    /// Result rows: window start and end, group columns, metrics.
    pub fn schema(&self) -> Arc<Schema> {
        let mut columns = vec![("stt", Kind::Int), ("edt", Kind::Int)];
        columns.extend(self.groups.iter().map(|name| (*name, Kind::Slice)));
        columns.extend(self.metrics.iter().map(|name| (*name, Kind::Int)));
        Schema::new(self.name, &columns)
    }

    /// The row as Doris takes it; the key is the table's key columns.
    pub fn encoder(&self, zone: Zone) -> Arc<dyn Encoder> {
        let member = |name, column, kind, key| JsonMember { name, column, kind, key };
        let mut members =
            vec![member("stt", 0, JsonKind::Time, true), member("edt", 1, JsonKind::Time, true)];
        for (name, column) in self.groups.iter().zip(2..) {
            members.push(member(name, column, JsonKind::Text, true));
        }
        // The date of the window's start, never of the wall clock.
        members.push(member("cur_date", 0, JsonKind::Date, true));
        for (name, column) in self.metrics.iter().zip(2 + self.groups.len()..) {
            members.push(member(name, column, JsonKind::Int, false));
        }
        Arc::new(JsonRow::new(&self.schema(), &members, zone))
    }

    /// Sets window and metrics of a result row; `groups` writes the columns between.
    pub fn write<const N: usize>(
        &self,
        window: (i64, i64),
        sums: &Sums<N>,
        row: &mut BatchBuilder,
        groups: impl FnOnce(&mut BatchBuilder),
    ) {
        row.int(0, Some(window.0));
        row.int(1, Some(window.0 + window.1));
        groups(row);
        for (sum, column) in sums.0.iter().zip(2 + self.groups.len()..) {
            row.int(column, Some(*sum));
        }
    }
}

/// Adds both steps of a window and its table to `job`; returns the refused rows.
pub(crate) fn window<A: Aggregate + Clone + Send + Sync + 'static>(
    job: &mut JobBuilder,
    inputs: &[&Edge],
    aggregate: &A,
    windows: Tumbling,
    table: (&WindowTable, SinkTarget, Zone),
) -> Edge {
    let local: Vec<_> = inputs.iter().map(|edge| (*edge, Route::Local)).collect();
    let (first, second) = (aggregate.clone(), aggregate.clone());
    let partial = job.stateful(
        "partial",
        &local,
        StatefulSpec {
            what: "window: partial sums per worker",
            make: Arc::new(move || Box::new(WindowPartial::new(first.clone(), windows))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let total = job.stateful(
        "window",
        &[(&partial[PORT_PARTIAL], Route::Key(vec![PARTIAL_KEY]))],
        StatefulSpec {
            what: "window: tumbling",
            make: Arc::new(move || Box::new(WindowFinal::new(second.clone(), windows))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let (table, target, zone) = table;
    let feed = Feed::uncounted(0, table.encoder(zone));
    job.sink("table", target, &[table.name], vec![(&total[0], feed)]);
    partial[PORT_LATE].clone()
}
