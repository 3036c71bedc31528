//! Kafka's jars through Maven, once, and what is made from them.
//!
//! ```text
//! <cache>/kafka-4.3.1.lock            held while one process installs; the others wait
//! <cache>/kafka-4.3.1/stamp           written last, a copy of pom.xml: only then is the folder whole
//!                     pom.xml  log4j2.properties (before 4.0: log4j.properties)
//!                     libs/           the jars, 44 MB
//!                     formatted/      the two files of an empty data folder
//!                     kafka.jsa       class-data archive: a broker starts in 1 s instead of 2 s
//!                     maven.log  format.log
//! ```
//!
//! An installation that was broken off has no stamp and begins again from an empty folder.

use std::fs::{self, File, TryLockError};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use super::java::{self, Archive};
use super::kafka::Purpose;
use super::node::{self, Node};
use super::ports::Port;
use super::process::{Process, tail};
use super::version::Version;
use super::{STOP_LIMIT, cache, ready};
use crate::packages;

const POM: &str = include_str!("../../services/kafka/pom.xml");
const LOG4J_2: &str = include_str!("../../services/kafka/log4j2.properties");
const LOG4J_1: &str = include_str!("../../services/kafka/log4j.properties");

/// Group, name and version of what binds the interface that Kafka logs by to the library it logs with.
const BINDING_2: [&str; 3] = ["org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"];
/// The same before 4.0, as Kafka ships it itself.
const BINDING_1: [&str; 3] = ["org.slf4j", "slf4j-reload4j", "1.7.36"];

/// Any base64 UUID: every test broker is a cluster of its own and meets no other.
const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// A whole installation of Kafka in the cache.
#[derive(Clone, Debug)]
pub struct Installation {
    folder: PathBuf,
    version: Version,
}

impl Installation {
    /// The folder of jars.
    pub fn libs(&self) -> PathBuf {
        self.folder.join("libs")
    }

    /// The class-data archive; the file need not be there.
    pub fn archive(&self) -> PathBuf {
        self.folder.join("kafka.jsa")
    }

    /// The property by which Java's logging finds its settings, and their file.
    pub(super) fn log4j(&self) -> (&'static str, PathBuf) {
        let (property, file) = match self.version.is_before_4() {
            true => ("log4j.configuration", "log4j.properties"),
            false => ("log4j2.configurationFile", "log4j2.properties"),
        };
        (property, self.folder.join(file))
    }

    pub(super) fn formatted(&self) -> PathBuf {
        self.folder.join("formatted")
    }

    fn stamp(&self) -> PathBuf {
        self.folder.join("stamp")
    }

    fn is_whole(&self) -> bool {
        fs::read_to_string(self.stamp()).is_ok_and(|stamp| stamp == self.pom())
    }

    /// The committed pom with its places filled.
    fn pom(&self) -> String {
        let [group, name, version] = if self.version.is_before_4() { BINDING_1 } else { BINDING_2 };
        POM.replace("@KAFKA@", &self.version.to_string())
            .replace("@BINDING_GROUP@", group)
            .replace("@BINDING@", name)
            .replace("@BINDING_VERSION@", version)
    }

    /// The jar that must be there when Maven says it succeeded.
    fn main_jar(&self) -> PathBuf {
        self.libs().join(format!("kafka_2.13-{}.jar", self.version))
    }
}

/// Gives the installation of `version` in [`cache`], making it first where need be: about 10 s and 44 MB of jars (70
/// MB with Maven's own) on a quick line. Safe to call from many processes at once: one works, the others
/// wait.
///
/// # Errors
/// `mvn` or `java` is missing (the message names the Debian package), the network is, or the disk is
/// full; with the end of the log of the step that failed.
pub fn install(version: &Version, progress: &dyn Fn(&str)) -> Result<Installation> {
    fs::create_dir_all(cache()).with_context(|| format!("could not make {}", cache().display()))?;
    // Absolute and without "..": the JVM wants the archive and the log settings by such a path.
    let cache = cache().canonicalize().context("could not resolve the folder of services")?;
    let name = format!("kafka-{version}");
    let installation = Installation { folder: cache.join(&name), version: version.clone() };
    if installation.is_whole() {
        return Ok(installation);
    }
    let _turn = turn(&cache.join(format!("{name}.lock")), progress)?;
    // The one we waited for may have done it.
    if !installation.is_whole() {
        make(&installation, progress)?;
    }
    Ok(installation)
}

/// Waits for the lock, saying so if it is not free.
fn turn(path: &Path, progress: &dyn Fn(&str)) -> Result<File> {
    let file = File::create(path).with_context(|| format!("could not make {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => {
            progress("kafka: waiting for another process to install it")
        }
        Err(TryLockError::Error(error)) => {
            return Err(error).with_context(|| format!("could not lock {}", path.display()));
        }
    }
    file.lock().with_context(|| format!("could not lock {}", path.display()))?;
    Ok(file)
}

fn make(installation: &Installation, progress: &dyn Fn(&str)) -> Result<()> {
    if installation.folder.exists() {
        fs::remove_dir_all(&installation.folder)
            .with_context(|| format!("could not remove {}", installation.folder.display()))?;
    }
    fs::create_dir_all(&installation.folder)
        .with_context(|| format!("could not make {}", installation.folder.display()))?;
    node::write(&installation.folder.join("pom.xml"), &installation.pom())?;
    let log4j = if installation.version.is_before_4() { LOG4J_1 } else { LOG4J_2 };
    node::write(&installation.log4j().1, log4j)?;
    download(installation, progress)?;
    format(installation)?;
    archive(installation, progress)?;
    node::write(&installation.stamp(), &installation.pom())
}

