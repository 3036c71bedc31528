//! The control socket: how other processes ask the one that runs on a data directory.
//!
//! `<data>/control.sock`, a Unix socket for the owner of the directory only. A client sends one JSON
//! object a line and gets one back:
//!
//! | request | answer |
//! |---|---|
//! | `{"request":"status"}` | `{"status":{…}}`, see [`Report`] |
//! | `{"request":"topics"}` | `{"topics":[…]}`: visible ends; records are then read from the files |
//! | `{"request":"stop"}` | `{"stop":"asked"}`; the process closes, completes and delivers, then ends |
//! | anything else | `{"error":"…"}` |
//!
//! Nothing here slows data: answers are made of what the engine has published anyway. A few threads
//! with small stacks serve; who comes while all are taken is told so.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context as _, bail};
use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::{TopicMarks, WriterGauges};
use engine::control::handle::Handle;
use engine::state::backend::StateBackend;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::config::nearest::hint;
use crate::data_dir::{DataDir, Seen};
use crate::status::{Report, TopicReport};

/// Connections served at a time.
const CONNECTIONS_MAX: usize = 4;
/// Longest request; ours are far shorter.
const REQUEST_BYTES_MAX: u64 = 4096;
/// A connection on which nothing comes for so long is closed: there are few of them.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Longest wait of a client for an answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a process may have its directory without answering.
const BIRTH: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);
/// The longest path of a socket, without the zero at its end (`sun_path`, unix(7)).
const PATH_BYTES_MAX: usize = 107;
const STACK_BYTES: usize = 256 * 1024;

/// What the socket may look at.
#[derive(Clone)]
pub(crate) struct Live {
    /// The engine.
    pub(crate) handle: Handle,
    /// Visible ends of embedded topics.
    pub(crate) topics: TopicMarks,
    /// What the writer says of itself.
    pub(crate) gauges: Arc<Mutex<WriterGauges>>,
    /// Its directory.
    pub(crate) dir: DataDir,
    /// Its state store, which is only read.
    pub(crate) backend: Arc<dyn StateBackend>,
}

impl Live {
    /// What the process is doing.
    pub(crate) fn report(&self) -> Report {
        let gauges = self.gauges.lock().expect("nothing panics under this lock").clone();
        Report::running(self.handle.status(), &gauges, self.topics())
            .with_dimensions(&self.dir, self.backend.as_ref())
    }

    fn topics(&self) -> Vec<TopicReport> {
        let marks = self.topics.all();
        marks.iter().map(|((name, number), mark)| TopicReport::new(name, *number, mark)).collect()
    }

    fn answer(&self, request: &str) -> Value {
        const REQUESTS: [&str; 3] = ["status", "topics", "stop"];
        let request: Value = match serde_json::from_str(request) {
            Ok(request) => request,
            Err(error) => return json!({ "error": format!("not JSON: {error}") }),
        };
        match request.get("request").and_then(Value::as_str) {
            Some("status") => json!({ "status": self.report() }),
            Some("topics") => json!({ "topics": self.topics() }),
            Some("stop") => match self.handle.stop() {
                Ok(()) => json!({ "stop": "asked" }),
                Err(busy) => json!({ "error": busy.to_string() }),
            },
            Some(other) => {
                let near = hint(other, REQUESTS);
                json!({ "error": format!("unknown request \"{other}\"{near}") })
            }
            None => json!({ "error": "expects {\"request\":\"status\"}, \"topics\" or \"stop\"" }),
        }
    }
}

/// Serves on a thread of its own for as long as the process lives. The caller MUST own the
/// directory: a socket that lies there is taken for a dead one's and replaced.
pub(crate) fn serve(dir: &DataDir, live: Live) -> io::Result<()> {
    let path = dir.socket();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = with_short_path(&path, |short| UnixListener::bind(short))?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let builder = thread::Builder::new().name("control socket".to_owned());
    builder.stack_size(STACK_BYTES).spawn(move || accept(&listener, &live))?;
    Ok(())
}

