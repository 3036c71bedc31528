//! System packages the build and the test services need, and how a fresh Debian machine gets them.
//!
//! Each need is probed by what it gives (a program, a library known to `pkg-config`), never by the
//! package database: on another distribution the same probe holds and only the name of the package
//! differs. Nothing is installed unless we are root on a machine with `apt-get`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, anyhow, bail};

/// Something from outside the repository that has to be on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// How we see that it is there.
    pub probe: Probe,
    /// The Debian package that brings it.
    pub package: &'static str,
}

/// How to see that a [`Need`] is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// A program of this name is on the `PATH`.
    Program(&'static str),
    /// `pkg-config --exists` knows this library.
    Library(&'static str),
}

/// What the workspace needs to be built: librdkafka and jemalloc are compiled from source.
pub const BUILD: &[Need] = &[
    Need { probe: Probe::Program("cc"), package: "build-essential" },
    Need { probe: Probe::Program("c++"), package: "build-essential" },
    Need { probe: Probe::Program("make"), package: "build-essential" },
    Need { probe: Probe::Program("pkg-config"), package: "pkg-config" },
    Need { probe: Probe::Library("openssl"), package: "libssl-dev" },
    Need { probe: Probe::Library("zlib"), package: "zlib1g-dev" },
];

/// What the services of the tests need. Kafka 4 wants Java 17 or later: Debian 12's default is 17,
/// Debian 13's is 21, so the default is named and not a version that the next release drops.
pub const SERVICES: &[Need] = &[
    Need { probe: Probe::Program("java"), package: "default-jre-headless" },
    Need { probe: Probe::Program("mvn"), package: "maven" },
    Need { probe: Probe::Program("setpriv"), package: "util-linux" },
    Need { probe: Probe::Program("setsid"), package: "util-linux" },
];

/// The packages whose needs are not met, each once, in the order of `needs`.
pub fn missing(needs: &[Need]) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for need in needs {
        if !met(need.probe) && !packages.contains(&need.package) {
            packages.push(need.package);
        }
    }
    packages
}

/// Installs what `needs` misses, saying what it does; does nothing where nothing is missing.
///
/// # Errors
/// Something is missing and cannot be installed from here (not root, no `apt-get`): the message is the
/// command to type. Or `apt-get` failed.
pub fn install(needs: &[Need], progress: &dyn Fn(&str)) -> Result<()> {
    let packages = missing(needs);
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install -y --no-install-recommends {}", packages.join(" "));
    if !rustix::process::getuid().is_root() || find("apt-get").is_none() {
        bail!("system packages are missing; install them with: sudo {line}");
    }
    progress(&format!("packages: {line} (about a minute, once)"));
    apt(&["update", "-q"])?;
    let mut words = vec!["install", "-y", "-q", "--no-install-recommends"];
    words.extend(packages);
    apt(&words)?;
    match missing(needs) {
        left if left.is_empty() => Ok(()),
        left => bail!("apt-get succeeded, but these are still missing: {}", left.join(" ")),
    }
}

/// The error for a program that could not be started: names the package that brings it.
pub fn not_started(program: &str, error: std::io::Error) -> anyhow::Error {
    let package = BUILD
        .iter()
        .chain(SERVICES)
        .find(|need| matches!(need.probe, Probe::Program(name) if name == program))
        .map(|need| need.package);
    match package {
        Some(package) if error.kind() == std::io::ErrorKind::NotFound => anyhow!(
            "cannot find the program {program:?}: install the Debian package {package:?} \
             (`cargo xtask ci` does it when run as root)"
        ),
        _ => anyhow::Error::new(error).context(format!("could not start {program:?}")),
    }
}

/// Runs `apt-get` with its own output on the terminal.
fn apt(arguments: &[&str]) -> Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        // Without it, a package that asks a question waits for ever on a machine without a person.
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .status()
        .context("could not start apt-get")?;
    if !status.success() {
        bail!("apt-get {} failed: {status}", arguments.join(" "));
    }
    Ok(())
}

fn met(probe: Probe) -> bool {
    match probe {
        Probe::Program(name) => find(name).is_some(),
        Probe::Library(name) => Command::new("pkg-config")
            .args(["--exists", name])
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success()),
    }
}

/// The first folder of the `PATH` that has a file of this name.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named_once() {
        let needs = [
            Need { probe: Probe::Program("sh"), package: "dash" },
            Need { probe: Probe::Program("no-such-program-1"), package: "nowhere" },
            Need { probe: Probe::Program("no-such-program-2"), package: "nowhere" },
            Need { probe: Probe::Library("no-such-library"), package: "elsewhere" },
        ];
        assert_eq!(missing(&needs), ["nowhere", "elsewhere"]);
    }

    #[test]
    fn nothing_missing_runs_nothing() {
        let needs = [Need { probe: Probe::Program("sh"), package: "dash" }];
        install(&needs, &|line| panic!("nothing to do, but said {line:?}")).unwrap();
    }

    #[test]
    fn an_absent_program_names_its_package() {
        let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
        let text = not_started("mvn", absent).to_string();
        assert!(text.contains("\"maven\""), "{text}");
        let refused = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        assert_eq!(not_started("mvn", refused).to_string(), "could not start \"mvn\"");
    }
}
