//! The outbox: encoded output, durable before anything is sent.

pub mod block;
pub mod blocks;
pub(crate) mod dispatch;
pub mod log;
pub mod quota;
pub mod rows;
pub mod sinks;
pub(crate) mod written;