fn accept(listener: &UnixListener, live: &Live) {
    let open = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming().flatten() {
        if open.fetch_add(1, Ordering::SeqCst) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Ordering::SeqCst);
            // A client that is gone already needs no answer.
            drop(say(&stream, &json!({ "error": "busy: too many connections" })));
            continue;
        }
        let (live, slots) = (live.clone(), open.clone());
        let builder = thread::Builder::new().name("control client".to_owned());
        let body = move || {
            // However it ends, it concerns nobody but the client.
            drop(converse(&stream, &live));
            slots.fetch_sub(1, Ordering::SeqCst);
        };
        if builder.stack_size(STACK_BYTES).spawn(body).is_err() {
            open.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Answers line by line until the client leaves, is silent or talks too much.
fn converse(stream: &UnixStream, live: &Live) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = Vec::new();
        let read = reader.by_ref().take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            return say(stream, &json!({ "error": "a request is one line of at most 4 KiB" }));
        }
        say(stream, &live.answer(&String::from_utf8_lossy(&line)))?;
    }
}

fn say(mut stream: &UnixStream, answer: &Value) -> io::Result<()> {
    stream.write_all(format!("{answer}\n").as_bytes())
}

/// Who can tell about a directory.
pub(crate) enum Teller {
    /// The process that runs on it.
    Running(Connection),
    /// The directory itself, as it is while nobody owns it.
    Alone(Box<Seen>, Box<Saved>),
}

impl Teller {
    /// Finds out. A process that has the directory and no socket yet is given some time.
    pub(crate) fn find(dir: &DataDir) -> anyhow::Result<Self> {
        let begun = Instant::now();
        loop {
            if let Some(connection) = Connection::open(dir)? {
                return Ok(Self::Running(connection));
            }
            match dir.glance() {
                Err(_) if dir.is_owned() && begun.elapsed() < BIRTH => thread::sleep(PAUSE),
                Err(error) => return Err(error),
                Ok((seen, saved)) => return Ok(Self::Alone(Box::new(seen), Box::new(saved))),
            }
        }
    }
}

/// A conversation with the process that runs on a directory.
pub(crate) struct Connection {
    stream: BufReader<UnixStream>,
}

impl Connection {
    /// Reaches the running process; `None` if nobody listens there.
    pub(crate) fn open(dir: &DataDir) -> anyhow::Result<Option<Self>> {
        let stream = match with_short_path(&dir.socket(), |short| UnixStream::connect(short)) {
            Ok(stream) => stream,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                ) =>
            {
                return Ok(None);
            }
            Err(error) => {
                let path = dir.socket().display().to_string();
                return Err(error).with_context(|| format!("cannot connect to \"{path}\""));
            }
        };
        stream.set_read_timeout(Some(ANSWER_WAIT_MAX)).context("cannot use the control socket")?;
        Ok(Some(Self { stream: BufReader::new(stream) }))
    }

    /// What the process is doing.
    pub(crate) fn status(&mut self) -> anyhow::Result<Report> {
        self.ask("status")
    }

    /// Visible ends of its embedded topics.
    pub(crate) fn topics(&mut self) -> anyhow::Result<Vec<TopicReport>> {
        self.ask("topics")
    }

    /// Sends a request and takes what stands under its name in the answer.
    fn ask<T: DeserializeOwned>(&mut self, request: &str) -> anyhow::Result<T> {
        let line = format!("{}\n", json!({ "request": request }));
        let mut answer = String::new();
        self.stream
            .get_mut()
            .write_all(line.as_bytes())
            .and_then(|()| self.stream.read_line(&mut answer))
            .context("the running process does not answer")?;
        let mut answer: Value =
            serde_json::from_str(&answer).context("the running process hung up")?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("the running process answers: {error}");
        }
        let value = answer.get_mut(request).map(Value::take).unwrap_or_default();
        serde_json::from_value(value).context("the running process is of another version")
    }
}

