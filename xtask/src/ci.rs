//! The README's test command: every gate and every test, with a line per stage and a summary.
//!
//! All stages run even if an earlier one fails, so that one run tells everything. What cargo prints goes
//! to the terminal as it is; we only add lines beginning with `==`.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use xtask::packages::{self, BUILD, SERVICES};
use xtask::services::install::install;
use xtask::services::version::Version;
use xtask::services::{OFFLINE_VARIABLE, mysql, to_terminal};

/// What a stage does; the flag is `offline`.
type Work = fn(bool) -> Result<()>;

/// The stages in the order in which they run.
const STAGES: &[(&str, Work)] = &[
    ("packages", packages_stage),
    ("services", services_stage),
    ("fmt", |_| cargo(&["fmt", "--all", "--check"], &[])),
    ("clippy", |_| cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[])),
    ("test", test_stage),
];

/// How a stage went.
struct Outcome {
    name: &'static str,
    took: Duration,
    failed: bool,
}

/// Runs all stages; whether all went well.
pub(crate) fn run(offline: bool) -> bool {
    let outcomes: Vec<Outcome> =
        STAGES.iter().map(|(name, work)| stage(name, *work, offline)).collect();
    println!("== summary");
    for outcome in &outcomes {
        let word = if outcome.failed { "FAILED" } else { "ok" };
        println!("   {:<9} {word:<7} {:>7.1} s", outcome.name, outcome.took.as_secs_f32());
    }
    let good = outcomes.iter().all(|outcome| !outcome.failed);
    let servers = if offline { String::new() } else { servers() };
    println!("{}", last_line(good, offline, &servers));
    good
}

fn stage(name: &'static str, work: Work, offline: bool) -> Outcome {
    println!("== {name}");
    let started = Instant::now();
    let result = work(offline);
    let took = started.elapsed();
    match &result {
        Ok(()) => println!("== {name} ok, {:.1} s", took.as_secs_f32()),
        Err(error) => println!("== {name} FAILED, {:.1} s: {error:#}", took.as_secs_f32()),
    }
    Outcome { name, took, failed: result.is_err() }
}

fn last_line(good: bool, offline: bool, servers: &str) -> String {
    let verdict = if good { "ci: all good" } else { "ci: FAILED" };
    let left_out =
        if offline { "; offline: tests against real services (level 7) were left out" } else { "" };
    format!("{verdict}{left_out}{servers}")
}

/// Which database servers the tests had. MySQL is the one service that may be missing (its distribution
/// moves), and then every run says so.
fn servers() -> String {
    let version = |programs: &mysql::Programs| {
        programs.version().unwrap_or_else(|error| format!("no version ({error:#})"))
    };
    let mariadb = match mysql::install(&to_terminal) {
        Ok(programs) => version(&programs),
        Err(_told_before) => "none".to_owned(),
    };
    let mysql = match mysql::installed_mysql(&to_terminal) {
        Ok(programs) => version(&programs),
        Err(_told_before) => "SKIPPED, only MariaDB was tested".to_owned(),
    };
    format!("; MariaDB: {mariadb}; MySQL: {mysql}")
}

/// Brings the system packages that are missing.
fn packages_stage(offline: bool) -> Result<()> {
    packages::install(BUILD, &to_terminal)?;
    if !offline {
        packages::install(SERVICES, &to_terminal)?;
    }
    Ok(())
}

/// Downloads the services before the tests, where nobody would see why it takes so long.
fn services_stage(offline: bool) -> Result<()> {
    if offline {
        println!("   left out: offline");
        return Ok(());
    }
    for version in [Version::of_tests(), Version::older()] {
        let installation = install(&version, &to_terminal)?;
        println!("   kafka: {}", installation.libs().display());
    }
    println!("   mariadb: {}", mysql::install(&to_terminal)?.version()?);
    match mysql::installed_mysql(&to_terminal) {
        Ok(programs) => println!("   mysql: {}", programs.version()?),
        Err(reason) => println!("   WARNING: MySQL tests will be SKIPPED: {reason:#}"),
    }
    Ok(())
}

fn test_stage(offline: bool) -> Result<()> {
    let variables: &[(&str, &str)] = if offline { &[(OFFLINE_VARIABLE, "1")] } else { &[] };
    cargo(&["test", "--workspace", "--no-fail-fast"], variables)
}

/// Runs cargo in the root of the repository, its output on our terminal.
fn cargo(arguments: &[&str], variables: &[(&str, &str)]) -> Result<()> {
    println!("   cargo {}", arguments.join(" "));
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(program)
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .context("could not start cargo")?;
    if !status.success() {
        bail!("cargo {} gave {status}", arguments.first().copied().unwrap_or_default());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_was_left_out() {
        assert_eq!(last_line(true, false, ""), "ci: all good");
        assert!(last_line(true, true, "").contains("left out"));
        assert!(last_line(false, true, "").starts_with("ci: FAILED"));
        assert_eq!(last_line(true, false, "; MySQL: SKIPPED"), "ci: all good; MySQL: SKIPPED");
    }

    #[test]
    fn a_failed_stage_is_told_apart() {
        assert!(stage("bad", |_| bail!("no"), false).failed);
        assert!(!stage("good", |_| Ok(()), false).failed);
    }
}
