//! Configuration: a job file, the environment and the flags, in two steps.
//!
//! ```text
//!  file ─ document ─> raw (as typed; unknown keys refused) ─ judge ─> checked (in range, derived)
//!            environment ──┘                          flags ────────────┘
//! ```
//!
//! Settings say what the warehouse is; flags say how the process runs. Whoever adds a setting adds
//! one documented line in [`raw`] and one line in [`checked`].

pub(crate) mod checked;
mod document;
pub(crate) mod duration;
pub(crate) mod fault;
mod later;
pub(crate) mod nearest;
pub(crate) mod raw;
mod secret;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use self::checked::{Checked, Overrides};
use self::fault::{ConfigError, ConfigFault, Place};

/// What runs where no file is named.
pub(crate) const PRESET: &str = include_str!("../config/default.toml");
/// What messages call the preset.
const PRESET_NAME: &str = "the embedded preset";

/// Variables that say where the sources and targets of a job file are.
const PLACES: [&str; 3] = ["WATERSHED__SOURCE__", "WATERSHED__TOPICS__", "WATERSHED__STORE__"];

fn environment() -> BTreeMap<String, String> {
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    std::env::vars_os().filter_map(text).collect()
}

/// The preset as commands see it that take no job file: variables that are meant for one do not count.
pub(crate) fn preset(overrides: &Overrides) -> anyhow::Result<Checked> {
    let mut environment = environment();
    environment.retain(|name, _| !PLACES.iter().any(|place| name.starts_with(place)));
    Ok(Checked::read(PRESET_NAME, PRESET, &environment, overrides)?)
}

/// Reads and checks the job file at `path`, or the embedded preset.
pub(crate) fn load(path: Option<&Path>, overrides: &Overrides) -> anyhow::Result<Checked> {
    let environment = environment();
    let Some(path) = path else {
        return Ok(Checked::read(PRESET_NAME, PRESET, &environment, overrides)?);
    };
    let name = path.display().to_string();
    let text = read_text(path, &name)?;
    Ok(Checked::read(&name, &text, &environment, overrides)?)
}

/// A job file that is not there or not ours to read. Exit code 2, as for what is wrong in it.
#[derive(Debug)]
pub(crate) struct Unreadable {
    name: String,
    source: std::io::Error,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot read job file \"{}\"", self.name)
    }
}

impl std::error::Error for Unreadable {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// The text of a job file; what cannot be read is a fault of the configuration.
fn read_text(path: &Path, name: &str) -> anyhow::Result<String> {
    let bytes = std::fs::read(path).map_err(|source| Unreadable { name: name.into(), source })?;
    String::from_utf8(bytes).map_err(|error| {
        let good = error.utf8_error().valid_up_to();
        let newlines = error.as_bytes().iter().take(good).filter(|byte| **byte == b'\n').count();
        let place = Place::Line(name.into(), newlines + 1);
        let message = "not TOML: not UTF-8".to_owned();
        ConfigError { faults: vec![ConfigFault { place, message }] }.into()
    })
}
