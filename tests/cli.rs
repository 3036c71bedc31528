//! The real binary, driven as a person or a script drives it: what it says, and how it ends.

#[path = "cli/service.rs"]
mod service;

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// The binary, in an environment without settings of ours.
fn watershed(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watershed"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WATERSHED__") {
            command.env_remove(name);
        }
    }
    command.current_dir(dir).args(args);
    command
}

fn ended(dir: &Path, args: &[&str]) -> Output {
    watershed(dir, args).output().expect("the binary starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs to the end, expects this code, and gives standard output and error.
fn expect(dir: &Path, args: &[&str], code: i32) -> (String, String) {
    let output = ended(dir, args);
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}\n{error}");
    (out, error)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn check_says_what_would_run_or_everything_that_is_wrong() {
    let dir = folder();
    let (out, _) = expect(dir.path(), &["check"], 0);
    assert!(out.starts_with("the embedded preset is good\n"), "{out}");
    assert!(out.contains("  table_process embedded topic \"table_process\", from "), "{out}");
    assert!(out.contains("jobs          ods_db\n                dimensions\n"), "{out}");

    let file = "[swtch]\n[switch]\nlog_split.shap = \"flat\"\nuser_jump.within = \"1x\"\n";
    fs::write(dir.path().join("jobs.toml"), file).expect("written");
    let (out, error) = expect(dir.path(), &["check", "jobs.toml"], 2);
    assert_eq!(out, "");
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "jobs.toml:1: unknown section [swtch]; did you mean [switch]?",
            "jobs.toml:3: unknown key \"log_split.shap\" in [switch]; did you mean \
             \"log_split.shape\"?",
            "jobs.toml:4: switch.user_jump.within = \"1x\": expects a duration: a whole number and \
             one of ms, s, m, h, d, such as \"10s\"",
        ]
    );
}

#[test]
fn the_environment_overrides_the_file() {
    let dir = folder();
    let mut command = watershed(dir.path(), &["check"]);
    command.env("WATERSHED__SWITCH__USER_JUMP__WITHIN", "7s");
    command.env("WATERSHED__WATERSHED__WORKERS", "3");
    let out = text(&command.output().expect("the binary starts").stdout);
    assert!(out.contains("within 7s"), "{out}");
    assert!(out.contains("workers       3"), "{out}");
    let (out, _) = expect(dir.path(), &["check", "--data", "elsewhere"], 0);
    assert!(out.contains("data          elsewhere"), "{out}");
}

