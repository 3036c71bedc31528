//! The real brokers of a run of the benches: started when the first bench asks, stopped at the end.

use std::cell::OnceCell;

use anyhow::Result;
use xtask::services::kafka::{Broker, Options};

/// At most one broker that several benches share.
#[derive(Default)]
pub(crate) struct Brokers {
    first: OnceCell<Broker>,
}

impl Brokers {
    /// Address of the shared broker.
    pub(crate) fn first(&self) -> Result<String> {
        if self.first.get().is_none() {
            // Set at most once: nobody else is between here and there.
            let _first = self.first.set(start()?);
        }
        Ok(self.first.get().expect("set above").bootstrap())
    }
}

/// A broker of one bench alone.
pub(crate) fn start() -> Result<Broker> {
    // Deleted topics must not be on the disk while the next part is measured.
    Broker::start(&Options::measure().with("log.segment.delete.delay.ms", "500"))
}
