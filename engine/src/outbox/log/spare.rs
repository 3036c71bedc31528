//! A file that nobody needs any more, laid by to be written over.
//!
//! Its blocks on the disk, and mostly its pages in memory, are there already: writing over them takes a
//! third of the processor time, and a sync waits for no journal of the file system. What the file held
//! stands behind what is written. Its numbers are all lower, so it never passes for something new;
//! whoever begins the next file MUST cut it off first, because readers go to the end of a file that is
//! followed by another.

use super::{LogError, file};
use crate::checkpoint::disk::{AppendFile, Disk};

/// The file that is laid by, if there is one; it is no part of the log.
#[derive(Default)]
pub(super) struct Spare {
    /// Its length.
    bytes: Option<u64>,
}

/// A file to be written over, and how long it is.
type Taken = (Box<dyn AppendFile>, u64);

impl Spare {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_none()
    }

    /// Lays by the file `base`, of so many bytes, and makes that durable.
    pub(super) fn lay_by(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        base: u64,
        bytes: u64,
    ) -> Result<(), LogError> {
        let path = file::path(dir, base);
        disk.rename(&path, &spare_path(dir)).map_err(LogError::io("rename", &path))?;
        disk.sync_dir(dir).map_err(LogError::io("sync", dir))?;
        self.bytes = Some(bytes);
        Ok(())
    }

    /// The file, if there is one, under the name `path`, which is not durable yet.
    pub(super) fn take(
        &mut self,
        disk: &dyn Disk,
        dir: &str,
        path: &str,
    ) -> Result<Option<Taken>, LogError> {
        let Some(bytes) = self.bytes.take() else { return Ok(None) };
        disk.rename(&spare_path(dir), path).map_err(LogError::io("create", path))?;
        let file = disk.overwrite(path).map_err(LogError::io("create", path))?;
        Ok(Some((file, bytes)))
    }
}

/// Removes what another process laid by.
pub(super) fn forget(disk: &dyn Disk, dir: &str) -> Result<(), LogError> {
    let path = spare_path(dir);
    disk.remove(&path).map_err(LogError::io("remove", &path))
}

fn spare_path(dir: &str) -> String {
    format!("{dir}/spare")
}
