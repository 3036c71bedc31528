//! One commit: blocks, close marks and sync; then the batch; then publication.

use std::sync::Arc;

use super::deliveries::{Retired, WaitingBlock};
use super::groups::ReadyEpoch;
use super::{Content, JobRecord, PlannedUnit, Writer};
use crate::checkpoint::layout::{self, SinkKey, space};
use crate::checkpoint::piece::{Delta, Piece};
use crate::control::event::{ControlEvent, SourcePositions};
use crate::crash_point::CrashPoint;
use crate::error::Fatal;
use crate::limit::MANIFESTS_KEPT;
use crate::outbox::block::{BlockHeader, CloseMark};
use crate::state::backend::{Durability, StateBatch};

/// A batch under construction and what is published once it is durable.
struct Commit {
    batch: StateBatch,
    plans: Vec<(SinkKey, PlannedUnit)>,
    positions: Vec<SourcePositions>,
}

impl Writer {
    /// Completes these epochs in one batch.
    pub(super) fn commit(&mut self, ready: Vec<ReadyEpoch>) -> Result<(), Fatal> {
        let mut commit =
            Commit { batch: StateBatch::default(), plans: Vec::new(), positions: Vec::new() };
        let mut marks = Vec::new();
        let mut completed = Vec::new();
        for epoch in ready {
            marks.push(close_mark(&epoch));
            let (group, number) = (epoch.record.name.clone(), epoch.closing.epoch);
            self.epoch(epoch, &mut commit)?;
            completed.push((group, number, std::mem::take(&mut commit.positions)));
        }
        // From here on the order is the contract: logs durable, then the batch, then the news.
        self.logs.close(marks, &self.setup.topics.readers, &self.setup.points)?;
        self.setup.points.pass(CrashPoint::LogsSynced)?;
        let touched = self.logs.take_touched();
        commit.put(space::META, b"outbox_mark".to_vec(), self.logs.outbox_mark().encode());
        for ((topic, partition), mark) in &touched {
            commit.put(space::TOPIC, layout::topic_key(topic, *partition), mark.encode());
        }
        for retired in self.deliveries.take_retired() {
            commit.retire(&retired);
        }
        self.setup.points.pass(CrashPoint::InsideBatch)?;
        self.setup.backend.commit(commit.batch, Durability::Synced).map_err(Fatal::disk)?;
        self.setup.points.pass(CrashPoint::BatchSynced)?;
        self.setup.topics.set(touched);
        self.hand_out(commit.plans);
        for (group, epoch, positions) in completed {
            self.groups.completed(&group, epoch);
            self.setup.events.push(ControlEvent::Complete { group, epoch, positions });
        }
        self.logs.retire(self.deliveries.blocks().chain(self.groups.written_blocks()))?;
        self.logs.retain(&self.setup.topics.readers)
    }

    fn epoch(&mut self, ready: ReadyEpoch, commit: &mut Commit) -> Result<(), Fatal> {
        let ReadyEpoch { record, closing, bundles, blocks, first, .. } = ready;
        let block_count = blocks.len();
        let mut sequence = 0;
        for block in blocks {
            let sink = record.sinks.iter().find(|s| s.job == block.job && s.sink == block.sink);
            let sink = sink.expect("the group record names every sink of its jobs");
            let (epoch, rows, shard) = (closing.epoch, block.rows, block.shard);
            match block.content {
                Content::Topic { topic, partition, bytes } => {
                    let header = BlockHeader { rows, epoch, sink: sink.op, shard, base: 0 };
                    self.logs.give_topic((topic, partition), header, bytes)?;
                }
                Content::Outbox(written) => {
                    let sink = SinkKey { job: block.job, sink: block.sink, shard };
                    let waiting = WaitingBlock { epoch, sequence, written };
                    self.outbox_block(&sink, waiting, closing.stamp_ms, commit);
                    sequence += 1;
                }
            }
        }
        let mut deltas = 0;
        for bundle in bundles {
            let job = record.jobs.iter().find(|job| job.name == bundle.job);
            let ops = &job.expect("the group record names every job").ops;
            for piece in bundle.pieces {
                deltas += self.piece(&bundle.job, ops, piece, commit);
            }
        }
        if first {
            record.jobs.iter().for_each(|job| commit.job(job));
        }
        let jobs = record.jobs.iter().map(|job| &*job.name);
        let complete = layout::encode_complete(closing.epoch, self.setup.generation, jobs);
        commit.put(space::COMPLETE, record.name.as_bytes().to_vec(), complete);
        commit.manifest(
            &record.name,
            closing.epoch,
            [
                self.setup.generation,
                self.setup.workers as u64,
                closing.stamp_ms.cast_unsigned(),
                deltas,
                block_count as u64,
            ],
        );
        let plans =
            self.deliveries.plan(&record.sinks, closing.epoch, closing.stamp_ms, closing.flush);
        for (sink, planned) in plans {
            let mut key = sink.encode();
            key.extend_from_slice(&planned.unit.lower.to_be_bytes());
            commit.put(space::UNIT, key, layout::encode_unit(&planned.unit));
            commit.plans.push((sink, planned));
        }
        Ok(())
    }

