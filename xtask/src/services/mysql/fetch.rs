//! Debian packages unpacked into a folder, without touching the machine's own package state.
//!
//! An apt root of our own: its own lists, status and archives, the machine's mirror and the machine's
//! Debian keys. Signatures are checked as always; only the "valid until" date of the index is not, since
//! a mirror may carry an old one of unstable.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::super::process::tail;
use super::install::check;

/// The keys Debian signs its indexes with.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Which of Debian's releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suite {
    /// That of this machine.
    Own,
    /// Unstable.
    Unstable,
}

/// Loads packages with all they depend on and unpacks them to `<folder>/root`, where they appear at
/// once and whole.
pub(super) fn unpack(folder: &Path, suite: Suite, packages: &[&str]) -> Result<()> {
    let apt = folder.join("apt");
    let log = folder.join("fetch.log");
    let source = source(suite)?;
    let options = prepare(&apt, &source)?;
    run(Command::new("apt-get").args(&options).arg("update"), &log)?;
    let mut words = vec!["install", "-y", "--download-only"];
    words.extend(packages);
    run(Command::new("apt-get").args(&options).args(words), &log)?;
    let half = folder.join("half");
    if half.exists() {
        fs::remove_dir_all(&half).context("could not remove a half-unpacked tree")?;
    }
    for package in archives(&apt)? {
        run(Command::new("dpkg-deb").arg("-x").arg(package).arg(&half), &log)?;
    }
    check(&half, packages)?;
    fs::rename(&half, folder.join("root")).context("could not name the unpacked tree")?;
    fs::remove_dir_all(&apt).context("could not remove the loaded packages")
}

/// A line of `sources.list` for the machine's mirror.
fn source(suite: Suite) -> Result<String> {
    let (mirror, own) = mirror().context("cannot find a Debian mirror in the sources of apt")?;
    let suite = match suite {
        Suite::Own => own.as_str(),
        Suite::Unstable => "sid",
    };
    if !Path::new(KEYRING).exists() {
        bail!("{KEYRING} is missing: packages could not be checked");
    }
    Ok(format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"))
}

/// Address and suite of the first source of the machine.
fn mirror() -> Option<(String, String)> {
    let mut files: Vec<PathBuf> = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sources"))
        .collect();
    files.sort();
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    let modern = texts.filter_map(|text| of_stanza(&text)).next();
    modern.or_else(|| of_lines(&fs::read_to_string("/etc/apt/sources.list").ok()?))
}

/// The deb822 form: `URIs:` and `Suites:`, of which the first words count.
fn of_stanza(text: &str) -> Option<(String, String)> {
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name));
        Some(value?.split_whitespace().next()?.to_owned())
    };
    Some((field("URIs:")?, field("Suites:")?))
}

/// The one-line form: `deb [options] address suite component...`.
fn of_lines(text: &str) -> Option<(String, String)> {
    text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        (words.next()? == "deb").then_some(())?;
        let mut rest = words.skip_while(|word| !word.contains("://"));
        Some((rest.next()?.to_owned(), rest.next()?.to_owned()))
    })
}

/// Makes an apt root and gives the options that lead there.
fn prepare(apt: &Path, source: &str) -> Result<Vec<String>> {
    for folder in [
        "etc/apt/apt.conf.d",
        "etc/apt/preferences.d",
        "etc/apt/trusted.gpg.d",
        "var/lib/apt/lists/partial",
        "var/lib/dpkg",
        "var/cache/apt/archives/partial",
    ] {
        let folder = apt.join(folder);
        fs::create_dir_all(&folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
    }
    fs::write(apt.join("var/lib/dpkg/status"), "").context("could not write a package status")?;
    fs::write(apt.join("etc/apt/sources.list"), source).context("could not write sources")?;
    let mut options = vec![
        format!("Dir={}", apt.display()),
        format!("Dir::State::status={}", apt.join("var/lib/dpkg/status").display()),
        "Acquire::Check-Valid-Until=false".to_owned(),
        "APT::Install-Recommends=false".to_owned(),
    ];
    if rustix::process::getuid().is_root() {
        // Its own user could not write into our folder.
        options.push("APT::Sandbox::User=root".to_owned());
    }
    Ok(options.into_iter().flat_map(|option| ["-o".to_owned(), option]).collect())
}

fn archives(apt: &Path) -> Result<Vec<PathBuf>> {
    let folder = apt.join("var/cache/apt/archives");
    let files =
        fs::read_dir(&folder).with_context(|| format!("could not list {}", folder.display()))?;
    let mut packages: Vec<PathBuf> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .collect();
    packages.sort();
    Ok(packages)
}

/// Runs a command with its output at the end of `log`.
fn run(command: &mut Command, log: &Path) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let file = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("could not open {}", log.display()))?;
    let errors = file.try_clone().context("could not share a log")?;
    let status = command.stdin(Stdio::null()).stdout(file).stderr(errors).status();
    let status = status.with_context(|| format!("could not start {program:?}"))?;
    if !status.success() {
        bail!("{program} gave {status}; {}", tail(log));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_is_read_from_either_form() {
        let expected = Some(("http://host/debian".to_owned(), "bookworm".to_owned()));
        let stanza = "Types: deb\n# a comment\nURIs: http://host/debian\n\
                      Suites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(of_stanza(stanza), expected);
        let lines = "# deb x://no y main\ndeb-src http://host/debian bookworm main\n\
                     deb [arch=amd64 signed-by=/k] http://host/debian bookworm main\n";
        assert_eq!(of_lines(lines), expected);
        assert_eq!(of_lines("deb cdrom main"), None);
        assert_eq!(of_stanza("Types: deb\n"), None);
    }
}
