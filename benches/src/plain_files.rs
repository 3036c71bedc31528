//! Where a floor writes: plain files, through a buffer, on the disk once a second and at the end.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::pair::Content;

const BUFFER_BYTES: usize = 256 * 1024;
/// As the job's epochs.
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// The clock is looked at once for so many records.
const LOOK_EVERY: u64 = 1024;

/// One file for each topic or table.
pub(crate) struct PlainFiles {
    files: Vec<BufWriter<File>>,
    synced: Instant,
    written: Content,
}

impl PlainFiles {
    /// Files in `dir`.
    pub(crate) fn create(dir: &Path, count: usize) -> Result<Self> {
        let file = |index| -> Result<_> {
            let file = File::create(dir.join(format!("floor-{index}")))?;
            Ok(BufWriter::with_capacity(BUFFER_BYTES, file))
        };
        let files = (0..count).map(file).collect::<Result<_>>()?;
        Ok(Self { files, synced: Instant::now(), written: Content::default() })
    }

    /// Appends a record.
    pub(crate) fn push(&mut self, index: usize, key: &[u8], value: &[u8]) -> Result<()> {
        let file = self.files.get_mut(index).context("a file of ours")?;
        file.write_all(key)?;
        file.write_all(value)?;
        self.written.records += 1;
        self.written.bytes += (key.len() + value.len()) as u64;
        if self.written.records.is_multiple_of(LOOK_EVERY) && self.synced.elapsed() > SYNC_EVERY {
            self.sync()?;
        }
        Ok(())
    }

    /// Puts all on the disk; answers what was written.
    pub(crate) fn finish(mut self) -> Result<Content> {
        self.sync()?;
        Ok(self.written)
    }

    fn sync(&mut self) -> Result<()> {
        for file in &mut self.files {
            file.flush()?;
            file.get_ref().sync_data()?;
        }
        self.synced = Instant::now();
        Ok(())
    }
}
