//! The recorded files of a folder: which are there, and how many records each holds.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use jobs::Job;
use jobs::dim::dimensions::TABLE_PROCESS;
use jobs::dwd::log_split::ODS_LOG;
use jobs::dwd::route::TABLE_PROCESS_DWD;
use jobs::ods::ods_db;

/// A recorded source.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    /// Name of the source; its file is `<name>.jsonl`.
    pub(crate) name: &'static str,
    /// The job that counts its records.
    pub(crate) job: Job,
    pub(crate) path: PathBuf,
    /// Records in it.
    pub(crate) lines: u64,
}

/// Sources that can be recorded, and the jobs that count them.
const SOURCES: [(&str, Job); 4] = [
    (ODS_LOG, Job::LogSplit),
    (ods_db::NAME, Job::OdsDb),
    (TABLE_PROCESS, Job::Dimensions),
    (TABLE_PROCESS_DWD, Job::DwdRoute),
];

/// The recorded files of `input`.
pub(crate) fn find(input: &Path) -> Result<Vec<Recorded>> {
    let mut found = Vec::new();
    for (name, job) in SOURCES {
        let path = input.join(format!("{name}.jsonl"));
        if path.is_file() {
            let lines = count_lines(&path)?;
            found.push(Recorded { name, job, path, lines });
        }
    }
    if found.is_empty() {
        let names = SOURCES.map(|(name, _)| format!("{name}.jsonl")).join(", ");
        bail!("cannot replay {}: it has none of {names} (one message per line)", input.display());
    }
    Ok(found)
}

/// The jobs that have something to read.
pub(crate) fn jobs(recorded: &[Recorded]) -> Vec<Job> {
    let has = |name: &str| recorded.iter().any(|source| source.name == name);
    let shop = has(ods_db::NAME) || has(TABLE_PROCESS);
    let wanted = |job: &Job| match job {
        Job::OdsDb => shop || has(TABLE_PROCESS_DWD),
        Job::Dimensions => shop,
        Job::DwdRoute => has(TABLE_PROCESS_DWD),
        _ => has(ODS_LOG),
    };
    Job::ALL.into_iter().filter(wanted).collect()
}

fn count_lines(path: &Path) -> Result<u64> {
    let mut file =
        File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    let (mut buffer, mut lines, mut last) = (vec![0; 1 << 20], 0, b'\n');
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        last = bytes[bytes.len() - 1];
    }
    Ok(lines + u64::from(last != b'\n'))
}
