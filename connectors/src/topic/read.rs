//! Reading a partition of a topic record by record: for `topic tail` and `dump`, and replay dumps.
//!
//! The caller brings the mark: of the running process, or of the last complete checkpoint in a
//! directory that nobody runs on. Memory is that of one block.

use std::collections::VecDeque;
use std::sync::Arc;

use engine::checkpoint::disk::Disk;
use engine::checkpoint::layout::topic_dir;
use engine::error::Fault;
use engine::outbox::block::Block;
use engine::outbox::log::{LogReader, Mark};
use engine::outbox::rows::{RowReader, RowRef};

use super::unreadable;

/// A record of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRecord {
    /// Its number in the partition.
    pub offset: u64,
    /// Its event time in milliseconds since 1970; `i64::MIN` if it has none.
    pub time_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers in order.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The records of one partition; made by [`read_partition`]. After a fault there are no more.
pub struct TopicRecords {
    topic: String,
    partition: u32,
    reader: LogReader,
    from: u64,
    block: VecDeque<TopicRecord>,
    ended: bool,
}

/// The records of a partition from offset `from` up to `mark`. Where retention has removed `from`,
/// they begin with the first one still there. Nothing is read before the first is asked for.
pub fn read_partition(
    disk: Arc<dyn Disk>,
    topic: &str,
    partition: u32,
    mark: Mark,
    from: u64,
) -> TopicRecords {
    TopicRecords {
        reader: LogReader::open(disk, &topic_dir(topic, partition), mark, from),
        topic: topic.to_owned(),
        partition,
        from,
        block: VecDeque::new(),
        ended: false,
    }
}

/// The offset of the first record still there; `mark.next_base` in an empty partition.
///
/// # Errors
///
/// If the log cannot be read.
pub fn first_offset(
    disk: Arc<dyn Disk>,
    topic: &str,
    partition: u32,
    mark: Mark,
) -> Result<u64, Fault> {
    let block = LogReader::open(disk, &topic_dir(topic, partition), mark, 0).read();
    let block = block.map_err(|error| unreadable(topic, partition, &error))?;
    Ok(block.map_or(mark.next_base, |block| block.header.base))
}

impl TopicRecords {
    fn fill(&mut self) -> Result<(), Fault> {
        let block = self.reader.read();
        let block = block.map_err(|error| unreadable(&self.topic, self.partition, &error))?;
        let Some(block) = block else {
            self.ended = true;
            return Ok(());
        };
        for row in rows(&block) {
            let (offset, row) =
                row.map_err(|fault| damaged(&self.topic, self.partition, &fault))?;
            if offset >= self.from {
                self.block.push_back(owned(offset, &row));
            }
        }
        Ok(())
    }
}

impl Iterator for TopicRecords {
    type Item = Result<TopicRecord, Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.block.is_empty() && !self.ended {
            if let Err(fault) = self.fill() {
                self.block.clear();
                self.ended = true;
                return Some(Err(fault));
            }
        }
        self.block.pop_front().map(Ok)
    }
}

/// The rows of a block with their offsets; a fault names its offset.
pub(super) fn rows(block: &Block) -> impl Iterator<Item = Result<(u64, RowRef<'_>), String>> {
    let numbered = (block.header.base..).zip(RowReader::new(&block.bytes));
    numbered.map(|(offset, row)| match row {
        Ok(row) => Ok((offset, row)),
        Err(fault) => Err(format!("offset {offset}: {fault}")),
    })
}

/// The fault for a block that passed its checksum and holds no rows.
pub(super) fn damaged(topic: &str, partition: u32, reason: &str) -> Fault {
    Fault::never(format!("cannot read topic \"{topic}\" partition {partition} at {reason}"))
}

