//! Who does what when: step machines, the queues between them, and the threads that drive them.
//!
//! Every active part is a value with a `step`; in production `thread` drives each from a thread of
//! its own, in simulation one seeded loop drives them all.

pub mod current;
pub mod ddl;
pub mod process;
pub mod pump;
pub mod queue;
pub mod step;
pub mod thread;
mod turn;
pub mod worker;