    /// A block that lies in the outbox belongs to its epoch now.
    fn outbox_block(
        &mut self,
        sink: &SinkKey,
        waiting: WaitingBlock,
        stamp_ms: i64,
        commit: &mut Commit,
    ) {
        let key = block_key(sink, waiting.epoch, waiting.sequence);
        commit.put(space::OUTBOX, key, layout::encode_ref(waiting.reference()));
        self.deliveries.gather(sink, stamp_ms, waiting);
    }

    /// Adds a piece to the batch; returns the number of state deltas.
    fn piece(
        &mut self,
        job: &str,
        ops: &std::collections::BTreeMap<Arc<str>, u32>,
        piece: Piece,
        commit: &mut Commit,
    ) -> u64 {
        let op_of = |uid: &Arc<str>| *ops.get(uid).expect("submit gave every uid an id");
        match piece {
            Piece::State(uid, deltas) => {
                let (space, op, count): (Arc<str>, _, _) =
                    (space::state(job).into(), op_of(&uid), deltas.len());
                for Delta { group, key, value } in deltas {
                    let key = layout::state_key(op, group, &key);
                    match value {
                        Some(value) => commit.batch.put(&space, key, value),
                        None => commit.batch.delete(&space, key),
                    }
                }
                count as u64
            }
            Piece::Positions(uid, records) => {
                let (space, op): (Arc<str>, _) = (space::positions(job).into(), op_of(&uid));
                let partitions = records.iter().map(|r| (r.partition.clone(), r.position.clone()));
                let partitions = partitions.collect();
                commit.positions.push(SourcePositions { job: job.into(), uid, partitions });
                for record in records {
                    let key = layout::position_key(op, &record.partition.name);
                    commit.batch.put(&space, key, layout::encode_position(&record));
                }
                0
            }
            Piece::Counters(counts) => {
                for (key, count) in counts {
                    let key = key.encode();
                    let total = self.counters.entry(key.clone()).or_default();
                    *total += count;
                    commit.put(space::COUNTERS, key, layout::encode_u64(*total));
                }
                0
            }
        }
    }

    fn hand_out(&self, plans: Vec<(SinkKey, PlannedUnit)>) {
        let inboxes = self.setup.units.lock().expect("nothing panics under this lock");
        for (sink, planned) in plans {
            let inbox = inboxes.get(&sink).expect("submit made an inbox for every shard");
            inbox.push(planned);
        }
    }
}

impl Commit {
    fn put(&mut self, space: &'static str, key: Vec<u8>, value: Vec<u8>) {
        self.batch.put(&space.into(), key, value);
    }

    fn delete(&mut self, space: &'static str, key: Vec<u8>) {
        self.batch.delete(&space.into(), key);
    }

    fn job(&mut self, job: &JobRecord) {
        let name = job.name.as_bytes().to_vec();
        self.put(space::JOBS, name, layout::encode_job(job.plan_hash, &job.ops));
        for (uid, shape) in &job.shapes {
            let key = format!("{}\0{uid}", job.name).into_bytes();
            self.put(space::SHAPES, key, layout::encode_u64(*shape));
        }
    }

    fn manifest(&mut self, group: &str, epoch: u64, numbers: [u64; 5]) {
        let key = |epoch: u64| {
            let mut key = format!("{group}\0").into_bytes();
            key.extend_from_slice(&epoch.to_be_bytes());
            key
        };
        let value = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        self.put(space::MANIFEST, key(epoch), value);
        if let Some(old) = epoch.checked_sub(MANIFESTS_KEPT) {
            self.delete(space::MANIFEST, key(old));
        }
    }

    fn retire(&mut self, retired: &Retired) {
        for block in &retired.blocks {
            let key = block_key(&retired.sink, block.epoch, block.sequence);
            self.delete(space::OUTBOX, key);
        }
        let mut key = retired.sink.encode();
        self.put(space::DELIVERED, key.clone(), layout::encode_u64(retired.unit.upper));
        key.extend_from_slice(&retired.unit.lower.to_be_bytes());
        self.delete(space::UNIT, key);
    }
}

fn close_mark(ready: &ReadyEpoch) -> CloseMark {
    CloseMark {
        group: ready.record.name.to_string(),
        epoch: ready.closing.epoch,
        complete_before: ready.complete_before,
    }
}

fn block_key(sink: &SinkKey, epoch: u64, sequence: u32) -> Vec<u8> {
    let mut key = sink.encode();
    key.extend_from_slice(&epoch.to_be_bytes());
    key.extend_from_slice(&sequence.to_be_bytes());
    key
}
