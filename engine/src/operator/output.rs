//! What an operator emits: rows by port, collected into batches of the target size.

use std::sync::Arc;

use crate::batch::Batch;
use crate::batch::buffer::Budget;
use crate::batch::build::BatchBuilder;
use crate::batch::row::Row;
use crate::batch::schema::Schema;

/// Collects emitted rows by port into batches of the target size.
pub struct Output {
    builders: Vec<Option<BatchBuilder>>,
    finished: Vec<(usize, Batch)>,
    budget: Arc<Budget>,
}

impl Output {
    /// An empty output with `ports` ports.
    pub fn new(ports: usize, budget: Arc<Budget>) -> Self {
        Self { builders: (0..ports).map(|_| None).collect(), finished: Vec::new(), budget }
    }

    /// The builder of `port`, for exactly one row of `schema`.
    pub fn row(&mut self, port: usize, schema: &Arc<Schema>) -> &mut BatchBuilder {
        let builder = self.builders[port].get_or_insert_with(|| BatchBuilder::new(schema));
        if let Some(batch) = builder.finish_if_full(Some(&self.budget)) {
            self.finished.push((port, batch));
        }
        builder
    }

    /// Emits a copy of `row`.
    pub fn copy(&mut self, port: usize, row: Row<'_>) {
        let schema = row.batch().schema().clone();
        self.row(port, &schema).copy(row);
    }

    /// Takes the batches that are full, in the order of emission per port.
    pub(crate) fn take_full(&mut self) -> Vec<(usize, Batch)> {
        std::mem::take(&mut self.finished)
    }

    /// Takes everything emitted, in the order of emission per port.
    pub fn take(&mut self) -> Vec<(usize, Batch)> {
        let mut batches = std::mem::take(&mut self.finished);
        for (port, builder) in self.builders.iter_mut().enumerate() {
            let batch = builder.take().and_then(|builder| builder.finish(Some(&self.budget)));
            batches.extend(batch.map(|batch| (port, batch)));
        }
        batches
    }
}
