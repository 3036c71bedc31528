//! Apache Kafka: topics as sources and as targets.
//!
//! ```text
//!   source   assign . poll -> raw batches      positions lie in checkpoints, never in a group
//!   sink     begin . rows + progress . commit  one transaction per unit, one producer per shard
//! ```
//!
//! Records are read and written by clients of our own where the cluster speaks plain text and no setting
//! asks for what only librdkafka has (decisions 15 and 20); otherwise librdkafka's do it.
//! [`KafkaConfig`](config::KafkaConfig) says where and how; [`KafkaSource`](source::KafkaSource)
//! reads; [`KafkaSink`](sink::KafkaSink) delivers exactly once by writing a [progress
//! record](progress) in the transaction of each unit; [`murmur2`] places keys as Java clients do.
//! What librdkafka can only do by waiting runs on threads of ours. Not here: decoding, which is the
//! formats' work, and consumer groups, which we never join.

mod choice;
mod client;
pub mod config;
pub mod murmur2;
pub mod options;
pub mod position;
mod producer;
pub mod progress;
pub mod sink;
pub mod source;
mod watch;
mod wire;
