//! Folders for a service's data that vanish with the process that owns them.
//!
//! A guard that removes its folder when dropped is not enough: a killed test drops nothing, and
//! neither do statics at the end of a process (the shared broker is one). So every folder holds a file
//! that its owner keeps locked, and whoever makes the next folder first removes those nobody owns.
//!
//! Misuse: writing into such a folder after its [`Folder`] is gone; it may be swept at any moment.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

/// The name of the file that the owner keeps locked.
const OWNER: &str = "owner.lock";

/// A folder of our own under the system's folder of temporary files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _owner: File,
}

impl Folder {
    /// Makes an empty folder, and removes those whose owners are dead.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn make(name: &str) -> Result<Folder> {
        let base = std::env::temp_dir()
            .join(format!("watershed-services-{}", rustix::process::getuid().as_raw()));
        Folder::make_in(&base, name)
    }

    fn make_in(base: &Path, name: &str) -> Result<Folder> {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(base).with_context(|| format!("could not make {}", base.display()))?;
        // Held while we sweep and make: a folder without a locked owner is then always a dead one.
        let turn = lock(&base.join("turn.lock"))?;
        sweep(base)?;
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let path = base.join(format!("{name}-{}-{call}", std::process::id()));
        fs::create_dir(&path).with_context(|| format!("could not make {}", path.display()))?;
        let owner = lock(&path.join(OWNER))?;
        drop(turn);
        Ok(Folder { path, _owner: owner })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // After a failed test somebody will want to read the log: the next sweep takes the folder.
        if !std::thread::panicking() {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

/// Makes `path` if need be and waits for its lock, which lasts as long as the file is open.
pub(super) fn lock(path: &Path) -> Result<File> {
    let file = File::create(path).with_context(|| format!("could not make {}", path.display()))?;
    file.lock().with_context(|| format!("could not lock {}", path.display()))?;
    Ok(file)
}

/// Removes the folders in `base` whose owner is gone. What resists is left to the next sweep: its
/// service may still be dying.
fn sweep(base: &Path) -> Result<()> {
    for entry in fs::read_dir(base).with_context(|| format!("could not list {}", base.display()))? {
        let path = entry?.path();
        if path.is_dir() && !owned(&path) {
            drop(fs::remove_dir_all(&path));
        }
    }
    Ok(())
}

fn owned(folder: &Path) -> bool {
    File::open(folder.join(OWNER)).is_ok_and(|owner| owner.try_lock().is_err())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base of this test alone, itself a folder that vanishes.
    fn base(name: &str) -> Folder {
        Folder::make(name).unwrap()
    }

    #[test]
    fn a_dropped_folder_is_gone() {
        let base = base("dropped");
        let folder = Folder::make_in(base.path(), "a").unwrap();
        let path = folder.path().to_owned();
        fs::write(path.join("data"), "x").unwrap();
        drop(folder);
        assert!(!path.exists());
    }

    #[test]
    fn the_next_one_removes_what_a_killed_owner_left_and_nothing_else() {
        let base = base("killed");
        let living = Folder::make_in(base.path(), "living").unwrap();
        let left = base.path().join("left");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(OWNER), "").unwrap();
        let half_made = base.path().join("half-made");
        fs::create_dir(&half_made).unwrap();

        let next = Folder::make_in(base.path(), "next").unwrap();
        assert!(!left.exists(), "nobody holds its lock");
        assert!(!half_made.exists(), "its maker died before it could lock");
        assert!(living.path().exists() && next.path().exists());
    }
}
