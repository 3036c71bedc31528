//! Reading a checkpoint back: what the directory says at start. Keyed state, which is larger, is
//! streamed to the operators by the [`Loader`](super::load::Loader).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::layout::{self, SinkKey, space};
use super::piece::PositionRecord;
use crate::counter::StoredCounter;
use crate::error::Fatal;
use crate::limit::{HASH_VERSION, KEY_GROUPS, LAYOUT_VERSION, LAYOUT_VERSION_READ_MIN, LOAD_CHUNK};
use crate::outbox::block::BlockRef;
use crate::outbox::log::Mark;
use crate::sink::Unit;
use crate::state::backend::{StateBackend, StateView};

/// Everything but keyed state that a checkpoint holds.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// Layout version; 0 in a new directory.
    pub layout: u64,
    /// Random id of the directory; 0 in a new one.
    pub family: u64,
    /// Number of the last incarnation; 0 in a new directory.
    pub generation: u64,
    /// Greatest complete epoch per group.
    pub complete: BTreeMap<Arc<str>, u64>,
    /// Jobs that took part in that epoch, per group; absent where an older version wrote it.
    pub members: BTreeMap<Arc<str>, Vec<Arc<str>>>,
    /// Per job: plan hash and operator ids.
    pub jobs: BTreeMap<Arc<str>, (u64, BTreeMap<Arc<str>, u32>)>,
    /// What the state of each operator depends on, by job and uid.
    pub shapes: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// Per job and operator id.
    pub positions: BTreeMap<(Arc<str>, u32), Vec<PositionRecord>>,
    /// All counters.
    pub counters: BTreeMap<Vec<u8>, u64>,
    /// Visible ends of embedded topics.
    pub topics: BTreeMap<(Arc<str>, u32), Mark>,
    /// Durable end of the outbox.
    pub outbox_mark: Option<Mark>,
    /// Undelivered blocks, by sink shard, epoch and sequence.
    pub outbox: BTreeMap<SinkKey, BTreeMap<(u64, u32), BlockRef>>,
    /// Planned units, by sink shard and lower epoch.
    pub units: BTreeMap<SinkKey, BTreeMap<u64, Unit>>,
    /// Delivered epochs.
    pub delivered: BTreeMap<SinkKey, u64>,
}

impl Saved {
    /// Reads the directory's checkpoint; `Err` names what is damaged or too new.
    pub fn read(backend: &dyn StateBackend) -> Result<Self, Fatal> {
        let view = backend.view().map_err(Fatal::disk)?;
        let meta = |key: &str| meta_number(view.as_ref(), key);
        let layout = meta("layout")?;
        check_version("layout", layout, LAYOUT_VERSION_READ_MIN..=LAYOUT_VERSION)?;
        check_version("key_groups", meta("key_groups")?, KEY_GROUPS..=KEY_GROUPS)?;
        check_version("hash", meta("hash")?, HASH_VERSION..=HASH_VERSION)?;
        let mut saved = Self {
            layout: layout.unwrap_or(0),
            family: meta("family")?.unwrap_or(0),
            generation: meta("generation")?.unwrap_or(0),
            ..Self::default()
        };
        saved.outbox_mark = view
            .get(space::META, b"outbox_mark")
            .map_err(Fatal::disk)?
            .map(|bytes| Mark::decode(&bytes).map_err(Fatal::disk))
            .transpose()?;
        saved.read_groups(view.as_ref())?;
        saved.read_jobs(view.as_ref())?;
        saved.read_outbox(view.as_ref())?;
        Ok(saved)
    }

    fn read_groups(&mut self, view: &dyn StateView) -> Result<(), Fatal> {
        each(view, space::COMPLETE, &mut |(key, value)| {
            let name: Arc<str> = std::str::from_utf8(key).ok()?.into();
            let (epoch, members) = layout::decode_complete(value)?;
            self.complete.insert(name.clone(), epoch);
            if !members.is_empty() {
                self.members.insert(name, members);
            }
            Some(())
        })?;
        each(view, space::COUNTERS, &mut |(key, value)| {
            self.counters.insert(key.to_vec(), layout::decode_u64(value)?);
            Some(())
        })?;
        each(view, space::TOPIC, &mut |(key, value)| {
            self.topics.insert(layout::decode_topic_key(key)?, Mark::decode(value).ok()?);
            Some(())
        })
    }

