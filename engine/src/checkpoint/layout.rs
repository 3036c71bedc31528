//! Names and encodings of what lies in the state store; layout version 3.
//!
//! | space | key | value |
//! |---|---|---|
//! | `meta` | `generation`, `family`, `layout`, `key_groups`, `hash`, `outbox_mark` | u64 big-endian; mark |
//! | `jobs` | job name | plan hash u64, then `uid \0 op_id` pairs |
//! | `shapes` | job, 0, uid | hash of what the operator's state depends on u64 |
//! | `complete` | group name | epoch u64, generation u64, then `job \0` per job of the group |
//! | `manifest` | group, 0, epoch u64 | generation, workers, stamp, deltas, blocks: u64 each |
//! | `positions/<job>` | op id u32, partition name | [`PositionRecord`] |
//! | `state/<job>` | op id u32, key group u16, key | value of the operator |
//! | `counters` | counter key | u64 |
//! | `topic` | topic, 0, partition u32 | mark |
//! | `outbox` | sink key, epoch u64, sequence u32 | block reference |
//! | `unit` | sink key, lower u64 | unit |
//! | `delivered` | sink key | epoch u64 |
//!
//! How they lie in the files is the store's own affair: what an epoch writes to `state/<job>` is one
//! entry there ([`fjall`](crate::state::fjall)).
//!
//! A sink key is job, 0, uid, 0, shard u16. All numbers are big-endian so that keys sort.

use std::sync::Arc;

use crate::batch::order::{flip, unflip};
use crate::batch::stored::{push_varint, take_varint};
use crate::checkpoint::piece::PositionRecord;
use crate::outbox::block::BlockRef;
use crate::sink::Unit;
use crate::source::{Partition, Position};

/// Names of the spaces.
pub mod space {
    /// One entry per property of the directory.
    pub const META: &str = "meta";
    /// Jobs and their operator ids.
    pub const JOBS: &str = "jobs";
    /// What the state of each operator depends on.
    pub const SHAPES: &str = "shapes";
    /// Greatest complete epoch per group.
    pub const COMPLETE: &str = "complete";
    /// What the last epochs held.
    pub const MANIFEST: &str = "manifest";
    /// Counters.
    pub const COUNTERS: &str = "counters";
    /// Visible ends of embedded topics.
    pub const TOPIC: &str = "topic";
    /// Undelivered blocks.
    pub const OUTBOX: &str = "outbox";
    /// Planned units.
    pub const UNIT: &str = "unit";
    /// Delivered epochs per sink shard.
    pub const DELIVERED: &str = "delivered";

    /// Space of a job's keyed state.
    pub fn state(job: &str) -> String {
        format!("state/{job}")
    }

    /// Space of a job's source positions.
    pub fn positions(job: &str) -> String {
        format!("positions/{job}")
    }
}

/// One shard of one sink.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SinkKey {
    /// Job.
    pub job: Arc<str>,
    /// Uid of the sink.
    pub sink: Arc<str>,
    /// Worker that wrote the rows.
    pub shard: u16,
}

impl SinkKey {
    /// The key's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut key = format!("{}\0{}\0", self.job, self.sink).into_bytes();
        key.extend_from_slice(&self.shard.to_be_bytes());
        key
    }

    /// Takes a key off the front of `bytes`.
    pub fn take(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (job, rest) = take_text(bytes)?;
        let (sink, rest) = take_text(rest)?;
        let (shard, rest) = rest.split_first_chunk::<2>()?;
        Some((Self { job, sink, shard: u16::from_be_bytes(*shard) }, rest))
    }
}

fn take_text(bytes: &[u8]) -> Option<(Arc<str>, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(text).ok()?.into(), rest.get(1..)?))
}

/// Key of a state entry.
pub fn state_key(op: u32, group: u16, key: &[u8]) -> Vec<u8> {
    let mut bytes = op.to_be_bytes().to_vec();
    bytes.extend_from_slice(&group.to_be_bytes());
    bytes.extend_from_slice(key);
    bytes
}

