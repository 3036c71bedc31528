//! `watershed verify`: reads everything a directory holds and checks every checksum and every count.
//!
//! All damage is listed, not only the first. Nothing is changed; what lies behind the last complete
//! checkpoint is passed over, because the next start cuts it.

use engine::checkpoint::disk::Disk;
use engine::checkpoint::layout::{OUTBOX_DIR, SinkKey, space, split_state_key, topic_dir};
use engine::checkpoint::reserve;
use engine::checkpoint::restore::Saved;
use engine::outbox::log::{Holes, LogError, VerifyReport, last_close_marks, read_ref, verify};
use engine::state::backend::{StateBackend, StateError, StateView};
use serde::Serialize;
use store::phoenix::DimensionStore;
use store::phoenix::catalog::DimensionTable;

use crate::data_dir::DataDir;
use crate::status::bytes_text;

/// Entries read at a time.
const CHUNK: usize = 4096;

/// What has been read and what is wrong with it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Findings {
    /// One line per part.
    pub(crate) good: Vec<String>,
    /// One line per damage, with file and offset where there are any.
    pub(crate) damage: Vec<String>,
}

/// Reads all of the directory.
pub(crate) fn verify_all(
    dir: &DataDir,
    disk: &dyn Disk,
    backend: &dyn StateBackend,
    saved: &Saved,
) -> Findings {
    let mut findings = Findings::default();
    findings.state(backend, saved);
    let outbox = saved.outbox_mark.unwrap_or_default();
    findings.log("outbox", verify(disk, OUTBOX_DIR, outbox, Holes::Removed));
    for ((topic, partition), mark) in &saved.topics {
        let name = format!("topic {topic}/{partition}");
        let verified = verify(disk, &topic_dir(topic, *partition), *mark, Holes::Damage);
        findings.log(&name, verified);
    }
    findings.close_marks(disk, saved);
    findings.undelivered(disk, saved);
    findings.tables(dir);
    findings.dimensions(dir);
    findings.reserve(disk);
    findings
}

impl Findings {
    /// Every entry of the state store is read, so that the store checks its own sums; keyed state
    /// must belong to an operator.
    fn state(&mut self, backend: &dyn StateBackend, saved: &Saved) {
        match read_state(backend, saved) {
            Ok((entries, bytes, orphans)) => {
                self.good.push(format!("state: {entries} entries, {}", bytes_text(bytes)));
                self.damage.extend(orphans);
            }
            Err(error) => self.damage.push(format!("state: {error}")),
        }
    }

    fn log(&mut self, name: &str, verified: Result<VerifyReport, LogError>) {
        match verified {
            Ok(VerifyReport { files, blocks, rows, bytes }) => self.good.push(format!(
                "{name}: {files} files, {blocks} blocks, {rows} rows, {}",
                bytes_text(bytes)
            )),
            Err(error) => self.damage.push(format!("{name}: {}", chain(&error))),
        }
    }

    /// A group whose last complete epoch is older than its close marks say has lost a durable tail
    /// of the state store.
    fn close_marks(&mut self, disk: &dyn Disk, saved: &Saved) {
        let marks = match last_close_marks(disk, OUTBOX_DIR) {
            Ok(marks) => marks,
            Err(error) => return self.damage.push(format!("close marks: {}", chain(&error))),
        };
        for (group, mark) in &marks {
            let complete = saved.complete.get(group.as_str()).copied();
            if mark.complete_before > complete {
                self.damage.push(format!(
                    "group {group}: epoch {} was complete when epoch {} was closed, but the state \
                     store says {}",
                    mark.complete_before.unwrap_or(0),
                    mark.epoch,
                    complete.map_or("none".to_owned(), |epoch| epoch.to_string())
                ));
            }
        }
        self.good.push(format!("close marks: {} groups", marks.len()));
    }

    /// Every block that waits for delivery is there, and the units count the rows of their blocks.
    fn undelivered(&mut self, disk: &dyn Disk, saved: &Saved) {
        let mut blocks = 0_u64;
        for (key, references) in &saved.outbox {
            for ((epoch, _), reference) in references {
                blocks += 1;
                if let Err(error) = read_ref(disk, OUTBOX_DIR, reference) {
                    let name = sink_name(key);
                    self.damage.push(format!("{name} epoch {epoch}: {}", chain(&error)));
                }
            }
        }
        let mut units = 0_u64;
        for (key, unit) in
            saved.units.iter().flat_map(|(key, units)| units.values().map(move |unit| (key, unit)))
        {
            units += 1;
            let range = (unit.lower, 0)..=(unit.upper, u32::MAX);
            let waiting =
                saved.outbox.get(key).into_iter().flat_map(|blocks| blocks.range(range.clone()));
            let rows: u64 = waiting.map(|(_, reference)| u64::from(reference.rows)).sum();
            if rows != unit.rows {
                self.damage.push(format!(
                    "{} epochs {} to {}: the unit has {} rows, its blocks {rows}",
                    sink_name(key),
                    unit.lower,
                    unit.upper,
                    unit.rows
                ));
            }
        }
        self.good.push(format!("undelivered: {units} units, {blocks} blocks"));
    }

