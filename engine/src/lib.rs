//! What time, state and operators are: jobs run in epochs, and every epoch is a consistent cut, a
//! checkpoint and the unit of the sinks in one.
//!
//! ```text
//!             ┌──────── controller: when an epoch closes, which jobs run ────────┐
//!             v                                                                  │ complete, settled
//!  Source ─> pump ─> queue ─> workers (timely): source . decode . stateful . collect
//!                                                   │ bundles, blocks            │
//!                                                   v                            │
//!                   StateBackend, Disk <── writer: one durable batch per epoch ──┤
//!                                                   │ planned units              │
//!                                                   v                            │
//!                                            dispatcher ─> Sink ── delivered ────┘
//! ```
//!
//! Read in this order:
//!
//! 1. [`batch::Batch`]: rows on their way, pieces of the bytes that were read.
//! 2. [`source::Source`], [`codec::Decoder`], [`codec::Encoder`], [`sink::Sink`]: the outside, and
//!    who owes what. [`lookup::Lookup`] waits for its first user.
//! 3. [`graph::JobBuilder`] and [`graph::JobPlan`]: a job before it runs.
//! 4. [`operator::stateful::Stateful`]: what an operator with state is, and on top of it
//!    [`operator::keyed`], [`operator::ordered`] and [`operator::window`].
//! 5. [`epoch::cut::Cut`] and [`epoch::hold::HoldTable`]: the order to end an epoch, and what keeps
//!    it from ending. Event time is apart from it, in [`time`].
//! 6. [`checkpoint`]: what is written when an epoch completes, in which order, and how it is read
//!    back. [`outbox::log::BlockLog`] is where encoded output lies, also as an embedded topic.
//! 7. [`state::backend::StateBackend`] and [`checkpoint::disk::Disk`]: what all of it lies on.
//! 8. [`runtime::step::Machine`]: how the active parts take turns, on threads
//!    ([`runtime::thread`]) or under a seed (`testing::simulate`).
//! 9. [`control::handle::Handle`]: what the outside may ask of a running process.
//!
//! Not here: a clock, a network, the environment, JSON, SQL text, an async runtime, random numbers
//! that were not handed in, and connectors. Only [`runtime::thread`] starts threads and reads the
//! time; only [`checkpoint::disk`] and [`state::fjall`] touch files. The rules of recovery are in
//! `docs/checkpoint.md`.

pub mod batch;
pub mod checkpoint;
pub mod checksum;
pub mod clock;
pub mod codec;
pub mod control;
pub mod counter;
pub mod crash_point;
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
