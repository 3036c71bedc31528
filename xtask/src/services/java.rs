//! The Java command lines of Kafka's programs.

use std::path::Path;
use std::process::Command;

use super::install::Installation;
use super::kafka::Purpose;

/// What is done about the class-data archive, which saves a second of every start.
///
/// It fits one JDK and one list of jars; with any other the JVM goes on without it and says nothing, so
/// passing it is always safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Archive {
    /// Use it if it is there.
    Use,
    /// Write it when the JVM ends.
    Write,
}

/// A broker with the properties in `properties`.
pub(super) fn broker(
    installation: &Installation,
    purpose: Purpose,
    archive: Archive,
    properties: &Path,
) -> Command {
    let mut command = java(installation);
    match purpose {
        // The first compiler alone halves the processor time of a broker that lives for seconds.
        Purpose::Test => {
            command.args(["-Xms32m", "-Xmx256m", "-Xss512k", "-XX:TieredStopAtLevel=1"]);
        }
        Purpose::Measure => {
            command.args(["-Xms256m", "-Xmx512m"]);
        }
    }
    let option = match archive {
        Archive::Use => "-XX:SharedArchiveFile",
        Archive::Write => "-XX:ArchiveClassesAtExit",
    };
    command.arg(format!("{option}={}", installation.archive().display()));
    class_path(&mut command, installation);
    command.arg("kafka.Kafka").arg(properties);
    command
}

/// The tool that writes the first two files of a data folder.
pub(super) fn format(installation: &Installation, cluster: &str, properties: &Path) -> Command {
    let mut command = java(installation);
    command.args(["-Xmx128m", "-XX:TieredStopAtLevel=1"]);
    class_path(&mut command, installation);
    command.args(["kafka.tools.StorageTool", "format", "-t", cluster, "-c"]).arg(properties);
    command
}

fn java(installation: &Installation) -> Command {
    let mut command = Command::new("java");
    command.arg("-XX:+UseSerialGC");
    let (property, file) = installation.log4j();
    command.arg(format!("-D{property}=file://{}", file.display()));
    command
}

/// The JVM itself expands `libs/*`: no shell is between us and it.
fn class_path(command: &mut Command, installation: &Installation) {
    command.arg("-cp").arg(installation.libs().join("*"));
}
