//! The logs the writer appends to: the outbox, and one per partition of an embedded topic.
//!
//! A topic partition is an outbox that is kept: its blocks are written once, synced once, and
//! become visible by their mark in the checkpoint batch.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Retention;
use super::readers::Readers;
use crate::checkpoint::disk::Disk;
use crate::checkpoint::layout::{OUTBOX_DIR, topic_dir};
use crate::checkpoint::restore::Saved;
use crate::error::Fatal;
use crate::outbox::block::{BlockHeader, BlockRef, CloseMark};
use crate::outbox::log::{BlockLog, LogError, LogOptions, Mark, last_close_marks};

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
    topics: BTreeMap<TopicPartition, BlockLog>,
    /// Topic partitions appended to since the last sync.
    touched: Vec<TopicPartition>,
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
        let outbox = open(OUTBOX_DIR, options, saved.outbox_mark)?;
        let mut topics = BTreeMap::new();
        for ((topic, partition), mark) in &saved.topics {
            let options = topic_options(options, retention.of(topic));
            let log = open(&topic_dir(topic, *partition), options, Some(*mark))?;
            topics.insert((topic.clone(), *partition), log);
        }
        Ok(Self {
            outbox,
            topics,
            touched: Vec::new(),
            saved: saved.topics.clone(),
            family: saved.family,
            disk,
            options,
            retention,
        })
    }

    pub(super) fn append_outbox(
        &mut self,
        mut header: BlockHeader,
        bytes: &[u8],
    ) -> Result<BlockRef, Fatal> {
        header.base = self.outbox.next_base();
        self.outbox.append(header, bytes).map_err(Fatal::disk)
    }

    pub(super) fn append_topic(
        &mut self,
        topic: &str,
        partition: u32,
        mut header: BlockHeader,
        bytes: &[u8],
    ) -> Result<(), Fatal> {
        let key: TopicPartition = (topic.into(), partition);
        if !self.topics.contains_key(&key) {
            let dir = topic_dir(topic, partition);
            let mark = self.saved.get(&key).copied();
            let options = topic_options(self.options, self.retention.of(topic));
            let log = BlockLog::open(self.disk.clone(), &dir, self.family, options, mark);
            self.topics.insert(key.clone(), log.map_err(Fatal::disk)?);
        }
        let log = self.topics.get_mut(&key).expect("opened above");
        header.base = log.next_base();
        log.append(header, bytes).map_err(Fatal::disk)?;
        if !self.touched.contains(&key) {
            self.touched.push(key);
        }
        Ok(())
    }

    /// Appends the close marks and makes everything appended so far durable.
    pub(super) fn close(&mut self, marks: Vec<CloseMark>) -> Result<(), Fatal> {
        for mark in marks {
            self.outbox.append_close(mark).map_err(Fatal::disk)?;
        }
        self.sync()
    }

    /// Syncs every log that was appended to, all at the same time: none depends on another.
    fn sync(&mut self) -> Result<(), Fatal> {
        let Self { disk, outbox, topics, touched, .. } = self;
        let topics = topics.iter_mut().filter(|(key, _)| touched.contains(key));
        let logs = std::iter::once(outbox).chain(topics.map(|(_, log)| log));
        let mut synced: Vec<(&mut BlockLog, Option<Result<(), LogError>>)> =
            logs.map(|log| (log, None)).collect();
        let task = |(log, result): &'_ mut (&mut BlockLog, _)| *result = Some(log.sync());
        disk.together(synced.iter_mut().map(|one| Box::new(move || task(one)) as _).collect());
        let results = synced.into_iter().map(|(_, result)| result.expect("each sync has ended"));
        results.collect::<Result<(), LogError>>().map_err(Fatal::disk)
    }

    pub(super) fn outbox_mark(&self) -> Mark {
        self.outbox.mark()
    }

    /// Takes the new ends of the topic partitions that were appended to.
    pub(super) fn take_touched(&mut self) -> Vec<(TopicPartition, Mark)> {
        let touched = std::mem::take(&mut self.touched);
        touched.into_iter().map(|key| (key.clone(), self.topics[&key].mark())).collect()
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
