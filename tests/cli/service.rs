//! A process under its supervisor: killed, stopped, started again, refused.

use super::*;

/// A supervised engine on an embedded job file.
struct Service {
    dir: TempDir,
    supervisor: Child,
}

/// Longest wait for anything here; it takes a fraction of it even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

impl Service {
    fn start(settings: &str) -> Self {
        let dir = folder();
        fs::write(dir.path().join("jobs.toml"), settings).expect("written");
        let supervisor = Self::launch(&dir);
        Self { dir, supervisor }
    }

    fn launch(dir: &TempDir) -> Child {
        let mut command = watershed(dir.path(), &["run", "jobs.toml", "--workers", "1"]);
        command.stderr(Stdio::piped()).spawn().expect("the binary starts")
    }

    /// Asks until the running engine is in this generation and has completed an epoch of it.
    fn until_generation(&self, generation: u64) -> Value {
        let begun = Instant::now();
        loop {
            let output = ended(self.dir.path(), &["status", "--json"]);
            let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let epochs = status["groups"][0]["complete"].as_u64().unwrap_or(0);
            let running = status["running"] == true && status["generation"] == generation;
            if running && epochs > 0 && status["groups"][0]["closed"] != 0 {
                return status;
            }
            assert!(begun.elapsed() < PATIENCE, "{}{status}", text(&output.stderr));
        }
    }

    fn signal(pid: u64, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("not zero");
        kill_process(pid, signal).expect("it lives");
    }

    fn signal_supervisor(&self, signal: Signal) {
        Self::signal(self.supervisor.id().into(), signal);
    }

    /// The supervisor's end: code and what it said.
    fn end(mut self) -> (Option<i32>, String, TempDir) {
        let mut said = String::new();
        let stream = self.supervisor.stderr.as_mut().expect("piped");
        stream.read_to_string(&mut said).expect("text");
        (self.supervisor.wait().expect("it ends").code(), said, self.dir)
    }
}

/// The engine's process id.
fn pid_of(status: &Value) -> u64 {
    status["pid"].as_u64().expect("it runs")
}

#[test]
fn a_killed_engine_is_started_again_and_stops_as_asked() {
    let service = Service::start("");
    for generation in 1..4 {
        let status = service.until_generation(generation);
        assert_ne!(pid_of(&status), u64::from(service.supervisor.id()));
        Service::signal(pid_of(&status), Signal::KILL);
    }
    service.until_generation(4);
    service.signal_supervisor(Signal::TERM);
    let (code, said, dir) = service.end();
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said.matches("was ended by signal 9").count(), 3, "{said}");
    assert!(said.contains("signal 9; starting it again\n"), "{said}");
    assert!(said.contains("starting it again in 2s"), "{said}");
    let (out, _) = expect(dir.path(), &["status"], 0);
    assert!(out.starts_with("not running; the last generation was 4"), "{out}");
    let (out, _) = expect(dir.path(), &["verify"], 0);
    assert!(!out.contains("DAMAGED"), "{out}");
}

/// A service holds space back for the record of a stop on a full disk; a replay leaves none behind.
/// Some file systems cannot, and then the engine says so.
#[test]
fn space_is_held_back() {
    let service = Service::start("");
    service.until_generation(1);
    service.signal_supervisor(Signal::TERM);
    let (_, said, dir) = service.end();
    let held = !said.contains("its file system cannot hold space back");
    let (out, _) = expect(dir.path(), &["verify"], 0);
    assert_eq!(out.contains("good     reserve: 64.0 MiB held back\n"), held, "{out}{said}");
    let (out, _) = expect(dir.path(), &["inspect", "--json"], 0);
    let inventory: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(inventory["bytes"]["reserve"], if held { 64 << 20 } else { 0 });
    replayed(dir.path());
    let (out, _) = expect(dir.path(), &["verify", "out/.watershed"], 0);
    assert!(out.contains("good     reserve: none\n"), "{out}");
}

#[test]
fn the_engine_dies_with_its_supervisor() {
    let mut service = Service::start("");
    let engine = pid_of(&service.until_generation(1));
    service.signal_supervisor(Signal::KILL);
    service.supervisor.wait().expect("it ends");
    let begun = Instant::now();
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{engine}/stat")).unwrap_or_default();
        // Whoever adopts it may leave it a zombie.
        let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
        state.is_some_and(|state| state != "Z")
    };
    while alive() {
        assert!(begun.elapsed() < PATIENCE, "the engine outlives its supervisor");
    }
    service.supervisor = Service::launch(&service.dir);
    service.until_generation(2);
    service.signal_supervisor(Signal::INT);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn a_directory_has_one_engine() {
    let service = Service::start("");
    let engine = pid_of(&service.until_generation(1));
    let (_, error) = expect(service.dir.path(), &["run", "jobs.toml"], 76);
    assert!(error.contains(&format!("held by pid {engine}, watershed run, started ")), "{error}");
    assert!(!error.contains("supervisor"), "it is not tried again: {error}");
    let (_, error) = expect(service.dir.path(), &["verify"], 76);
    assert!(error.contains(&format!("held by pid {engine}")), "{error}");
    service.signal_supervisor(Signal::TERM);
    assert_eq!(service.end().0, Some(0));
}

