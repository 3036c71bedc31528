//! The logs the writer appends to: the outbox, and one per partition of an embedded topic.
//!
//! A topic partition is an outbox that is kept: its blocks are written once, synced once, and
//! become visible by their mark in the checkpoint batch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Retention;
use super::readers::Readers;
use super::topic_log::TopicLog;
use crate::batch::buffer::Buffer;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::{OUTBOX_DIR, topic_dir};
use crate::checkpoint::restore::Saved;
use crate::crash_point::CrashPoints;
use crate::error::Fatal;
use crate::outbox::block::{BlockHeader, BlockRef, CloseMark};
use crate::outbox::log::{BlockLog, LogOptions, Mark, last_close_marks};

type TopicPartition = (Arc<str>, u32);

/// Into how many files a partition with a limit is divided, at least.
const FILES_KEPT: u64 = 8;

/// The logs.
pub(super) struct Logs {
    disk: Arc<dyn Disk>,
    options: LogOptions,
    retention: Retention,
    family: u64,
    outbox: BlockLog,
    topics: BTreeMap<TopicPartition, TopicLog>,
    saved: BTreeMap<TopicPartition, Mark>,
}

impl Logs {
    /// Opens the outbox at its saved mark. Before anything is cut: a group whose `complete` is
    /// lower than its last close mark says it was has lost a durable tail of the store.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        options: LogOptions,
        retention: Retention,
        saved: &Saved,
    ) -> Result<Self, Fatal> {
        check_close_marks(disk.as_ref(), saved)?;
        let open = |dir: &str, options, mark| {
            BlockLog::open(disk.clone(), dir, saved.family, options, mark).map_err(Fatal::disk)
        };
        // A topic is kept; what was delivered is not.
        let outbox = LogOptions { recycle: true, ..options };
        let outbox = open(OUTBOX_DIR, outbox, saved.outbox_mark)?;
        let mut topics = BTreeMap::new();
        for ((topic, partition), mark) in &saved.topics {
            let options = topic_options(options, retention.of(topic));
            let log = open(&topic_dir(topic, *partition), options, Some(*mark))?;
            topics.insert((topic.clone(), *partition), TopicLog::new(log));
        }
        Ok(Self {
            outbox,
            topics,
            saved: saved.topics.clone(),
            family: saved.family,
            disk,
            options,
            retention,
        })
    }

    /// The number that the first row of the next block in the outbox will have.
    pub(super) fn outbox_base(&self) -> u64 {
        self.outbox.next_base()
    }

    pub(super) fn append_outbox(
        &mut self,
        header: BlockHeader,
        bytes: &[u8],
    ) -> Result<BlockRef, Fatal> {
        self.outbox.append(header, bytes).map_err(Fatal::disk)
    }

    /// Takes a block that [`Logs::close`] writes.
    pub(super) fn give_topic(
        &mut self,
        key: TopicPartition,
        header: BlockHeader,
        bytes: Buffer,
    ) -> Result<(), Fatal> {
        let (topic, partition) = (&*key.0, key.1);
        if !self.topics.contains_key(&key) {
            let dir = topic_dir(topic, partition);
            let mark = self.saved.get(&key).copied();
            let options = topic_options(self.options, self.retention.of(topic));
            let log = BlockLog::open(self.disk.clone(), &dir, self.family, options, mark);
            self.topics.insert(key.clone(), TopicLog::new(log.map_err(Fatal::disk)?));
        }
        self.topics.get_mut(&key).expect("opened above").give(header, bytes);
        Ok(())
    }

    /// Appends the close marks and the blocks of topics, and makes everything appended so far durable:
    /// all logs at the same time, none depends on another. Topics without readers do not stay in memory.
    pub(super) fn close(
        &mut self,
        marks: Vec<CloseMark>,
        readers: &Readers,
        points: &CrashPoints,
    ) -> Result<(), Fatal> {
        for mark in marks {
            self.outbox.append_close(mark).map_err(Fatal::disk)?;
        }
        let Self { disk, outbox, topics, .. } = self;
        let topics = topics.iter_mut().filter(|(_, log)| log.is_touched());
        let works = topics.map(|((topic, _), log)| {
            let is_read = readers.has(topic);
            Box::new(move || log.write(is_read, points)) as _
        });
        let mut works: Vec<Work<'_>> = works.collect();
        works.push(Box::new(|| outbox.sync().map_err(Fatal::disk)));
        run_together(disk.as_ref(), works)
    }

    pub(super) fn outbox_mark(&self) -> Mark {
        self.outbox.mark()
    }

    /// Takes the new ends of the topic partitions that were appended to.
    pub(super) fn take_touched(&mut self) -> Vec<(TopicPartition, Mark)> {
        let ends =
            |(key, log): (&TopicPartition, &mut TopicLog)| Some((key.clone(), log.take_mark()?));
        self.topics.iter_mut().filter_map(ends).collect()
    }

    /// Removes outbox files in which no block lies that somebody still needs: those of a sink that
    /// stands still keep only their own files. To be called when what was synced last is committed.
    pub(super) fn retire<'a>(
        &mut self,
        needed: impl Iterator<Item = &'a BlockRef>,
    ) -> Result<(), Fatal> {
        if self.outbox.files() < 2 {
            return Ok(());
        }
        let used = needed.map(|reference| reference.file).collect();
        self.outbox.remove_unused(&used).map(|_freed| ()).map_err(Fatal::disk)
    }

    /// Removes files of topics that are larger than they may be, as far as nobody here still reads
    /// them. To be called when what was synced last is committed.
    pub(super) fn retain(&mut self, readers: &Readers) -> Result<(), Fatal> {
        for ((topic, partition), log) in &mut self.topics {
            let Some(kept) = self.retention.of(topic) else { continue };
            let log = log.log_mut();
            if log.bytes() > kept {
                log.remove_surplus(kept, readers.floor(topic, *partition)).map_err(Fatal::disk)?;
            }
        }
        Ok(())
    }

    pub(super) fn outbox_bytes(&self) -> u64 {
        self.outbox.bytes()
    }
}

