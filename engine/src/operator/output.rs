//! What an operator emits: rows by port, collected into batches of the target size.
//!
//! Rows of a port that only a sink reads go into its blocks at once, see [`Output::write`].

use std::sync::Arc;

use super::collect::place::KeyPartition;
use super::collect::shortcut::{KEY_VALUE, Shortcut};
use crate::batch::Batch;
use crate::batch::buffer::Budget;
use crate::batch::build::{BatchBuilder, Stamp};
use crate::batch::row::Row;
use crate::batch::schema::Schema;

/// Collects emitted rows by port into batches of the target size.
pub struct Output {
    ports: Vec<Port>,
    finished: Vec<(usize, Batch)>,
    budget: Arc<Budget>,
    /// The epoch that is being closed.
    epoch: u64,
}

/// What rows of key and value have in common that are made from one: where a key goes is found once for
/// all of them.
#[derive(Debug)]
pub struct KeyedRows<'a> {
    partition: KeyPartition<'a>,
    stamp: Stamp,
}

impl<'a> KeyedRows<'a> {
    /// Rows of this key; time, order and the rest are those of `stamp`.
    #[inline]
    pub fn new(key: &'a [u8], stamp: Stamp) -> Self {
        Self { partition: KeyPartition::new(key), stamp }
    }

    /// Their stamp.
    #[inline]
    pub fn stamp(&self) -> Stamp {
        self.stamp
    }
}

impl Output {
    /// An empty output with `ports` ports.
    pub fn new(ports: usize, budget: Arc<Budget>) -> Self {
        let ports = (0..ports).map(|_| Port::default()).collect();
        Self { ports, finished: Vec::new(), budget, epoch: 0 }
    }

    /// The same, of which some ports lead straight into sinks.
    pub(crate) fn with_shortcuts(mut self, shortcuts: Vec<Option<Shortcut>>) -> Self {
        for (port, shortcut) in self.ports.iter_mut().zip(shortcuts) {
            port.shortcut = shortcut;
        }
        self
    }

    /// What is emitted from now on belongs to `epoch`.
    pub(crate) fn enter(&mut self, epoch: u64) {
        self.epoch = epoch;
    }

    /// Whether nobody but a sink reads `port`, and of its rows only key and value: then these may be all
    /// there is of them ([`Output::write`]).
    pub fn is_sink_only(&self, port: usize) -> bool {
        self.ports[port].shortcut.is_some()
    }

    /// The builder of `port`, for exactly one row of `schema`.
    pub fn row(&mut self, port: usize, schema: &Arc<Schema>) -> &mut BatchBuilder {
        let Port { builder, expected, written, .. } = &mut self.ports[port];
        assert!(written.is_none(), "the rows of port {port} go straight into the sink");
        let builder = builder.get_or_insert_with(|| expected.builder(schema));
        if let Some(batch) = builder.finish_if_full(Some(&self.budget)) {
            expected.full(&batch);
            self.finished.push((port, batch));
        }
        builder
    }

    /// Emits a row of `schema`, whose columns are key and value and nothing else; `write` appends the
    /// value, of at most `value_bytes_max`. Where nobody but a sink reads `port`, it becomes a row of a
    /// block at once. All rows of the port MUST be emitted in this way, or they come in another order.
    #[inline]
    pub fn write(
        &mut self,
        (port, schema): (usize, &Arc<Schema>),
        rows: &mut KeyedRows<'_>,
        value_bytes_max: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) {
        if let Port { shortcut: Some(shortcut), written, .. } = &mut self.ports[port] {
            if written.is_none() {
                *written = Some(schema.clone());
            }
            let head = (rows.stamp.time, &mut rows.partition);
            return shortcut.write(self.epoch, head, value_bytes_max, write);
        }
        let builder = self.row(port, schema);
        builder.begin();
        let value = builder.append_with(write);
        let key = builder.append(rows.partition.key());
        builder.slice(KEY_VALUE.key, key);
        builder.slice(KEY_VALUE.value, value);
        builder.end(rows.stamp);
    }

    /// Emits a copy of `row`.
    pub fn copy(&mut self, port: usize, row: Row<'_>) {
        let schema = row.batch().schema().clone();
        self.row(port, &schema).copy(row);
    }

    /// Number of batches that are full.
    pub(crate) fn full(&self) -> usize {
        self.finished.len()
    }

    /// Takes the batches that are full, in the order of emission per port.
    pub(crate) fn take_full(&mut self) -> Vec<(usize, Batch)> {
        let told = self.ports.iter_mut().enumerate().filter_map(|(number, port)| {
            // Rows that are in the sink already: it has only to know of their epoch.
            Some((number, Batch::empty(&port.written.take()?)))
        });
        self.finished.extend(told);
        std::mem::take(&mut self.finished)
    }

    /// Takes everything emitted, in the order of emission per port.
    pub fn take(&mut self) -> Vec<(usize, Batch)> {
        let mut batches = self.take_full();
        for (number, port) in self.ports.iter_mut().enumerate() {
            let Some(builder) = port.builder.take() else { continue };
            port.expected.ended(&builder);
            batches.extend(builder.finish(Some(&self.budget)).map(|batch| (number, batch)));
        }
        batches
    }
}

/// Where the rows of one port are collected.
#[derive(Default)]
struct Port {
    builder: Option<BatchBuilder>,
    expected: Expected,
    shortcut: Option<Shortcut>,
    /// Their schema, if rows went the short way since the last batches were taken.
    written: Option<Arc<Schema>>,
}

/// How much the first batch of the next epoch is expected to hold: that of this one, or a full one if
/// there was one. It takes so much memory at once, instead of growing from nothing in every epoch.
#[derive(Default)]
struct Expected {
    rows: usize,
    bytes: usize,
    /// A batch of this epoch was full.
    full: bool,
}

impl Expected {
    fn builder(&self, schema: &Arc<Schema>) -> BatchBuilder {
        BatchBuilder::expecting(schema, self.rows, self.bytes)
    }

    fn full(&mut self, batch: &Batch) {
        *self = Self { rows: batch.len(), bytes: batch.bytes(), full: true };
    }

    fn ended(&mut self, last: &BatchBuilder) {
        if !std::mem::take(&mut self.full) {
            (self.rows, self.bytes) = (last.len(), last.bytes());
        }
    }
}