/// Splits a state key into operator, key group and key.
pub fn split_state_key(bytes: &[u8]) -> Option<(u32, u16, &[u8])> {
    let (op, rest) = bytes.split_first_chunk::<4>()?;
    let (group, key) = rest.split_first_chunk::<2>()?;
    Some((u32::from_be_bytes(*op), u16::from_be_bytes(*group), key))
}

/// Key of a position.
pub fn position_key(op: u32, partition: &str) -> Vec<u8> {
    let mut bytes = op.to_be_bytes().to_vec();
    bytes.extend_from_slice(partition.as_bytes());
    bytes
}

/// Value of a position; the partition's name is in the key.
pub fn encode_position(record: &PositionRecord) -> Vec<u8> {
    let mut bytes = record.partition.ordinal.to_be_bytes().to_vec();
    for number in [record.watermark, record.peak, record.active_at_ms] {
        bytes.extend_from_slice(&flip(number).to_be_bytes());
    }
    bytes.push(u8::from(record.idle));
    bytes.extend_from_slice(&record.position.0);
    bytes
}

/// Reads a position back.
pub fn decode_position(key: &[u8], value: &[u8]) -> Option<(u32, PositionRecord)> {
    let (op, name) = key.split_first_chunk::<4>()?;
    let (ordinal, rest) = value.split_first_chunk::<4>()?;
    let (watermark, rest) = take_i64(rest)?;
    let (peak, rest) = take_i64(rest)?;
    let (active_at_ms, rest) = take_i64(rest)?;
    let (idle, position) = rest.split_first()?;
    let name: Arc<str> = std::str::from_utf8(name).ok()?.into();
    let partition = Partition { name, ordinal: u32::from_be_bytes(*ordinal) };
    let record = PositionRecord {
        partition,
        position: Position(position.to_vec()),
        watermark,
        peak,
        active_at_ms,
        idle: *idle == 1,
    };
    Some((u32::from_be_bytes(*op), record))
}

fn take_i64(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((unflip(u64::from_be_bytes(*number)), rest))
}

/// Key of a topic partition's mark.
pub fn topic_key(topic: &str, partition: u32) -> Vec<u8> {
    let mut key = format!("{topic}\0").into_bytes();
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

/// Reads a topic key.
pub fn decode_topic_key(key: &[u8]) -> Option<(Arc<str>, u32)> {
    let (topic, rest) = take_text(key)?;
    Some((topic, u32::from_be_bytes(rest.try_into().ok()?)))
}

/// Directory of a topic partition, relative to the data directory.
pub fn topic_dir(topic: &str, partition: u32) -> String {
    format!("topic/{topic}/{partition}")
}

/// Directory of the outbox, likewise.
pub const OUTBOX_DIR: &str = "state/outbox";

/// Value of an outbox entry.
pub fn encode_ref(reference: &BlockRef) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(28);
    bytes.extend_from_slice(&reference.file.to_be_bytes());
    bytes.extend_from_slice(&reference.offset.to_be_bytes());
    for number in [reference.length, reference.rows, reference.crc] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes
}

/// Reads an outbox entry.
pub fn decode_ref(bytes: &[u8]) -> Option<BlockRef> {
    let (file, rest) = bytes.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (rows, rest) = rest.split_first_chunk::<4>()?;
    let (crc, _) = rest.split_first_chunk::<4>()?;
    Some(BlockRef {
        file: u64::from_be_bytes(*file),
        offset: u64::from_be_bytes(*offset),
        length: u32::from_be_bytes(*length),
        rows: u32::from_be_bytes(*rows),
        crc: u32::from_be_bytes(*crc),
    })
}

/// Value of a planned unit; `lower` is in the key.
pub fn encode_unit(unit: &Unit) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [unit.upper, unit.rows, unit.bytes, u64::from(unit.crc)] {
        push_varint(&mut bytes, number);
    }
    bytes
}

