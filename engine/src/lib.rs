//! engine: see ARCHITECTURE.md.
pub mod batch;
pub mod checkpoint;
pub mod clock;
pub mod codec;
pub mod control;
pub mod counter;
pub mod epoch;
pub mod error;
pub mod event;
pub mod graph;
pub mod hash;
pub mod limit;
pub mod lookup;
pub mod operator;
pub mod outbox;
pub mod random;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
