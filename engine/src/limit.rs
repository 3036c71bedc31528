//! All limits of the engine, each with its reason.

/// Key groups of a state directory: the grain of rescaling. Fixed for the life of the directory,
/// because keys on disk carry the group (specification 8.4).
pub const KEY_GROUPS: u16 = 1024;
/// Version of the hash that maps key bytes to key groups: xxh3-64 with seed 0.
pub const HASH_VERSION: u16 = 1;
/// Layout version of a state directory that is written. Since 2, ordered operators keep the timers of a
/// key with its state; since 3, what an epoch changes in the state of a job is one entry.
pub const LAYOUT_VERSION: u16 = 3;
/// Oldest layout version that is read; its directory becomes one of [`LAYOUT_VERSION`] at the start.
pub const LAYOUT_VERSION_READ_MIN: u16 = 1;
/// Bytes held back on the disk so that a stop for want of space can be written down (specification
/// 13.1).
pub const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Rows a batch aims at: enough to amortise per-batch work, few enough to stay in cache.
pub const BATCH_ROWS_TARGET: usize = 1024;
/// Bytes a batch aims at.
pub const BATCH_BYTES_TARGET: usize = 256 * 1024;
/// Largest row; a larger one is a dead letter with its position.
pub const ROW_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes a source may read ahead, per source and worker: some four batches. By as much one worker may run
/// ahead of the others, and what it lets in early waits for event time in the state.
pub const SOURCE_QUEUE_BYTES: u64 = 1024 * 1024;
/// Bytes a source may read ahead of what it reads again, likewise.
pub const REREAD_QUEUE_BYTES: u64 = 1024 * 1024;
/// Rows that an epoch takes of what a source reads again, per worker. Then the epoch is closed early,
/// so a back-fill makes epochs more, not longer: this many are closed within some 10 ms.
pub const REREAD_ROWS_PER_EPOCH: usize = 8192;
/// Batches one activation of an operator may take before it yields.
pub const OPERATOR_BUDGET: usize = 64;
/// Commands one worker applies between two steps.
pub const COMMANDS_PER_STEP: usize = 16;
/// Live batch bytes of a process above which sources stop (back-pressure, third brake).
pub const INFLIGHT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Written blocks are kept for their sinks up to one in so many bytes of the in-flight budget. With
/// [`QUEUED_SHARE`] nearly all blocks of a sink that delivers are then handed over from memory, also under
/// full load.
pub const KEPT_SHARE: u64 = 2;
/// Sources are held while a sink that delivers has more than one in so many bytes of what is kept planned
/// behind its unit under way. The rest is for what is in flight when they stop.
pub const QUEUED_SHARE: u64 = 4;
/// Milliseconds without anything delivered after which a sink holds its sources no longer: it stands
/// still, and what comes waits on the disk. Longer than a transaction of a healthy broker.
pub const SOURCES_HELD_MS: u64 = 1_000;
/// Units planned for a sink shard since it last delivered one, above which it stands still and no block
/// is kept for it: more than the epochs in flight, which may all complete while one is delivered.
pub const KEPT_UNITS_MAX: u64 = 8;
/// Closed but incomplete epochs of a group (second brake).
pub const EPOCHS_INFLIGHT_MAX: u64 = 3;
/// Undelivered units of one sink above which its group closes no more epochs (fourth brake): hours
/// of a target that is gone, and a start that still reads all their plans in a moment.
pub const OUTBOX_UNITS_MAX: usize = 10_000;
/// Undelivered bytes of one sink, likewise: what most disks have to spare.
pub const OUTBOX_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Bytes of a dead letter that are kept.
pub const DEAD_LETTER_BYTES_MAX: usize = 64 * 1024;
/// Partitions outside for which a worker fills blocks of their own, in all topics of a sink: with
/// blocks of 256 KiB at most half of the in-flight budget.
pub const PLACES_MAX: usize = 128;
/// Manifests kept for inspection.
pub const MANIFESTS_KEPT: u64 = 16;
/// Entries the restore loader moves at a time.
pub const LOAD_CHUNK: usize = 4096;
/// Requests waiting at the controller before it answers "busy".
pub const REQUESTS_MAX: usize = 256;
/// A clock that jumps forward by more than this is logged.
pub const CLOCK_JUMP_MS: i64 = 10 * 60 * 1000;
/// A clock that goes back by more than this is logged; less is what time synchronisation does.
pub const CLOCK_BACK_MS: i64 = 1_000;
/// Milliseconds an epoch waits for a table to be made (specification 11.6): longer than any healthy
/// DDL, shorter than what a dashboard notices.
pub const DDL_HOLD_MS: u64 = 5_000;
/// Milliseconds after which a table that could not be made is refused (specification 11.6).
pub const DDL_TIMEOUT_MS: u64 = 60_000;
/// Tables that an operator has made at the same time, each over a connection of its own.
pub const TABLES_AT_ONCE_MAX: usize = 8;
/// Rows that may wait for a table that is being made (specification 11.6); beyond it `unrouted`.
pub const GATE_PENDING_ROWS_MAX: u64 = 1_000_000;
