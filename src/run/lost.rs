//! A data directory that has lost its state: refused, unless told to start again and able to.
//!
//! Topics and tables that outlived the state belong to a family that is gone; going on beside them
//! would double rows. They are put aside under another name, never removed.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use engine::error::Fatal;
use engine::error::exit::CONFIGURATION;

use crate::config::checked::{Checked, SourcePlace};
use crate::data_dir::{DataDir, now_ms};

/// Refuses a directory with leftovers and no state, or puts these aside.
pub(super) fn check(checked: &Checked, dir: &DataDir, from_start: bool) -> Result<()> {
    let leftovers: Vec<PathBuf> =
        [dir.topics(), dir.dws(), dir.dim()].into_iter().filter(|path| path.is_dir()).collect();
    if dir.has_state() || leftovers.is_empty() {
        return Ok(());
    }
    let root = dir.root().display();
    let embedded = checked.sources_read().into_iter().find_map(|(_, place)| match place {
        SourcePlace::Embedded { topic, .. } => Some(topic),
        SourcePlace::Kafka { .. } | SourcePlace::File { .. } | SourcePlace::Mysql(_) => None,
    });
    if let Some(topic) = embedded {
        return refuse(format!(
            "cannot start in \"{root}\": its state is lost, and with it the embedded topic \
             \"{topic}\", which cannot be read again; restore the directory from a backup"
        ));
    }
    if !from_start {
        return refuse(format!(
            "cannot start in \"{root}\": its state is lost, but topics or tables are there; \
             restore the directory from a backup, or read all sources from the beginning with \
             --from-start"
        ));
    }
    for path in leftovers {
        let mut aside = path.clone().into_os_string();
        aside.push(format!(".lost-{}", now_ms()));
        fs::rename(&path, &aside)
            .with_context(|| format!("cannot put \"{}\" aside", path.display()))?;
    }
    Ok(())
}

fn refuse(message: String) -> Result<()> {
    Err(Fatal::new(CONFIGURATION, message).into())
}