/// A table as source: where it leads is said, its password never, and nothing is connected to.
#[test]
fn a_config_table_is_explained_without_its_password() {
    let dir = folder();
    let file = "[source.ods_db]\nconnector = \"kafka\"\n\
                properties.bootstrap.servers = \"127.0.0.1:1\"\n[source.table_process]\n\
                connector = \"mysql\"\nhostname = \"127.0.0.1\"\nport = 1\nusername = \"reader\"\n\
                password = \"${SECRET}\"\n[switch]\ndim.schema = \"REALTIME\"\n";
    fs::write(dir.path().join("jobs.toml"), file).expect("written");
    let told = |command: &str| {
        let mut command = watershed(dir.path(), &[command, "jobs.toml"]);
        let output = command.env("SECRET", "hush").output().expect("the binary starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert!(!text(&output.stdout).contains("hush"), "{}", text(&output.stdout));
        text(&output.stdout)
    };
    let (check, explain) = (told("check"), told("explain"));
    for part in [
        "  ods_log       embedded topic \"ods_log\", from the earliest record\n",
        "  ods_db        kafka topic \"ods_db\" at 127.0.0.1:1, from the earliest record\n",
        "  table_process mysql table gmall_config.table_process at 127.0.0.1:1 as reader\n",
        "  dimensions    database gmall2022, schema REALTIME, deletes delete the row, back-fill on",
    ] {
        assert!(check.contains(part), "{part}\n{check}");
    }
    for part in [
        "source kafka topic \"ods_db\" at 127.0.0.1:1 ",
        "source mysql table \"gmall_config.table_process\" at 127.0.0.1:1 ",
        "sink embedded dimension tables",
    ] {
        assert!(explain.contains(part), "{part}\n{explain}");
    }
    let (_, error) = expect(dir.path(), &["check", "jobs.toml"], 2);
    let expected = "jobs.toml:9: source.table_process.password: environment variable SECRET is not \
                    set\n";
    assert_eq!(error, expected);
}

/// Code 2 for everything that somebody has to correct on the command line or in a file.
#[test]
fn wrong_usage_ends_with_code_2() {
    let dir = folder();
    let cases: &[(&[&str], &str)] = &[
        (&["chek"], "a similar subcommand exists: 'check'"),
        (&["check", "none.toml"], "cannot read job file \"none.toml\": No such file"),
        (&["replay", "in"], "--out <OUT>"),
        (&["replay", "in", "--out", "out", "--epoch", "2h"], "2h"),
        (&["replay", "in", "--out", "out", "--workers", "0"], "expects 1 to 1024"),
        (&["topic"], "Usage: watershed topic"),
    ];
    for (args, expected) in cases {
        let (_, error) = expect(dir.path(), args, 2);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "nothing was made");
}

#[test]
fn help_shows_an_example_of_every_command() {
    let dir = folder();
    let (out, _) = expect(dir.path(), &["--help"], 0);
    let commands = out.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next());
    let names: Vec<&str> = commands
        .expect("a list")
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(names.contains(&"check") && names.contains(&"topic"), "{names:?}");
    for name in names {
        let (out, _) = expect(dir.path(), &[name, "--help"], 0);
        assert!(out.contains("Example:  watershed "), "{name}: {out}");
    }
}

