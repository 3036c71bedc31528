//! An initialised data folder, made once for each version of a server and copied for every start.
//!
//! Initialising takes MySQL 3 s of both cores (MariaDB 1 s), copying a tenth of that. The copy of MySQL
//! has no `auto.cnf`: a server without one gives itself a new `server_uuid`.
//!
//! ```text
//! <cache>/<kind>/data-<version>/    whole: it is named last
//! <cache>/<kind>/init.log           what the last initialisation said
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::super::READY_LIMIT;
use super::super::folder::lock;
use super::super::process::{POLL, Process, tail};
use super::Kind;
use super::install::{Programs, folder};

/// Fills `data`, which must not exist.
pub(super) fn copy(programs: &Programs, kind: Kind, data: &Path) -> Result<()> {
    let template = template(programs, kind)?;
    let status =
        Command::new("cp").args(["-a", "--reflink=auto"]).arg(&template).arg(data).status();
    let status = status.context("could not start cp")?;
    if !status.success() {
        bail!("could not copy {} to {}: cp gave {status}", template.display(), data.display());
    }
    Ok(())
}

/// The template, made if need be.
fn template(programs: &Programs, kind: Kind) -> Result<PathBuf> {
    let folder = folder(kind.name())?;
    let name = format!("data-{}", programs.version()?.replace(['/', ' '], "_"));
    let template = folder.join(name);
    let _turn = lock(&folder.join("data.lock"))?;
    if !template.exists() {
        let half = folder.join("half-data");
        if half.exists() {
            fs::remove_dir_all(&half).context("could not remove half-made data")?;
        }
        make(programs, kind, &folder, &half)?;
        fs::rename(&half, &template).context("could not name the initialised data")?;
    }
    Ok(template)
}

fn make(programs: &Programs, kind: Kind, folder: &Path, data: &Path) -> Result<()> {
    let (log, temporary) = (folder.join("init.log"), folder.join("tmp"));
    fs::create_dir_all(&temporary)
        .with_context(|| format!("could not make {}", temporary.display()))?;
    let mut process = Process::start(&programs.initialise(kind, data, &temporary), &log)?;
    let started = Instant::now();
    loop {
        match process.ended()? {
            Some(status) if status.success() => break,
            Some(status) => bail!("could not initialise ({status}); {}", tail(&log)),
            // Seen to take 22 s on a machine with a load of 50.
            None if started.elapsed() > 2 * READY_LIMIT => {
                bail!("could not initialise in time; {}", tail(&log))
            }
            None => std::thread::sleep(POLL),
        }
    }
    if kind == Kind::Mysql {
        fs::remove_file(data.join("auto.cnf")).context("could not remove auto.cnf")?;
    }
    Ok(())
}