/// Reads a planned unit.
pub fn decode_unit(lower: u64, mut bytes: &[u8]) -> Option<Unit> {
    let upper = take_varint(&mut bytes)?;
    let rows = take_varint(&mut bytes)?;
    let stored = take_varint(&mut bytes)?;
    let crc = u32::try_from(take_varint(&mut bytes)?).ok()?;
    Some(Unit { lower, upper, rows, bytes: stored, crc })
}

/// Value of a job: plan hash, then its operators.
pub fn encode_job(plan_hash: u64, ops: &std::collections::BTreeMap<Arc<str>, u32>) -> Vec<u8> {
    let mut bytes = plan_hash.to_be_bytes().to_vec();
    for (uid, op) in ops {
        bytes.extend_from_slice(uid.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&op.to_be_bytes());
    }
    bytes
}

/// Reads a job.
pub fn decode_job(bytes: &[u8]) -> Option<(u64, std::collections::BTreeMap<Arc<str>, u32>)> {
    let (hash, mut rest) = bytes.split_first_chunk::<8>()?;
    let mut ops = std::collections::BTreeMap::new();
    while !rest.is_empty() {
        let (uid, after) = take_text(rest)?;
        let (op, after) = after.split_first_chunk::<4>()?;
        ops.insert(uid, u32::from_be_bytes(*op));
        rest = after;
    }
    Some((u64::from_be_bytes(*hash), ops))
}

/// Value of a group's last complete epoch.
pub fn encode_complete<'a>(
    epoch: u64,
    generation: u64,
    jobs: impl Iterator<Item = &'a str>,
) -> Vec<u8> {
    let mut bytes = encode_u64(epoch);
    bytes.extend_from_slice(&generation.to_be_bytes());
    for job in jobs {
        bytes.extend_from_slice(job.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Reads the epoch of a group and its jobs, of which older versions wrote none.
pub fn decode_complete(bytes: &[u8]) -> Option<(u64, Vec<Arc<str>>)> {
    let (epoch, rest) = bytes.split_first_chunk::<8>()?;
    let (_generation, mut rest) = rest.split_first_chunk::<8>()?;
    let mut jobs = Vec::new();
    while !rest.is_empty() {
        let (job, after) = take_text(rest)?;
        jobs.push(job);
        rest = after;
    }
    Some((u64::from_be_bytes(*epoch), jobs))
}

/// A number as a value.
pub fn encode_u64(number: u64) -> Vec<u8> {
    number.to_be_bytes().to_vec()
}

/// A number from the front of a value.
pub fn decode_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.first_chunk::<8>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_back() {
        let sink = SinkKey { job: "j".into(), sink: "s".into(), shard: 3 };
        let mut key = sink.encode();
        key.push(9);
        assert_eq!(SinkKey::take(&key), Some((sink, &[9][..])));
        let unit = Unit { lower: 4, upper: 7, rows: 300, bytes: 1 << 40, crc: u32::MAX };
        assert_eq!(decode_unit(4, &encode_unit(&unit)), Some(unit));
        let record = PositionRecord {
            partition: Partition { name: "ods_log/3".into(), ordinal: 3 },
            position: Position::of_number(77),
            watermark: -5,
            peak: i64::MIN,
            active_at_ms: 12,
            idle: true,
        };
        let key = position_key(8, "ods_log/3");
        assert_eq!(decode_position(&key, &encode_position(&record)), Some((8, record)));
        let reference = BlockRef { file: 1, offset: 2, length: 3, rows: 4, crc: 5 };
        assert_eq!(decode_ref(&encode_ref(&reference)), Some(reference));
        let ops = [("a".into(), 1), ("b".into(), 2)].into();
        assert_eq!(decode_job(&encode_job(6, &ops)), Some((6, ops)));
        let complete = encode_complete(7, 8, ["a", "b"].into_iter());
        assert_eq!(decode_complete(&complete), Some((7, vec!["a".into(), "b".into()])));
        assert_eq!(decode_complete(&complete[..16]), Some((7, Vec::new())), "an older version");
        assert_eq!(decode_topic_key(&topic_key("t", 2)), Some(("t".into(), 2)));
    }
}