    /// Its absence is no damage: it is made again at the next start, where there is space.
    fn reserve(&mut self, disk: &dyn Disk) {
        match reserve::held_bytes(disk) {
            Ok(Some(bytes)) => self.good.push(format!("reserve: {} held back", bytes_text(bytes))),
            Ok(None) => self.good.push("reserve: none".to_owned()),
            Err(error) => self.damage.push(format!("reserve: {error}")),
        }
    }

    fn tables(&mut self, dir: &DataDir) {
        let store = match dir.look_at_dws() {
            Ok(None) => return,
            Ok(Some(store)) => store,
            Err(error) => return self.damage.push(format!("tables: {error:#}")),
        };
        match store.and_then(|store| store.counts()) {
            Ok(counts) => {
                self.good
                    .extend(counts.iter().map(|(name, rows)| format!("table {name}: {rows} rows")));
            }
            Err(error) => self.damage.push(format!("tables: {error}")),
        }
    }

    /// Every row of every dimension table is read; one that is corrupt is named by its key.
    fn dimensions(&mut self, dir: &DataDir) {
        match dir.look_at_dim() {
            Ok(None) => {}
            Ok(Some(Ok(store))) => {
                store.tables().iter().for_each(|table| self.dimension(&store, table))
            }
            Ok(Some(Err(error))) => self.damage.push(format!("dimension tables: {error}")),
            Err(error) => self.damage.push(format!("dimension tables: {error:#}")),
        }
    }

    fn dimension(&mut self, store: &DimensionStore, table: &DimensionTable) {
        let name = table.name.to_lowercase();
        let rows = match store.scan(&table.name) {
            Ok(rows) => rows,
            Err(error) => return self.damage.push(format!("dimension table {name}: {error}")),
        };
        let (mut good, before) = (0_u64, self.damage.len());
        for row in rows {
            match row {
                Ok(_) => good += 1,
                Err(error) => self.damage.push(error.to_string()),
            }
        }
        if self.damage.len() == before {
            self.good.push(format!("dimension table {name}: {good} rows"));
        }
    }
}

/// Entries, bytes, and state that belongs to no operator.
fn read_state(
    backend: &dyn StateBackend,
    saved: &Saved,
) -> Result<(u64, u64, Vec<String>), StateError> {
    let view = backend.view()?;
    let (mut entries, mut bytes, mut orphans) = (0, 0, Vec::new());
    for name in backend.spaces()? {
        let job = saved.jobs.iter().find(|(job, _)| space::state(job) == name);
        let known = |key: &[u8]| {
            let id = split_state_key(key).map(|(id, _, _)| id);
            job.is_none_or(|(_, (_, ops))| ops.values().any(|op| Some(*op) == id))
        };
        let mut unknown = 0_u64;
        each(view.as_ref(), &name, &mut |key, value| {
            entries += 1;
            bytes += (key.len() + value.len()) as u64;
            unknown += u64::from(!known(key));
        })?;
        if unknown > 0 {
            orphans.push(format!("state: {unknown} entries of \"{name}\" belong to no operator"));
        }
    }
    Ok((entries, bytes, orphans))
}

