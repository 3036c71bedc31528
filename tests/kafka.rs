//! The Kafka source and sink against a real broker: positions, transactions, crashes, lost topics.
//!
//! Both are driven by hand through their traits, as the engine's pump and dispatcher drive them.

#[path = "support/broker.rs"]
mod broker;
#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/drive.rs"]
mod drive;
#[path = "kafka/lost_markers.rs"]
mod lost_markers;
#[path = "kafka/older.rs"]
mod older;
#[path = "kafka/proxy.rs"]
mod proxy;
#[path = "kafka/sink.rs"]
mod sink;
#[path = "kafka/sink_faults.rs"]
mod sink_faults;
#[path = "kafka/sink_named.rs"]
mod sink_named;
#[path = "kafka/sink_records.rs"]
mod sink_records;
#[path = "kafka/source.rs"]
mod source;
#[path = "kafka/source_faults.rs"]
mod source_faults;
#[path = "kafka/source_own.rs"]
mod source_own;
#[path = "kafka/source_reread.rs"]
mod source_reread;