#[test]
fn a_directory_without_state_is_named() {
    let dir = folder();
    for command in ["status", "inspect", "verify"] {
        let (_, error) = expect(dir.path(), &[command], 1);
        assert!(error.contains("nothing has run in \"./watershed-data\" yet"), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("there").count(), 0, "nothing was made");
}

/// A directory as a replay of two visits leaves it.
fn replayed(dir: &Path) {
    let line = |mid: u32, ts: u64| {
        format!(
            "{{\"common\":{{\"ar\":\"110000\",\"ch\":\"oppo\",\"is_new\":\"1\",\"mid\":\"m{mid}\",\
             \"vc\":\"v1\"}},\"page\":{{\"page_id\":\"home\",\"during_time\":5}},\"ts\":{ts}}}\n"
        )
    };
    let lines: String = (0..20).map(|mid| line(mid, 1_651_287_600_000 + u64::from(mid))).collect();
    fs::create_dir(dir.join("in")).expect("made");
    fs::write(dir.join("in/ods_log.jsonl"), lines).expect("written");
    expect(dir, &["replay", "in", "--out", "out", "--workers", "2"], 0);
}

/// Whoever has exported where the Kafka of a job file is can still look at a directory.
#[test]
fn variables_of_a_job_file_disturb_no_other_command() {
    let dir = folder();
    replayed(dir.path());
    let looked = |variable: &str| {
        let mut status = watershed(dir.path(), &["status", "--data", "out/.watershed"]);
        status.env(variable, "b:1").output().expect("the binary starts")
    };
    for place in ["SOURCE__ODS_LOG", "TOPICS"] {
        let output = looked(&format!("WATERSHED__{place}__PROPERTIES__BOOTSTRAP__SERVERS"));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    // What is said of the process itself is judged.
    let output = looked("WATERSHED__WATERSHED__WORKERS");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_a_run_left_behind_can_be_looked_at() {
    let dir = folder();
    replayed(dir.path());
    let data = ["--data", "out/.watershed"];
    let (out, _) = expect(dir.path(), &["status", data[0], data[1]], 0);
    assert!(out.starts_with("not running; the last generation was 1\n"), "{out}");
    let (out, _) = expect(dir.path(), &["status", "--json", data[0], data[1]], 0);
    let status: Value = serde_json::from_str(&out).expect("one object");
    assert_eq!(status["running"], false);
    let counters = status["counters"].as_array().expect("a list");
    let read = counters
        .iter()
        .find(|counter| counter["name"] == "records_in" && counter["labels"]["job"] == "log_split");
    assert_eq!(read.expect("counted")["value"], 20);

    let (out, _) = expect(dir.path(), &["inspect", "out/.watershed"], 0);
    assert!(out.contains("job log_split (plan "), "{out}");
    assert_eq!(expect(dir.path(), &["inspect", "out/.watershed/state"], 0).0, out);
}

/// The recorded shop database of the golden scenario.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/pipelines/golden");

/// A job file over the recorded shop database, and what runs it.
fn shop_of_files(dir: &Path, more: &str) {
    let file = format!(
        "[watershed]\nworkers = 2\n[source.ods_db]\nconnector = \"file\"\n\
         path = \"{GOLDEN}/IN/ods_db.jsonl\"\n[source.table_process]\nconnector = \"file\"\n\
         path = \"{GOLDEN}/IN/table_process.jsonl\"\n[[job]]\nname = \"dimensions\"\n{more}"
    );
    fs::write(dir.join("jobs.toml"), file).expect("written");
}

/// Lines of JSON, in any order.
fn rows(lines: &str) -> Vec<String> {
    let parse = |line| serde_json::from_str::<Value>(line).expect("JSON").to_string();
    let mut rows: Vec<String> = lines.lines().map(parse).collect();
    rows.sort();
    rows
}

fn golden_rows(table: &str) -> Vec<String> {
    rows(&fs::read_to_string(format!("{GOLDEN}/OUT/dim/{table}.jsonl")).expect("there"))
}

/// Files end, so the process does; what it leaves behind can be looked at and is sound.
#[test]
fn dimension_tables_of_files_are_made_and_shown() {
    let dir = folder();
    shop_of_files(dir.path(), "");
    expect(dir.path(), &["run", "jobs.toml"], 0);
    for table in ["dim_sku_info", "dim_base_province", "dim_user_info"] {
        let (out, _) = expect(dir.path(), &["inspect", "--table", table], 0);
        assert_eq!(rows(&out), golden_rows(table), "{table}");
    }
    let (_, error) = expect(dir.path(), &["inspect", "--table", "DIM_SKU_INFI"], 1);
    assert!(error.contains("no table \"DIM_SKU_INFI\"; did you mean \"dim_sku_info\"?"), "{error}");

    let (out, _) = expect(dir.path(), &["inspect", "--json"], 0);
    let inventory: Value = serde_json::from_str(&out).expect("an object");
    let tables = inventory["dimensions"].as_array().expect("a list");
    assert_eq!(tables.len(), 15, "one for each config row");
    let sku = tables.iter().find(|table| table["name"] == "DIM_SKU_INFO").expect("configured");
    assert_eq!((&sku["key"], &sku["salt_buckets"]), (&serde_json::json!(["ID"]), &Value::from(4)));
    assert_eq!(sku["columns"].as_array().map(Vec::len), Some(11));
    assert_eq!(sku["rows"], golden_rows("dim_sku_info").len());
    assert!(inventory["bytes"]["dimensions"].as_u64() > Some(0));
    let (out, _) = expect(dir.path(), &["inspect"], 0);
    assert!(out.contains("rows, key ID, 4 salt buckets\n    ID, SPU_ID, PRICE, "), "{out}");

    let (out, _) = expect(dir.path(), &["status"], 0);
    assert!(out.contains("dimensions\n  config rows applied: r 15; rejected 0\n"), "{out}");
    let (out, _) = expect(dir.path(), &["verify"], 0);
    assert!(out.contains("good     dimension table dim_user_info: "), "{out}");
    // All of it is done: a second start reads nothing and changes nothing.
    expect(dir.path(), &["run", "jobs.toml"], 0);
    let (again, _) = expect(dir.path(), &["inspect", "--table", "dim_sku_info"], 0);
    assert_eq!(rows(&again), golden_rows("dim_sku_info"));
}

#[test]
fn topics_are_listed_and_dumped() {
    let dir = folder();
    replayed(dir.path());
    let topic = |args: &[&str], code| {
        let args = [&["topic", "--data", "out/.watershed"], args].concat();
        expect(dir.path(), &args, code)
    };
    let (out, _) = topic(&["list", "--json"], 0);
    let list: Value = serde_json::from_str(&out).expect("a list");
    let pages = list.as_array().expect("a list").iter();
    let pages = pages.filter(|row| row["topic"] == "dwd_traffic_page_log");
    let records: u64 = pages.map(|row| row["records"].as_u64().expect("a number")).sum();
    assert_eq!(records, 20);

    let (out, _) = topic(&["dump", "dwd_traffic_page_log"], 0);
    let mut dumped: Vec<&str> = out.lines().collect();
    dumped.sort_unstable();
    let replayed = fs::read_to_string(dir.path().join("out/dwd/dwd_traffic_page_log.jsonl"));
    let replayed = replayed.expect("written by the replay");
    let mut expected: Vec<&str> = replayed.lines().collect();
    expected.sort_unstable();
    assert_eq!(dumped, expected);

    // Nothing runs, so a tail ends with what there is.
    let (out, _) = topic(&["tail", "dwd_traffic_page_log", "--from-start"], 0);
    assert_eq!(out.lines().count(), 20);
    let line: Value = serde_json::from_str(out.lines().next().expect("twenty")).expect("JSON");
    assert_eq!(line["key"], line["value"]["common"]["mid"]);

    let (_, error) = topic(&["dump", "dwd_traffic_page_lgo"], 1);
    assert!(error.contains("did you mean \"dwd_traffic_page_log\"?"), "{error}");
    let (_, error) = topic(&["dump", "dwd_traffic_page_log", "--partition", "9"], 1);
    assert!(error.contains("has nothing in partition 9; it has "), "{error}");
}

#[test]
fn verify_finds_a_flipped_bit() {
    let dir = folder();
    replayed(dir.path());
    let (out, _) = expect(dir.path(), &["verify", "out/.watershed"], 0);
    assert!(!out.contains("DAMAGED") && out.contains("good     outbox: "), "{out}");

    let topic = dir.path().join("out/.watershed/topic/dwd_traffic_page_log");
    let partition = fs::read_dir(topic).expect("there").next().expect("one").expect("readable");
    let file = fs::read_dir(partition.path()).expect("there").next().expect("one").expect("fine");
    let mut bytes = fs::read(file.path()).expect("readable");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::write(file.path(), bytes).expect("written");
    let (out, error) = expect(dir.path(), &["verify", "out/.watershed"], 74);
    assert!(out.contains("DAMAGED  topic dwd_traffic_page_log/"), "{out}");
    assert!(out.contains(" at byte "), "{out}");
    assert!(error.contains("is damaged in 1 places"), "{error}");
}

/// A reader that has enough is no error.
#[test]
fn a_closed_pipe_ends_quietly() {
    let dir = folder();
    replayed(dir.path());
    let mut child = watershed(dir.path(), &["topic", "dump", "dwd_traffic_page_log"])
        .args(["--data", "out/.watershed"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(0), ""));
}

/// `docs/config.md` is made of the comments in `src/config/raw.rs`. To make it anew:
/// `cargo run -- check --keys > docs/config.md`.
#[test]
fn the_reference_of_settings_is_current() {
    let written = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/config.md");
    let written = fs::read_to_string(written).expect("it is in the repository");
    let (out, _) = expect(folder().path(), &["check", "--keys"], 0);
    assert_eq!(out, written, "make docs/config.md anew");
}
