//! One broker on disk: its folder, its ports, its properties.
//!
//! ```text
//! <folder>/server.properties   the template with ports and folder filled in, own settings at the end
//! <folder>/data/               meta.properties and bootstrap.checkpoint are copied in once
//! <folder>/log                 what the broker says, over all its starts
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::install::Installation;

/// The committed properties with their places to fill.
const TEMPLATE: &str = include_str!("../../services/kafka/server.properties");

/// A prepared folder and the ports its broker will use.
#[derive(Clone, Debug)]
pub(super) struct Node {
    folder: PathBuf,
    client_port: u16,
}

impl Node {
    /// Writes the properties and, into a folder without data, the two files that make it formatted:
    /// copying them spares the JVM that the storage tool would take.
    pub(super) fn prepare(
        folder: &Path,
        [client_port, controller_port]: [u16; 2],
        extra: &[(String, String)],
        installation: &Installation,
    ) -> Result<Node> {
        let node = Node { folder: folder.to_owned(), client_port };
        let text = properties(client_port, controller_port, &node.data(), extra);
        write(&node.properties(), &text)?;
        if !node.data().exists() {
            fs::create_dir_all(node.data())
                .with_context(|| format!("could not make {}", node.data().display()))?;
            for file in ["meta.properties", "bootstrap.checkpoint"] {
                fs::copy(installation.formatted().join(file), node.data().join(file))
                    .with_context(|| format!("could not copy {file}"))?;
            }
        }
        Ok(node)
    }

    /// Makes it the member `id` of a cluster, from 1. All members have the cluster's id in common and
    /// differ in that of their directory.
    pub(super) fn join(&self, id: usize) -> Result<()> {
        let text = format!(
            "version=1\ncluster.id=4L6g3nShT-eMCtK--X86sw\nnode.id={id}\n\
             directory.id=AAAAAAAAAAAAAAAAAAAA{id}A\n"
        );
        write(&self.data().join("meta.properties"), &text)
    }

    pub(super) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.client_port)
    }

    pub(super) fn client_port(&self) -> u16 {
        self.client_port
    }

    pub(super) fn properties(&self) -> PathBuf {
        self.folder.join("server.properties")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

/// The template with its places filled; of a key that stands twice Java takes the last.
pub(super) fn properties(
    client_port: u16,
    controller_port: u16,
    data: &Path,
    extra: &[(String, String)],
) -> String {
    let mut text = TEMPLATE
        .replace("@CLIENT@", &client_port.to_string())
        .replace("@CONTROLLER@", &controller_port.to_string())
        .replace("@DATA@", &data.display().to_string());
    for (key, value) in extra {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_filled_and_own_settings_come_last() {
        let extra = [("num.partitions".to_owned(), "4".to_owned())];
        let text = properties(20_000, 20_001, Path::new("/tmp/x"), &extra);
        let settings: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(
            settings.iter().all(|line| !line.contains("@C") && !line.contains("@D")),
            "{settings:?}"
        );
        assert!(settings.contains(&"advertised.listeners=PLAINTEXT://127.0.0.1:20000"));
        assert!(settings.contains(&"controller.quorum.voters=1@127.0.0.1:20001"));
        assert!(settings.contains(&"log.dirs=/tmp/x"));
        assert_eq!(settings.last(), Some(&"num.partitions=4"));
    }
}