fn each(
    view: &dyn StateView,
    space: &str,
    take: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<(), StateError> {
    let mut after = Vec::new();
    loop {
        let entries = view.scan(space, &[], &after, CHUNK)?;
        entries.iter().for_each(|(key, value)| take(key, value));
        match entries.last() {
            Some((key, _)) if entries.len() == CHUNK => after.clone_from(key),
            _ => return Ok(()),
        }
    }
}

fn sink_name(key: &SinkKey) -> String {
    format!("sink {}.{}.{}", key.job, key.sink, key.shard)
}

/// An error with its causes.
fn chain(error: &LogError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use engine::outbox::block::{BlockHeader, CloseMark};
    use engine::outbox::log::{BlockLog, LogOptions};
    use engine::sink::TableDefinition;
    use engine::state::backend::{Durability, StateBatch};
    use engine::state::fjall::FjallBackend;

    use super::*;

    /// A directory with a topic of one row and a close mark, and the checkpoint that goes with it.
    fn directory() -> (tempfile::TempDir, DataDir, Arc<dyn Disk>, Saved) {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path());
        let disk = data.own("test").expect("made").disk.clone();
        let open = |name: &str| {
            let options = LogOptions::default();
            BlockLog::open(disk.clone(), name, 7, options, None).expect("opened")
        };
        let mut topic = open(&topic_dir("t", 0));
        let header = BlockHeader { rows: 1, epoch: 1, sink: 1, shard: 0, base: 0 };
        topic.append(header, b"a row").expect("written");
        topic.sync().expect("synced");
        let mut outbox = open(OUTBOX_DIR);
        let mark = CloseMark { group: "g".to_owned(), epoch: 5, complete_before: Some(4) };
        outbox.append_close(mark).expect("written");
        outbox.sync().expect("synced");
        let saved = Saved {
            complete: [("g".into(), 5)].into(),
            topics: [(("t".into(), 0), topic.mark())].into(),
            outbox_mark: Some(outbox.mark()),
            ..Saved::default()
        };
        (dir, data, disk, saved)
    }

    fn damage(data: &DataDir, disk: &dyn Disk, saved: &Saved) -> Vec<String> {
        let owned = data.own("test").expect("free");
        verify_all(data, disk, owned.backend.as_ref(), saved).damage
    }

    #[test]
    fn a_good_directory_is_good() {
        let (_dir, data, disk, saved) = directory();
        assert_eq!(damage(&data, disk.as_ref(), &saved), [""; 0]);
        let owned = data.own("test").expect("free");
        let good = verify_all(&data, disk.as_ref(), owned.backend.as_ref(), &saved).good;
        assert!(good.iter().any(|line| line.starts_with("topic t/0: 1 files, 1 blocks, 1 rows")));
    }

    #[test]
    fn a_flipped_bit_is_named_with_file_and_offset() {
        let (dir, data, disk, saved) = directory();
        let file = dir.path().join("topic/t/0/00000000000000000000.log");
        let mut bytes = fs::read(&file).expect("there");
        *bytes.last_mut().expect("not empty") ^= 1;
        fs::write(&file, bytes).expect("written");
        let damage = damage(&data, disk.as_ref(), &saved);
        assert_eq!(damage.len(), 1, "{damage:?}");
        assert!(damage[0].starts_with("topic t/0: cannot use \"topic/t/0/0"), "{damage:?}");
        assert!(damage[0].contains("at byte "), "{damage:?}");
    }

    /// A dimension table of two rows, of which one is spoilt behind the store's back.
    #[test]
    fn a_corrupt_dimension_row_is_named_by_its_key() {
        let (_dir, data, disk, saved) = directory();
        let column = |name: &str| (name.to_owned(), "varchar".to_owned());
        let store = DimensionStore::open(&data.dim()).expect("made");
        let made = store.ensure_table(&TableDefinition {
            name: "dim_base_trademark".to_owned(),
            columns: vec![column("id"), column("tm_name")],
            keys: vec!["id".to_owned()],
            ..TableDefinition::default()
        });
        made.expect("made");
        drop(store);
        let put = |key: &[u8], value: &[u8]| {
            let backend = FjallBackend::open(&data.dim(), DimensionStore::options()).expect("free");
            let mut batch = StateBatch::default();
            batch.put(&"table/1".into(), key.to_vec(), value.to_vec());
            backend.commit(batch, Durability::Synced).expect("written");
        };
        put(b"1", &[1, 0]);
        let owned = data.own("test").expect("free");
        let found = || verify_all(&data, disk.as_ref(), owned.backend.as_ref(), &saved);
        assert_eq!(found().damage, [""; 0]);
        assert!(found().good.contains(&"dimension table dim_base_trademark: 1 rows".to_owned()));
        put(b"2", &[9, 9]);
        let expected = "row \"2\" of dimension table \"DIM_BASE_TRADEMARK\" is corrupt: its version \
                        is not known here";
        assert_eq!(found().damage, [expected]);
    }

    #[test]
    fn a_lost_tail_of_the_store_is_found() {
        let (_dir, data, disk, mut saved) = directory();
        saved.complete = [("g".into(), 3)].into();
        let expected = "group g: epoch 4 was complete when epoch 5 was closed, but the state store \
                        says 3";
        assert_eq!(damage(&data, disk.as_ref(), &saved), [expected]);
    }
}