/// What is to be done with one log.
type Work<'a> = Box<dyn FnOnce() -> Result<(), Fatal> + Send + 'a>;

/// Runs all, and answers with the first error. After one, nothing more is begun: it ends the process,
/// and what comes after a death would be no death.
fn run_together(disk: &dyn Disk, works: Vec<Work<'_>>) -> Result<(), Fatal> {
    let failed = AtomicBool::new(false);
    let mut results: Vec<Result<(), Fatal>> = works.iter().map(|_| Ok(())).collect();
    let tasks = works.into_iter().zip(&mut results).map(|(work, result)| {
        let failed = &failed;
        let task = move || {
            if !failed.load(Ordering::Acquire) {
                *result = work();
                failed.fetch_or(result.is_err(), Ordering::AcqRel);
            }
        };
        Box::new(task) as _
    });
    disk.together(tasks.collect());
    results.into_iter().collect()
}

/// Whole files are removed, so they must be a small part of what is kept.
fn topic_options(options: LogOptions, kept: Option<u64>) -> LogOptions {
    let part = kept.map_or(u64::MAX, |kept| (kept / FILES_KEPT).max(1));
    LogOptions { file_bytes: options.file_bytes.min(part), ..options }
}

fn check_close_marks(disk: &dyn Disk, saved: &Saved) -> Result<(), Fatal> {
    for (group, mark) in last_close_marks(disk, OUTBOX_DIR).map_err(Fatal::disk)? {
        let complete = saved.complete.get(group.as_str()).copied();
        if mark.complete_before > complete {
            return Err(Fatal::disk(format!(
                "cannot start: group \"{group}\" had completed epoch {} when epoch {} was closed, \
                 but the state store says {}; it has lost its durable tail, restore the directory \
                 from a backup",
                mark.complete_before.unwrap_or(0),
                mark.epoch,
                complete.map_or("none".to_owned(), |epoch| epoch.to_string()),
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::disk::SimDisk;

    #[test]
    fn only_topics_with_readers_are_written_to_be_read_soon() {
        let disk = SimDisk::new();
        // Each block fills a file, so that the second one begins another.
        let options = LogOptions { file_bytes: 1, ..LogOptions::default() };
        let saved = Saved::default();
        let logs = Logs::open(Arc::new(disk.clone()), options, Retention::default(), &saved);
        let (mut logs, readers) = (logs.unwrap(), Readers::default());
        let mut write = |readers: &Readers| {
            for topic in ["read", "unread"] {
                let header = BlockHeader { rows: 1, epoch: 1, sink: 0, shard: 0, base: 0 };
                let bytes = Buffer::new(b"row".to_vec(), None);
                logs.give_topic((topic.into(), 0), header, bytes).unwrap();
            }
            logs.close(Vec::new(), readers, &CrashPoints::default()).unwrap();
            disk.read_late()
        };
        let _reader = readers.add("read");
        let first = format!("{}/{:020}.log", topic_dir("unread", 0), 0);
        assert_eq!(write(&readers), std::slice::from_ref(&first));
        let second = format!("{}/{:020}.log", topic_dir("unread", 0), 1);
        assert_eq!(write(&readers), [first.clone(), second.clone()]);
        // The file that grows changes with it, the one before stays as it was written.
        let _late = readers.add("unread");
        assert_eq!(write(&readers), [first]);
    }
}
