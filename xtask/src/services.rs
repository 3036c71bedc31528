//! Real services for tests, and the rules all of them keep.
//!
//! 1. Nothing but the repository and the package registries is needed; versions are pinned.
//! 2. Downloads happen once, into [`cache`], and are said aloud; a second run needs no network.
//! 3. Ports are picked free ([`ports`]) and on loopback; two runs on one machine never meet.
//! 4. Ready means that a real request was answered, within [`READY_LIMIT`]; there are no fixed waits.
//! 5. A service dies with the process that started it ([`process`]), however that process ends, and its
//!    data goes too ([`folder`]).
//! 6. What cannot be started is an error with the end of the service's own log in it, never a skip.
//!
//! The one exception to 5 is [`detached`]: `cargo xtask services up`, for people.
//!
//! Misuse: a test that starts a service and forgets to ask [`offline`] fails under
//! `cargo xtask ci --offline`, as it should: it must decide.

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

pub mod cluster;
pub mod detached;
pub mod folder;
pub mod install;
mod java;
pub mod kafka;
pub mod mysql;
mod node;
pub mod ports;
pub mod process;
mod ready;
pub mod version;

/// How long a service may take until it answers. Start times of 1-2 s were seen to grow beyond 60 s where a
/// dozen others wanted the same processor.
pub const READY_LIMIT: Duration = Duration::from_secs(180);

/// How long a service may take to stop by itself before it is killed.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// The environment variable that names the folder of downloads.
pub const CACHE_VARIABLE: &str = "WATERSHED_SERVICES";

/// The environment variable that asks tests to leave services alone.
pub const OFFLINE_VARIABLE: &str = "WATERSHED_OFFLINE";

/// The folder that keeps downloads and what is made from them: `$WATERSHED_SERVICES`, else `.services`
/// in the repository, which git ignores.
pub fn cache() -> PathBuf {
    match std::env::var_os(CACHE_VARIABLE) {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.services")),
    }
}

/// Whether this test run was asked to do without services (`cargo xtask ci --offline`). A test that
/// needs one returns early then, and `ci` says in its last line that this level was left out.
pub fn offline() -> bool {
    std::env::var_os(OFFLINE_VARIABLE).is_some_and(|value| value == "1")
}

/// Writes a line to the terminal, also from inside a test.
///
/// The test harness keeps back what the print macros write until the test fails, but a download of a
/// minute must be seen while it runs: so this goes to standard error itself.
pub fn to_terminal(line: &str) {
    // A closed standard error must not fail a test: there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{line}"));
}