    fn read_jobs(&mut self, view: &dyn StateView) -> Result<(), Fatal> {
        each(view, space::JOBS, &mut |(key, value)| {
            let name = std::str::from_utf8(key).ok()?;
            self.jobs.insert(name.into(), layout::decode_job(value)?);
            Some(())
        })?;
        each(view, space::SHAPES, &mut |(key, value)| {
            let (job, uid) = std::str::from_utf8(key).ok()?.split_once('\0')?;
            self.shapes.insert((job.into(), uid.into()), layout::decode_u64(value)?);
            Some(())
        })?;
        for job in self.jobs.keys().cloned().collect::<Vec<_>>() {
            each(view, &space::positions(&job), &mut |(key, value)| {
                let (op, record) = layout::decode_position(key, value)?;
                self.positions.entry((job.clone(), op)).or_default().push(record);
                Some(())
            })?;
        }
        Ok(())
    }

    fn read_outbox(&mut self, view: &dyn StateView) -> Result<(), Fatal> {
        each(view, space::OUTBOX, &mut |(key, value)| {
            let (sink, rest) = SinkKey::take(key)?;
            let (epoch, rest) = rest.split_first_chunk::<8>()?;
            let place = (u64::from_be_bytes(*epoch), u32::from_be_bytes(rest.try_into().ok()?));
            self.outbox.entry(sink).or_default().insert(place, layout::decode_ref(value)?);
            Some(())
        })?;
        each(view, space::UNIT, &mut |(key, value)| {
            let (sink, rest) = SinkKey::take(key)?;
            let lower = layout::decode_u64(rest)?;
            let unit = layout::decode_unit(lower, value)?;
            self.units.entry(sink).or_default().insert(lower, unit);
            Some(())
        })?;
        each(view, space::DELIVERED, &mut |(key, value)| {
            let (sink, _) = SinkKey::take(key)?;
            self.delivered.insert(sink, layout::decode_u64(value)?);
            Some(())
        })
    }

    /// Greatest complete epoch of any group.
    pub fn greatest_complete(&self) -> u64 {
        self.complete.values().copied().max().unwrap_or(0)
    }

    /// Counters with their labels, sorted.
    pub fn counters(&self) -> Vec<StoredCounter> {
        let decoded = self.counters.iter().filter_map(|(key, v)| StoredCounter::decode(key, *v));
        decoded.collect()
    }
}

fn meta_number(view: &dyn StateView, key: &str) -> Result<Option<u64>, Fatal> {
    let value = view.get(space::META, key.as_bytes()).map_err(Fatal::disk)?;
    Ok(value.as_deref().and_then(layout::decode_u64))
}

fn check_version(
    what: &str,
    found: Option<u64>,
    read: std::ops::RangeInclusive<u16>,
) -> Result<(), Fatal> {
    let (least, most) = (u64::from(*read.start()), u64::from(*read.end()));
    match found {
        Some(found) if !(least..=most).contains(&found) => Err(Fatal::disk(format!(
            "cannot read this state directory: its {what} is {found}, this version reads {}; use the \
             version of watershed that wrote it",
            if least == most { least.to_string() } else { format!("{least} to {most}") }
        ))),
        _ => Ok(()),
    }
}

/// Calls `take` for every entry of `space`; an entry it cannot read is a damaged checkpoint.
fn each(
    view: &dyn StateView,
    space: &str,
    take: &mut dyn FnMut((&[u8], &[u8])) -> Option<()>,
) -> Result<(), Fatal> {
    let mut after = Vec::new();
    loop {
        let entries = view.scan(space, &[], &after, LOAD_CHUNK).map_err(Fatal::disk)?;
        for (key, value) in &entries {
            take((key, value)).ok_or_else(|| {
                Fatal::disk(format!("cannot read the checkpoint: damaged entry in \"{space}\""))
            })?;
        }
        match entries.last() {
            Some((key, _)) if entries.len() == LOAD_CHUNK => after.clone_from(key),
            _ => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::backend::{Durability, StateBatch};
    use crate::state::memory::MemoryBackend;

    #[test]
    fn layouts_are_read_from_the_oldest_to_ours() {
        for (number, reads) in [(0, false), (1, true), (2, true), (3, true), (4, false)] {
            let backend = MemoryBackend::new();
            let mut batch = StateBatch::default();
            batch.put(&space::META.into(), b"layout".to_vec(), layout::encode_u64(number));
            backend.commit(batch, Durability::Synced).unwrap();
            match Saved::read(&backend) {
                Ok(saved) => assert!(reads && saved.layout == number),
                Err(fatal) => {
                    assert!(!reads);
                    let text = fatal.to_string();
                    assert!(text.contains("this version reads 1 to 3"), "{text}");
                }
            }
        }
    }
}