#[test]
fn the_supervisor_gives_up() {
    let service = Service::start("[engine]\nrestart.max = 2\n");
    for generation in [1, 2] {
        Service::signal(pid_of(&service.until_generation(generation)), Signal::KILL);
    }
    let (code, said, _) = service.end();
    assert_eq!(code, Some(75), "{said}");
    assert!(said.contains("giving up after 2 failures in 10m"), "{said}");
}

/// A bad file is told by the supervisor, before anything is made; an operator that lost its state
/// is told by the engine. Neither is tried again.
#[test]
fn a_bad_configuration_is_not_tried_again() {
    let dir = folder();
    fs::write(dir.path().join("bad.toml"), "[watershed]\nworkers = 0\n").expect("written");
    let (_, error) = expect(dir.path(), &["run", "bad.toml"], 2);
    assert_eq!(error, "bad.toml:2: watershed.workers = 0 is out of range: 1 to 1024\n");
    assert!(!dir.path().join("watershed-data").exists());

    let alone = "[[job]]\nname = \"unique_visitor\"\n";
    let service = Service::start(&format!("{alone}[[job]]\nname = \"log_split\"\n"));
    service.until_generation(1);
    service.signal_supervisor(Signal::TERM);
    let (code, _, dir) = service.end();
    assert_eq!(code, Some(0));
    // Without log_split beside it, it would read its topic by a source it never had.
    fs::write(dir.path().join("jobs.toml"), alone).expect("written");
    let (_, error) = expect(dir.path(), &["run", "jobs.toml"], 2);
    assert!(error.contains("cannot submit job \"unique_visitor\""), "{error}");
    assert!(error.contains("--new-state unique_visitor.page"), "{error}");
    assert!(!error.contains("supervisor"), "{error}");
}

#[test]
fn a_lost_state_is_refused() {
    let service = Service::start("");
    service.until_generation(1);
    service.signal_supervisor(Signal::TERM);
    let (_, _, dir) = service.end();
    let data = dir.path().join("watershed-data");
    fs::remove_dir_all(data.join("state")).expect("removed");
    let (_, error) = expect(dir.path(), &["run", "jobs.toml", "--from-start"], 2);
    assert!(
        error.contains("the embedded topic \"ods_log\", which cannot be read again"),
        "{error}"
    );

    let kafka = "[source.ods_log]\nconnector = \"kafka\"\n\
                 properties.bootstrap.servers = \"127.0.0.1:1\"\n";
    fs::write(dir.path().join("jobs.toml"), kafka).expect("written");
    let (_, error) = expect(dir.path(), &["run", "jobs.toml"], 2);
    assert!(error.contains("--from-start"), "{error}");
    assert!(data.join("store/dws").exists());

    // One embedded source that is read is enough to lose something.
    let shop = format!("{kafka}[source.ods_db]\nconnector = \"embedded\"\n");
    fs::write(dir.path().join("jobs.toml"), shop).expect("written");
    let (_, error) = expect(dir.path(), &["run", "jobs.toml", "--from-start"], 2);
    assert!(error.contains("the embedded topic \"ods_db\", which cannot"), "{error}");
    let only_logs = format!("{kafka}[source.ods_db]\n[[job]]\nname = \"log_split\"\n");
    fs::write(dir.path().join("jobs.toml"), only_logs).expect("written");
    let (_, error) = expect(dir.path(), &["run", "jobs.toml"], 2);
    assert!(error.contains("with --from-start"), "{error}");
}

/// Dimension tables are put aside like the others, and made anew from sources that can be read again.
#[test]
fn a_lost_state_is_read_again_from_files() {
    let dir = folder();
    shop_of_files(dir.path(), "");
    expect(dir.path(), &["run", "jobs.toml"], 0);
    let data = dir.path().join("watershed-data");
    fs::remove_dir_all(data.join("state")).expect("removed");
    expect(dir.path(), &["run", "jobs.toml"], 2);
    expect(dir.path(), &["run", "jobs.toml", "--from-start"], 0);
    let names = fs::read_dir(data.join("store")).expect("there").flatten();
    let aside = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("dim.lost-");
    assert!(names.map(|entry| entry.file_name()).any(|name| aside(&name)));
    let (out, _) = expect(dir.path(), &["inspect", "--table", "dim_sku_info"], 0);
    assert_eq!(rows(&out), golden_rows("dim_sku_info"));
}

/// With one source that never ends beside the files, the process goes on.
#[test]
fn a_source_without_end_keeps_the_process() {
    let dir = folder();
    shop_of_files(dir.path(), "[[job]]\nname = \"log_split\"\n");
    let service = Service { supervisor: Service::launch(&dir), dir };
    let begun = Instant::now();
    loop {
        let status = service.until_generation(1);
        if status["dimensions"]["config_applied"]["r"] == 15 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{status}");
    }
    service.signal_supervisor(Signal::TERM);
    assert_eq!(service.end().0, Some(0));
}
