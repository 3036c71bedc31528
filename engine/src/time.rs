//! Event time: pure functions over milliseconds since 1970-01-01T00:00 UTC.

pub mod watermark;
pub mod window;
pub mod zone;
