//! engine: see ARCHITECTURE.md.
pub mod batch;
pub mod checkpoint;
pub mod clock;
pub mod codec;
pub mod counter;
pub mod error;
pub mod hash;
pub mod limit;
pub mod outbox;
pub mod random;
pub mod source;
pub mod state;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
