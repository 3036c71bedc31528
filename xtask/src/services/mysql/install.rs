//! Where the programs of MariaDB and MySQL are, and how they come there.
//!
//! ```text
//! MariaDB  $WATERSHED_MARIADBD, else the PATH, else installed by apt (as root), else unpacked into
//!          <cache>/mariadb/root
//! MySQL    $WATERSHED_MYSQL_TREE, else unpacked into <cache>/mysql/root
//! ```
//!
//! A tree is unpacked beside and renamed when it is whole. MySQL runs through the tree's own loader and
//! libraries: it is newer than the machine's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow, bail};

use super::super::cache;
use super::super::folder::lock;
use super::Kind;
use super::fetch::{self, Suite};
use crate::packages::{self, Need, Probe};

/// Names a `mariadbd` to use.
const MARIADBD_VARIABLE: &str = "WATERSHED_MARIADBD";
/// Names an unpacked tree of MySQL to use.
const TREE_VARIABLE: &str = "WATERSHED_MYSQL_TREE";

/// What Debian must bring where we may install it.
const NEEDS: &[Need] = &[
    Need { probe: Probe::Program("mariadbd"), package: "mariadb-server-core" },
    Need { probe: Probe::Program("mariadb"), package: "mariadb-client-core" },
];

/// What MariaDB needs where it is only unpacked: itself and the libraries a bare machine may lack.
const MARIADB_PACKAGES: &[&str] = &["mariadb-server-core", "mariadb-client-core"];
const MYSQL_PACKAGES: &[&str] = &["mysql-server-core", "mysql-client-core"];

/// The programs of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The tree they run from; `None`: they are the machine's own.
    tree: Option<PathBuf>,
    server: PathBuf,
    client: PathBuf,
    install_db: PathBuf,
}

/// Gives MariaDB's programs, bringing them first where need be: 8.5 MB to load, about 10 s.
///
/// # Errors
/// They are not there and cannot be brought: not root and no `apt-get`, or no network.
pub fn install(progress: &dyn Fn(&str)) -> Result<Programs> {
    if let Some(server) = std::env::var_os(MARIADBD_VARIABLE).filter(|path| !path.is_empty()) {
        let server = PathBuf::from(server);
        let beside = |name: &str| server.with_file_name(name);
        let (client, install_db) = (beside("mariadb"), beside("mariadb-install-db"));
        return Ok(Programs { tree: None, server, client, install_db });
    }
    if let Some(programs) = of_machine() {
        return Ok(programs);
    }
    let folder = folder("mariadb")?;
    let _turn = lock(&folder.join("lock"))?;
    if rustix::process::getuid().is_root() {
        packages::install(NEEDS, progress)?;
        return of_machine().context("MariaDB was installed, but its programs are not on the PATH");
    }
    let tree = folder.join("root");
    if !tree.exists() {
        progress("mariadb: packages of Debian, unpacked (once; 60 MB)");
        fetch::unpack(&folder, Suite::Own, MARIADB_PACKAGES)?;
    }
    Ok(of_tree(Kind::MariaDb, tree))
}

/// Gives MySQL's programs, fetching them first where need be: 66 MB to load, 20 to 35 s. What went
/// wrong is remembered: a run asks once.
///
/// # Errors
/// They cannot be fetched: no apt, no network, another distribution.
pub fn installed_mysql(progress: &dyn Fn(&str)) -> Result<Programs> {
    static OUTCOME: OnceLock<Result<Programs, String>> = OnceLock::new();
    let outcome = OUTCOME.get_or_init(|| mysql(progress).map_err(|error| format!("{error:#}")));
    outcome.clone().map_err(|reason| anyhow!(reason))
}

fn mysql(progress: &dyn Fn(&str)) -> Result<Programs> {
    if let Some(tree) = std::env::var_os(TREE_VARIABLE).filter(|path| !path.is_empty()) {
        return Ok(of_tree(Kind::Mysql, PathBuf::from(tree)));
    }
    let folder = folder("mysql")?;
    let _turn = lock(&folder.join("lock"))?;
    let tree = folder.join("root");
    if !tree.exists() {
        progress(
            "mysql: packages of Debian unstable, unpacked (once; 66 MB to load, half a minute)",
        );
        fetch::unpack(&folder, Suite::Unstable, MYSQL_PACKAGES)
            .context("MySQL cannot be fetched from Debian unstable")?;
    }
    Ok(of_tree(Kind::Mysql, tree))
}

/// `<cache>/<name>`, made if need be.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = cache().join(name);
    fs::create_dir_all(&folder)
        .and_then(|()| folder.canonicalize())
        .with_context(|| format!("could not make {}", folder.display()))
}