/// Calls `body` with a path that a socket can have. A path that is too long is reached through the
/// descriptor of its directory, which has a short name in `/proc`.
fn with_short_path<T>(path: &Path, body: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    if path.as_os_str().len() <= PATH_BYTES_MAX {
        return body(path);
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return body(path);
    };
    let directory = fs::File::open(parent)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&directory);
    let short = PathBuf::from(format!("/proc/self/fd/{number}")).join(name);
    body(&short)
}

#[cfg(test)]
mod tests {
    use engine::checkpoint::disk::Disk;
    use engine::runtime::process::{Process, ProcessSettings};
    use engine::state::memory::MemoryBackend;
    use engine::testing::disk::SimDisk;

    use super::*;

    /// An engine that is assembled and not running.
    fn live() -> (Process, Live) {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
        let topics = TopicMarks::default();
        let settings = ProcessSettings::new(1, 5);
        let backend = Arc::new(MemoryBackend::new());
        let process = Process::open(&settings, disk, backend.clone(), topics.clone());
        let process = process.expect("assembled");
        let live = Live {
            handle: process.handle.clone(),
            topics,
            gauges: process.gauges.clone(),
            dir: DataDir::new("nowhere"),
            backend,
        };
        (process, live)
    }

    fn data(name: &str) -> (tempfile::TempDir, DataDir) {
        let dir = tempfile::tempdir().expect("a directory");
        let data = DataDir::new(dir.path().join(name));
        fs::create_dir_all(data.root()).expect("made");
        (dir, data)
    }

    #[test]
    fn a_client_learns_what_the_process_does() {
        let (_process, live) = live();
        // A name that makes the path longer than a socket may have.
        for name in ["short", &"long".repeat(30)] {
            let (_dir, data) = data(name);
            assert!(Connection::open(&data).expect("no error").is_none(), "nobody listens");
            serve(&data, live.clone()).expect("served");
            let mut client = Connection::open(&data).expect("no error").expect("somebody listens");
            let report = client.status().expect("answered");
            assert!(report.running);
            assert_eq!(report.pid, Some(std::process::id()));
            assert_eq!(client.topics().expect("answered"), []);
            let mode = fs::metadata(data.socket()).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            // A dead process leaves its socket behind; the next one takes its place.
            serve(&data, live.clone()).expect("served again");
        }
    }

    #[test]
    fn bad_requests_are_answered() {
        let (_process, live) = live();
        let cases = [
            ("{", "not JSON: "),
            ("{}", "expects "),
            ("{\"request\":\"statu\"}", "unknown request \"statu\"; did you mean \"status\"?"),
        ];
        for (request, expected) in cases {
            let answer = live.answer(request);
            let error = answer["error"].as_str().expect("an error");
            assert!(error.starts_with(expected), "{error}");
        }
        assert_eq!(live.answer("{\"request\":\"stop\"}"), json!({ "stop": "asked" }));
    }

    #[test]
    fn too_many_and_too_much_are_refused() {
        let (_process, live) = live();
        let (_dir, data) = data("d");
        serve(&data, live).expect("served");
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS_MAX {
            let mut client = Connection::open(&data).expect("no error").expect("listens");
            client.status().expect("answered");
            clients.push(client);
        }
        let mut surplus = Connection::open(&data).expect("no error").expect("listens");
        let error = surplus.status().expect_err("refused");
        assert!(format!("{error:#}").contains("busy") || format!("{error:#}").contains("answer"));

        let mut client = clients.pop().expect("there are four");
        let long = vec![b' '; 5000];
        client.stream.get_mut().write_all(&long).expect("sent");
        let mut answer = String::new();
        client.stream.read_line(&mut answer).expect("answered");
        assert!(answer.contains("one line"), "{answer}");
    }
}