/// Lets Maven copy the jars of the pom into `libs/`.
fn download(installation: &Installation, progress: &dyn Fn(&str)) -> Result<()> {
    let started = Instant::now();
    progress(&format!(
        "kafka: jars of {} through Maven (44 MB, once; seconds on a quick line) into {}",
        installation.version,
        installation.folder.display()
    ));
    let log = installation.folder.join("maven.log");
    let ok = run_maven(installation, &log, progress)?;
    let (count, bytes) = size(&installation.libs());
    if !ok || !installation.main_jar().exists() {
        bail!("Maven could not bring Kafka's jars; {}", tail(&log));
    }
    let megabytes = bytes / 1_000_000;
    let seconds = started.elapsed().as_secs_f32();
    progress(&format!("kafka: {count} jars, {megabytes} MB, in {seconds:.1} s"));
    Ok(())
}

/// Runs Maven, keeps all it says in `log`, and passes on the larger downloads. Whether it succeeded.
fn run_maven(installation: &Installation, log: &Path, progress: &dyn Fn(&str)) -> Result<bool> {
    let mut file =
        File::create(log).with_context(|| format!("could not make {}", log.display()))?;
    let errors = file.try_clone().context("could not share Maven's log")?;
    let mut maven = Command::new("mvn")
        .args(["-B", "-Dstyle.color=never", "dependency:copy-dependencies"])
        .current_dir(&installation.folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| packages::not_started("mvn", error))?;
    let output = maven.stdout.take().expect("its output was asked for");
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("could not read what Maven says")?;
        file.write_all(&line).and_then(|()| file.write_all(b"\n")).context("could not log")?;
        if let Some(download) = download_of(&String::from_utf8_lossy(&line)) {
            progress(&format!("kafka: downloaded {download}"));
        }
    }
    Ok(maven.wait().context("could not wait for Maven")?.success())
}

/// "kafka-clients-4.3.1.jar (10 MB at 24 MB/s)" of Maven's line about it; only of a jar above 1 MB, or
/// the terminal would fill with hundreds of small files.
fn download_of(line: &str) -> Option<&str> {
    let address = line.split_once("Downloaded from ")?.1;
    let path = address.split_once(" (")?.0;
    let shown = address.get(path.rfind('/')? + 1..)?.trim_end();
    (path.ends_with(".jar") && shown.contains(" MB at ")).then_some(shown)
}

/// How many files a folder holds and their bytes.
fn size(folder: &Path) -> (usize, u64) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes: Vec<u64> = files.filter_map(|file| Some(file.metadata().ok()?.len())).collect();
    (sizes.len(), sizes.iter().sum())
}

/// Makes the two files that every data folder begins with.
fn format(installation: &Installation) -> Result<()> {
    let properties = installation.folder.join("format.properties");
    // The ports are only checked for their form.
    node::write(&properties, &node::properties(1, 2, &installation.formatted(), &[]))?;
    let log = installation.folder.join("format.log");
    let file = File::create(&log).with_context(|| format!("could not make {}", log.display()))?;
    let errors = file.try_clone().context("could not share the log of the format")?;
    let status = java::format(installation, CLUSTER, &properties)
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(errors)
        .status()
        .map_err(|error| packages::not_started("java", error))?;
    if !status.success() {
        bail!("could not format a data folder ({status}); {}", tail(&log));
    }
    Ok(())
}

/// Starts a broker once and lets it write the class-data archive as it stops. Brokers start without it
/// too, so a JVM that cannot make one is told of and forgiven.
fn archive(installation: &Installation, progress: &dyn Fn(&str)) -> Result<()> {
    progress("kafka: first start, to archive its classes (some 5 s, once)");
    let folder = Folder::make("archive")?;
    let ports = [Port::take()?, Port::take()?];
    let numbers = [ports[0].number(), ports[1].number()];
    let node = Node::prepare(folder.path(), numbers, &[], installation)?;
    let command = java::broker(installation, Purpose::Test, Archive::Write, &node.properties());
    let mut process = Process::start(&command, &node.log())?;
    ready::wait(node.client_port(), 1, &node.log(), || {
        Ok(process.ended()?.map(|status| status.to_string()))
    })?;
    process.terminate(STOP_LIMIT)?;
    if !installation.archive().exists() {
        progress("kafka: this JVM made no class-data archive; brokers start a second later");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_large_jars_are_told() {
        let line =
            |rest: &str| format!("[INFO] Downloaded from central: x://host/maven2/a/b/{rest}");
        assert_eq!(
            download_of(&line("kafka-clients-4.3.1.jar (10 MB at 24 MB/s)")),
            Some("kafka-clients-4.3.1.jar (10 MB at 24 MB/s)")
        );
        assert_eq!(download_of(&line("slf4j-api-1.7.36.jar (41 kB at 1.2 MB/s)")), None);
        assert_eq!(download_of(&line("maven-parent-40.pom (1.1 MB at 2.6 MB/s)")), None);
        assert_eq!(download_of("[INFO] Downloading from central: x://host/a.jar"), None);
        assert_eq!(download_of("[INFO] BUILD SUCCESS"), None);
    }
}