/// Programs of the machine. A person's PATH often has no `sbin`.
fn of_machine() -> Option<Programs> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.extend(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    let find = |name: &str| {
        folders.iter().map(|folder| folder.join(name)).find(|program| program.is_file())
    };
    Some(Programs {
        tree: None,
        server: find("mariadbd")?,
        client: find("mariadb")?,
        install_db: find("mariadb-install-db")?,
    })
}

fn of_tree(kind: Kind, tree: PathBuf) -> Programs {
    let (server, client) = match kind {
        Kind::MariaDb => ("usr/sbin/mariadbd", "usr/bin/mariadb"),
        Kind::Mysql => ("usr/sbin/mysqld", "usr/bin/mysql"),
    };
    Programs {
        server: tree.join(server),
        client: tree.join(client),
        install_db: tree.join("usr/bin/mariadb-install-db"),
        tree: Some(tree),
    }
}

impl Programs {
    /// What the server says of its version: `10.11.19-MariaDB-0+deb12u1`, `9.7.4-2`.
    ///
    /// # Errors
    /// It does not run.
    pub fn version(&self) -> Result<String> {
        let output = self.run(&self.server).args(["--no-defaults", "--version"]).output();
        let output = output.with_context(|| format!("could not run {}", self.server.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut words = text.split_whitespace().skip_while(|word| *word != "Ver").skip(1);
        Ok(words.next().with_context(|| format!("no version in {text:?}"))?.to_owned())
    }

    /// The server on these data, up to where the caller's own arguments begin.
    pub(super) fn server(&self, data: &Path) -> Command {
        let mut command = self.run(&self.server);
        self.common(&mut command, data);
        if let Some(tree) = &self.tree {
            for (name, path) in [
                ("lc-messages-dir", "usr/share/mysql"),
                ("character-sets-dir", "usr/share/mysql/charsets"),
            ] {
                command.arg(format!("--{name}={}", tree.join(path).display()));
            }
        }
        command
    }

    /// The command-line client, without arguments.
    pub(super) fn client(&self) -> Command {
        self.run(&self.client)
    }

    /// What fills an empty data folder.
    pub(super) fn initialise(&self, kind: Kind, data: &Path) -> Command {
        if kind == Kind::Mysql {
            let mut command = self.server(data);
            command.arg("--initialize-insecure");
            return command;
        }
        // A shell script, which starts the server itself: by no loader of ours.
        let mut command = match &self.tree {
            None => Command::new(&self.install_db),
            Some(tree) => {
                let mut command = Command::new("env");
                command.arg(format!("LD_LIBRARY_PATH={}", libraries(tree))).arg(&self.install_db);
                command
            }
        };
        self.common(&mut command, data);
        command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        command
    }

    fn common(&self, command: &mut Command, data: &Path) {
        command.arg("--no-defaults");
        if rustix::process::getuid().is_root() {
            // Both refuse to run as root unless told to.
            command.arg("--user=root");
        }
        if let Some(tree) = &self.tree {
            command.arg(format!("--basedir={}", tree.join("usr").display()));
        }
        command.arg(format!("--datadir={}", data.display()));
    }

    /// A program of the tree runs through the tree's loader, with the tree's libraries.
    fn run(&self, program: &Path) -> Command {
        let Some((tree, loader)) = self.tree.as_ref().and_then(|tree| Some((tree, loader(tree)?)))
        else {
            return Command::new(program);
        };
        let mut command = Command::new(loader);
        command.arg("--library-path").arg(libraries(tree)).arg(program);
        command
    }
}

/// The dynamic loader of a tree that has a C library of its own.
fn loader(tree: &Path) -> Option<PathBuf> {
    let folders = ["usr/lib64", "usr/lib"].map(|folder| tree.join(folder));
    let files = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let mut loaders: Vec<PathBuf> = files
        .filter(|file| file.file_name().to_string_lossy().starts_with("ld-linux-"))
        .map(|file| file.path())
        .collect();
    loaders.sort();
    loaders.into_iter().next()
}

/// The folders of libraries of a tree, between colons.
fn libraries(tree: &Path) -> String {
    let mut folders: Vec<String> = ["usr/lib", "lib"]
        .iter()
        .filter_map(|folder| fs::read_dir(tree.join(folder)).ok())
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with("-linux-gnu"))
        .map(|entry| entry.path().display().to_string())
        .collect();
    folders.sort();
    folders.join(":")
}

/// Says that a tree has what it is for, before it takes its name.
pub(super) fn check(tree: &Path, packages: &[&str]) -> Result<()> {
    let kind = if packages == MYSQL_PACKAGES { Kind::Mysql } else { Kind::MariaDb };
    let server = of_tree(kind, tree.to_owned()).server;
    if !server.is_file() {
        bail!("the packages of {} have no {}", kind.name(), server.display());
    }
    Ok(())
}
