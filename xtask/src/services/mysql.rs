//! A real MariaDB or MySQL in the hands of a test.
//!
//! ```no_run
//! use xtask::services::mysql::{Kind, Options, Server};
//!
//! # fn main() -> anyhow::Result<()> {
//! let shared = Server::shared(); // most tests: one MariaDB for the run, a database of their own
//! shared.sql("create database mine; create table mine.t(id int primary key)")?;
//!
//! let mut own = Server::start(Kind::MariaDb, &Options::default())?; // a test that kills it owns it
//! own.kill()?;
//! own.restart()?;
//!
//! if let Some(mysql) = Server::shared_mysql() { // `None` only where MySQL cannot be had
//!     mysql.sql("select version()")?;
//! }
//! # Ok(()) }
//! ```
//!
//! MariaDB comes from Debian stable and is never skipped. MySQL 9 comes from Debian unstable; where it
//! cannot be *fetched*, its tests are skipped with a warning on the terminal (services.md, rule 7). A
//! MySQL that was fetched and does not start is a failed test like any other.
//!
//! Facts to know: both write a row log with file `master.000001` first; a killed server comes back with
//! all it had committed; root has no password over the socket, which [`Server::sql`] uses.

mod fetch;
mod install;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use super::folder::Folder;
use super::ports::Port;
use super::process::{POLL, Process, tail};
use super::{READY_LIMIT, STOP_LIMIT, to_terminal};
pub use install::{Programs, install, installed_mysql};

/// The longest path of a socket (`sun_path` of unix(7) has 108 bytes, one for the NUL).
const SOCKET_BYTES_MAX: usize = 107;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MariaDB 10.11.
    MariaDb,
    /// MySQL 9.
    Mysql,
}

impl Kind {
    /// Its name, for folders and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::MariaDb => "mariadb",
            Kind::Mysql => "mysql",
        }
    }
}

/// How to start a server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Arguments on top of ours, which they override.
    pub arguments: Vec<String>,
}