fn owned(offset: u64, row: &RowRef<'_>) -> TopicRecord {
    TopicRecord {
        offset,
        time_ms: row.time_ms,
        key: row.key.map(<[u8]>::to_vec),
        value: row.value.map(<[u8]>::to_vec),
        headers: row.headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use engine::outbox::block::BlockHeader;
    use engine::outbox::log::{BlockLog, LogOptions};
    use engine::outbox::rows::{Op, OutRow, RowWriter};
    use engine::testing::disk::SimDisk;

    use super::*;

    /// A topic "t" on a simulated disk; every block goes into a file of its own.
    pub(in super::super) struct Topic {
        pub(in super::super) disk: SimDisk,
        logs: Vec<BlockLog>,
    }

    impl Topic {
        pub(in super::super) fn new(partitions: u32) -> Topic {
            let disk = SimDisk::new();
            let options = LogOptions { file_bytes: 1, ..LogOptions::default() };
            let open = |partition| {
                let dir = topic_dir("t", partition);
                BlockLog::open(Arc::new(disk.clone()), &dir, 7, options, None).unwrap()
            };
            let logs = (0..partitions).map(open).collect();
            Topic { disk, logs }
        }

        /// Appends a block of records `k<offset>`/`v<offset>` at these times; every third is a
        /// tombstone with a header.
        pub(in super::super) fn append(&mut self, partition: usize, times: &[i64]) -> Mark {
            let log = &mut self.logs[partition];
            let mut writer = RowWriter::new();
            let base = log.next_base();
            for (offset, time_ms) in (base..).zip(times) {
                let (key, value) = (format!("k{offset}"), format!("v{offset}"));
                let gone = offset % 3 == 2;
                writer.push(&OutRow {
                    target: 0,
                    topic: None,
                    op: Op::Insert,
                    time_ms: *time_ms,
                    key: Some(key.as_bytes()),
                    value: (!gone).then_some(value.as_bytes()),
                    headers: if gone { &[("h", b"x")] } else { &[] },
                });
            }
            let rows = writer.rows();
            let header = BlockHeader { rows, epoch: 1, sink: 1, shard: 0, base };
            log.append(header, writer.bytes()).unwrap();
            log.sync().unwrap();
            log.mark()
        }

        /// Removes the files whose last row is before the one in front of `offset`, as retention may.
        pub(in super::super) fn remove_before(&mut self, partition: usize, offset: u64) {
            self.logs[partition].remove_surplus(0, offset - 1).unwrap();
        }
    }

    fn offsets(topic: &Topic, mark: Mark, from: u64) -> Vec<u64> {
        let records = read_partition(Arc::new(topic.disk.clone()), "t", 0, mark, from);
        records.map(|record| record.expect("readable").offset).collect()
    }

    #[test]
    fn records_come_whole_and_in_order_up_to_the_mark() {
        let mut topic = Topic::new(1);
        let early = topic.append(0, &[10, 11]);
        let late = topic.append(0, &[12, 13, 14]);
        assert_eq!(offsets(&topic, early, 0), [0, 1]);
        assert_eq!(offsets(&topic, late, 0), [0, 1, 2, 3, 4]);
        assert_eq!(offsets(&topic, late, 3), [3, 4]);
        assert!(offsets(&topic, late, 5).is_empty());
        assert!(offsets(&topic, Mark::default(), 0).is_empty());
        let records = read_partition(Arc::new(topic.disk.clone()), "t", 0, late, 1);
        let records: Vec<TopicRecord> = records.map(|record| record.unwrap()).collect();
        let full = TopicRecord {
            offset: 1,
            time_ms: 11,
            key: Some(b"k1".to_vec()),
            value: Some(b"v1".to_vec()),
            headers: vec![],
        };
        let tombstone = TopicRecord {
            offset: 2,
            time_ms: 12,
            key: Some(b"k2".to_vec()),
            value: None,
            headers: vec![("h".to_owned(), b"x".to_vec())],
        };
        assert_eq!(records[..2], [full, tombstone]);
    }

    #[test]
    fn reading_begins_with_what_retention_left() {
        let mut topic = Topic::new(1);
        topic.append(0, &[1, 1]);
        topic.append(0, &[1]);
        let mark = topic.append(0, &[1]);
        topic.remove_before(0, 3);
        let disk: Arc<dyn Disk> = Arc::new(topic.disk.clone());
        let first = first_offset(disk.clone(), "t", 0, mark).unwrap();
        assert_eq!(offsets(&topic, mark, 0).first(), Some(&first));
        assert!(first > 0);
        assert_eq!(first_offset(disk, "t", 0, Mark::default()), Ok(0));
    }

    #[test]
    fn damage_is_named_and_ends_the_reading() {
        let mut topic = Topic::new(1);
        let mark = topic.append(0, &[1, 1]);
        topic.disk.flip_bit("topic/t/0/00000000000000000000.log", 70);
        let mut records = read_partition(Arc::new(topic.disk.clone()), "t", 0, mark, 0);
        let fault = records.next().expect("a fault").unwrap_err();
        assert!(fault.message.contains(r#"topic "t" partition 0"#), "{fault}");
        assert!(fault.message.contains("checksum"), "{fault}");
        assert_eq!(records.next(), None);
    }
}
