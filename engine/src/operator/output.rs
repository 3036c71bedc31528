//! What an operator emits: rows by port, collected into batches of the target size.

use std::sync::Arc;

use crate::batch::Batch;
use crate::batch::buffer::Budget;
use crate::batch::build::BatchBuilder;
use crate::batch::row::Row;
use crate::batch::schema::Schema;

/// Collects emitted rows by port into batches of the target size.
pub struct Output {
    ports: Vec<Port>,
    finished: Vec<(usize, Batch)>,
    budget: Arc<Budget>,
}

impl Output {
    /// An empty output with `ports` ports.
    pub fn new(ports: usize, budget: Arc<Budget>) -> Self {
        Self { ports: (0..ports).map(|_| Port::default()).collect(), finished: Vec::new(), budget }
    }

    /// The builder of `port`, for exactly one row of `schema`.
    pub fn row(&mut self, port: usize, schema: &Arc<Schema>) -> &mut BatchBuilder {
        let Port { builder, expected } = &mut self.ports[port];
        let builder = builder.get_or_insert_with(|| expected.builder(schema));
        if let Some(batch) = builder.finish_if_full(Some(&self.budget)) {
            expected.full(&batch);
            self.finished.push((port, batch));
        }
        builder
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
        std::mem::take(&mut self.finished)
    }

    /// Takes everything emitted, in the order of emission per port.
    pub fn take(&mut self) -> Vec<(usize, Batch)> {
        let mut batches = std::mem::take(&mut self.finished);
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
