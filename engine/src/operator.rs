//! One file per operator, and the few pieces they share.
//!
//! | file | operator |
//! |---|---|
//! | `source` | takes batches from the source's queue, cuts at the order of the coordinator |
//! | `decode` | bytes to rows; dead letters, watermarks, rows in the future |
//! | `exchange` | rows to the worker that owns their key |
//! | `ask` | what a stateful operator asks of the outside: tables, old records |
//! | `stateful` | the harness: epochs in order, restore, deltas; around `keyed`, `ordered`, `window` |
//! | `lookup_join` | rows beside a dimension kept up in process |
//! | `gate` | configuration between epochs, broadcast to all workers |
//! | `link` | a stream handed to another job of the process |
//! | `collect` | rows to the outbox |
//! | `checkpoint` | all that an epoch must make durable |

pub mod ask;
pub(crate) mod checkpoint;
pub mod close;
pub(crate) mod collect;
pub(crate) mod context;
pub mod decode;
pub(crate) mod exchange;
pub mod gate;
pub(crate) mod install;
pub mod keyed;
pub(crate) mod link;
pub mod lookup_join;
pub mod ordered;
pub mod output;
pub(crate) mod source;
pub mod stateful;
pub mod window;

use std::sync::Arc;

use timely::dataflow::Stream;

use crate::batch::Batch;
use crate::checkpoint::piece::Piece;
use crate::time::watermark::WatermarkRow;

pub(crate) type RowStream<'s> = Stream<'s, u64, Vec<Arc<Batch>>>;
pub(crate) type TimeStream<'s> = Stream<'s, u64, Vec<WatermarkRow>>;
pub(crate) type PieceStream<'s> = Stream<'s, u64, Vec<Piece>>;