impl Options {
    /// Adds an argument, such as `--binlog-row-metadata=FULL`.
    #[must_use]
    pub fn with(mut self, argument: &str) -> Options {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// One running (or killed) server with its own port and data; all of it goes when this is dropped.
#[derive(Debug)]
pub struct Server {
    // Fields are dropped in this order: the process before its data, the port last.
    process: Option<Process>,
    kind: Kind,
    programs: Programs,
    options: Options,
    folder: Folder,
    port: Port,
}

impl Server {
    /// Starts a server on a free port with an empty data folder and returns when it answers: about 2 s
    /// (MySQL 5 s) on a quiet machine, plus the installation the first time ever (told on the terminal).
    ///
    /// # Errors
    /// It could not be installed, ended by itself, or did not answer within [`READY_LIMIT`]; with the
    /// end of its log.
    pub fn start(kind: Kind, options: &Options) -> Result<Server> {
        let programs = match kind {
            Kind::MariaDb => install(&to_terminal)?,
            Kind::Mysql => installed_mysql(&to_terminal)?,
        };
        let folder = Folder::make(kind.name())?;
        let port = Port::take()?;
        let options = options.clone();
        let mut server = Server { process: None, kind, programs, options, folder, port };
        if server.socket().as_os_str().len() > SOCKET_BYTES_MAX {
            bail!("the path of the socket is too long: {}", server.socket().display());
        }
        server.initialise()?;
        server.restart()?;
        Ok(server)
    }

    /// The MariaDB all tests of a binary share, started by the first that asks; its log names no
    /// columns (`binlog_row_metadata=NO_LOG`, MariaDB's default). Use a database of your own. It cannot
    /// be killed through this; it dies with the process.
    ///
    /// # Panics
    /// If it could not be started, with the reason, in every test that asks.
    pub fn shared() -> &'static Server {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        let started = SHARED.get_or_init(|| {
            Server::start(Kind::MariaDb, &Options::default()).map_err(|error| format!("{error:#}"))
        });
        match started {
            Ok(server) => server,
            Err(reason) => panic!("could not start the shared MariaDB: {reason}"),
        }
    }

    /// The MySQL all tests of a binary share; `None`, with a warning on the terminal each time, where
    /// it cannot be fetched.
    ///
    /// # Panics
    /// If it was fetched and could not be started, with the reason.
    pub fn shared_mysql() -> Option<&'static Server> {
        static SHARED: OnceLock<Result<Server, String>> = OnceLock::new();
        if let Err(reason) = installed_mysql(&to_terminal) {
            to_terminal(&format!("WARNING: a MySQL test is SKIPPED: {reason:#}"));
            return None;
        }
        let started = SHARED.get_or_init(|| {
            Server::start(Kind::Mysql, &Options::default()).map_err(|error| format!("{error:#}"))
        });
        match started {
            Ok(server) => Some(server),
            Err(reason) => panic!("could not start the shared MySQL: {reason}"),
        }
    }

    /// Which of the two it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its TCP port on 127.0.0.1, the same over restarts.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The server's log file (errors and notes), over all its starts.
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Its data, for tests that damage them.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("s.sock")
    }

    /// Kills it with SIGKILL. Its data and port stay; a killed or stopped server stays as it is.
    ///
    /// # Errors
    /// The system refused.
    pub fn kill(&mut self) -> Result<()> {
        match self.process.take() {
            Some(mut process) => process.kill(),
            None => Ok(()),
        }
    }

    /// Stops it in order (SIGTERM, 1-3 s). Its data and port stay.
    ///
    /// # Errors
    /// It had to be killed after [`STOP_LIMIT`].
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.terminate(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Starts it again on the same data and port and returns when it answers; one that still runs is
    /// killed first.
    ///
    /// # Errors
    /// As [`start`](Server::start).
    pub fn restart(&mut self) -> Result<()> {
        self.kill()?;
        let mut process = Process::start(&self.command(), &self.log())?;
        self.wait_ready(&mut process)
            .with_context(|| format!("could not start {}", self.kind.name()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Arguments for the next [`restart`](Server::restart), instead of those it was started with.
    pub fn set_options(&mut self, options: Options) {
        self.options = options;
    }

    /// Runs statements as root, on one session, and gives what they print: columns between tabs, a
    /// line for each row, no names.
    ///
    /// # Errors
    /// A statement failed: the client's message, which names the line.
    pub fn sql(&self, statements: &str) -> Result<String> {
        let mut child = self
            .client()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("could not start the client")?;
        let mut input = child.stdin.take().expect("it was asked for");
        // From a thread of its own: the client may print much before it has read all.
        let statements = statements.to_owned();
        let writer = std::thread::spawn(move || input.write_all(statements.as_bytes()));
        let output = child.wait_with_output().context("could not wait for the client")?;
        // A client that stopped at an error closes its input.
        drop(writer.join());
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The text of `select version()`.
    ///
    /// # Errors
    /// It does not run.
    pub fn version(&self) -> Result<String> {
        Ok(self.sql("select version()")?.trim().to_owned())
    }

    fn wait_ready(&self, process: &mut Process) -> Result<()> {
        let started = Instant::now();
        let name = self.kind.name();
        while !self.sql("select 1").is_ok_and(|answer| answer.trim() == "1") {
            if let Some(status) = process.ended()? {
                bail!("{name} ended before it was ready ({status}); {}", tail(&self.log()));
            }
            if started.elapsed() > READY_LIMIT {
                bail!("{name} did not answer within {READY_LIMIT:?}; {}", tail(&self.log()));
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    fn initialise(&self) -> Result<()> {
        let log = self.folder.path().join("init.log");
        let mut process = Process::start(&self.programs.initialise(self.kind, &self.data()), &log)?;
        let started = Instant::now();
        loop {
            match process.ended()? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("could not initialise ({status}); {}", tail(&log)),
                None if started.elapsed() > 2 * READY_LIMIT => {
                    bail!("could not initialise in time; {}", tail(&log))
                }
                None => std::thread::sleep(POLL),
            }
        }
    }

    /// The recipe of services/mysql.md, sections 1 and 2.
    fn command(&self) -> Command {
        let mut command = self.programs.server(&self.data());
        let path = |name: &str, path: &Path| format!("--{name}={}", path.display());
        command
            .arg(format!("--port={}", self.port()))
            .arg("--bind-address=127.0.0.1")
            .arg(path("socket", &self.socket()))
            .arg(path("pid-file", &self.folder.path().join("pid")))
            .args(["--log-bin=master", "--default-time-zone=+00:00"])
            .args(["--character-set-server=utf8mb4", "--innodb-buffer-pool-size=64M"]);
        match self.kind {
            Kind::MariaDb => command.args([
                "--server-id=10",
                "--log-slave-updates",
                "--binlog-format=ROW",
                "--binlog-row-image=FULL",
                "--binlog-row-metadata=NO_LOG",
                "--innodb-log-file-size=8M",
            ]),
            Kind::Mysql => command.args([
                "--mysqlx=OFF",
                "--secure-file-priv=NULL",
                "--server-id=97",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--performance-schema=OFF",
            ]),
        };
        command.args(&self.options.arguments);
        command
    }

    fn client(&self) -> Command {
        let mut command = self.programs.client();
        command
            .args(["--no-defaults", "-uroot", "--default-character-set=utf8mb4"])
            .args(["--binary-mode", "--comments", "--skip-column-names", "--batch", "-S"])
            .arg(self.socket());
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::offline;

    /// What must hold of either.
    fn check(mut server: Server, version: &str) {
        let told = server.version().unwrap();
        assert!(told.contains(version), "{told}");
        assert!(told.starts_with(&server.programs.version().unwrap()), "{told}");
        let told = server.sql(
            "create database d; create table d.t(id int, v varchar(20)); \
            insert into d.t values (1, 'it''s'), (2, '中😀'); select v from d.t order by id",
        );
        assert_eq!(told.unwrap(), "it's\n中😀\n");
        let refused = server.sql("select 1;\nselect * from d.nothing").unwrap_err().to_string();
        assert!(refused.contains("line 2") && refused.contains("d.nothing"), "{refused}");
        let port = server.port();
        server.kill().unwrap();
        assert!(server.sql("select 1").is_err());
        server.restart().unwrap();
        assert_eq!(
            (server.sql("select count(*) from d.t").unwrap().trim(), server.port()),
            ("2", port)
        );
        server.stop().unwrap();
        let folder = server.log().parent().unwrap().to_owned();
        drop(server);
        assert!(!folder.exists());
    }

    #[test]
    fn a_mariadb_starts_is_killed_restarts_and_stops() {
        if !offline() {
            check(Server::start(Kind::MariaDb, &Options::default()).unwrap(), "MariaDB");
        }
    }

    #[test]
    fn a_mysql_starts_is_killed_restarts_and_stops() {
        if offline() || Server::shared_mysql().is_none() {
            return;
        }
        check(Server::start(Kind::Mysql, &Options::default()).unwrap(), "9.");
    }

    #[test]
    fn a_server_that_cannot_start_says_why() {
        if offline() {
            return;
        }
        let wrong = Options::default().with("--no-such-option=1");
        let text = format!("{:#}", Server::start(Kind::MariaDb, &wrong).unwrap_err());
        assert!(text.contains("ended before it was ready"), "{text}");
        assert!(text.contains("no-such-option"), "{text}");
    }
}
