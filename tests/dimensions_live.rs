//! Dimensions in the real binary: changes through a real Kafka, their configuration from a real
//! MariaDB that is changed by SQL while everything runs, and killed with it.
//!
//! What must come out is what `watershed replay` makes of the same changes with the last
//! configuration, or, for the golden scenario, what the specification says.

mod support {
    pub(crate) mod broker;
    pub(crate) mod run;
}
#[path = "support/mariadb.rs"]
mod mariadb;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::random::Random;
use jobs::generate::shop;
use mariadb::{Database, READER, database, own, shared};
use serde_json::Value;
use store::phoenix::DimensionStore;
use support::broker::{produce, topic};
use support::run::Run;
use xtask::services::kafka::Broker;

/// How long the outcome may take once all input is there.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the process runs before it is asked whether it has come to the end, for the first time: each
/// life is longer than the one before, so that one gets somewhere however slow the machine is.
const LOOK: Duration = Duration::from_millis(1_500);

/// Rows of each dimension table, sorted; empty tables too.
type Tables = BTreeMap<String, Vec<String>>;

/// What the job file calls the reader's password.
const PASSWORD: (&str, &str) = ("READER_PASSWORD", READER.1);

const TABLE: &str = "create table table_process (source_table varchar(200) not null, \
    sink_table varchar(200), sink_columns varchar(2000), sink_pk varchar(200), \
    sink_extend varchar(200), primary key (source_table)) charset utf8";

/// The rows of the course, from the golden scenario: by source table, as SQL values.
fn config_rows() -> Vec<(String, String)> {
    let path = golden("table_process.jsonl");
    let text = std::fs::read_to_string(path).expect("part of the repository");
    let row = |line: &str| {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let value = |name: &str| match &event["after"][name] {
            Value::String(text) => format!("'{text}'"),
            _ => "null".to_owned(),
        };
        let names = ["source_table", "sink_table", "sink_columns", "sink_pk", "sink_extend"];
        let source = event["after"]["source_table"].as_str().expect("a name").to_owned();
        (source, names.map(value).join(", "))
    };
    text.lines().map(row).collect()
}

fn golden(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pipelines/golden/IN").join(file)
}

fn insert(config: &Database<'_>, values: &str) {
    config.sql(&format!("insert into table_process values ({values})"));
}

fn jobs(bootstrap: &str, input: &str, port: u16, database: &str) -> String {
    let user = READER.0;
    format!(
        "[engine]\nepoch.interval = \"100ms\"\nrestart.max = 1000\n\
         [source.ods_db]\nconnector = \"kafka\"\ntopic = \"{input}\"\n\
         properties.bootstrap.servers = \"{bootstrap}\"\n\
         [source.table_process]\nconnector = \"mysql\"\nhostname = \"127.0.0.1\"\n\
         port = {port}\nusername = \"{user}\"\npassword = \"${{READER_PASSWORD}}\"\n\
         database-name = \"{database}\"\n\
         [[job]]\nname = \"dimensions\"\n",
    )
}

/// Waits until the tables are these: the process is stopped to look, and goes on if they are not.
fn await_tables(run: &mut Run, expected: &Tables) {
    let (started, mut life) = (Instant::now(), LOOK);
    loop {
        std::thread::park_timeout(life);
        life += LOOK;
        run.stop();
        let seen = tables(&run.data());
        if seen == *expected {
            return;
        }
        let differ = |name: &&String| seen.get(*name) != expected.get(*name);
        let differ: Vec<&String> = expected.keys().filter(differ).collect();
        assert!(started.elapsed() < LIMIT, "{differ:?} are not what they must be:\n{}", run.log());
        run.start(2);
    }
}

fn tables(data: &Path) -> Tables {
    let store = DimensionStore::open(&data.join("store/dim")).expect("the process has ended");
    let read = store.tables().into_iter().map(|table| {
        let rows = store.scan(&table.name).expect("there").map(|row| {
            let mut line = Vec::new();
            row.expect("whole").write_json(&mut line);
            canonical(&line)
        });
        (table.name.to_lowercase(), sorted(rows))
    });
    read.collect()
}

/// A row with its columns sorted by name without case.
fn canonical(line: &[u8]) -> String {
    let row: serde_json::Map<String, Value> = serde_json::from_slice(line).expect("JSON");
    let cells: BTreeMap<String, Value> =
        row.into_iter().map(|(name, value)| (name.to_lowercase(), value)).collect();
    serde_json::to_string(&cells).expect("plain values")
}

fn sorted(rows: impl Iterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = rows.collect();
    rows.sort_unstable();
    rows
}

fn dumped(folder: &Path) -> Tables {
    let entries = std::fs::read_dir(folder).expect("a folder of dumps");
    let read = entries.map(|entry| {
        let path = entry.expect("readable").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        let name = path.file_stem().expect("a table").to_string_lossy().into_owned();
        (name, sorted(text.lines().map(|line| canonical(line.as_bytes()))))
    });
    read.collect()
}

/// What a batch makes of these changes with this configuration.
fn replayed(changes: &[(Option<Vec<u8>>, Vec<u8>)]) -> Tables {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (input, output) = (folder.path().join("IN"), folder.path().join("OUT"));
    std::fs::create_dir(&input).expect("a writable folder");
    let lines: Vec<u8> =
        changes.iter().flat_map(|(_, value)| [value.as_slice(), b"\n"].concat()).collect();
    std::fs::write(input.join("ods_db.jsonl"), lines).expect("writable");
    std::fs::copy(golden("table_process.jsonl"), input.join("table_process.jsonl"))
        .expect("writable");
    let status = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .arg("replay")
        .arg(&input)
        .arg("--out")
        .arg(&output)
        .stdout(Stdio::null())
        .status();
    assert!(status.expect("the binary starts").success(), "the replay failed");
    dumped(&output.join("dim"))
}

#[test]
fn the_golden_dimensions_through_kafka_and_mariadb() {
    let Some(config) = shared("golden_config") else { return };
    config.sql(TABLE);
    config_rows().iter().for_each(|(_, values)| insert(&config, values));
    let broker = Broker::shared();
    topic(broker, "golden_ods_db", 4);
    let text = std::fs::read_to_string(golden("ods_db.jsonl")).expect("part of the repository");
    let keyed = |line: &str| {
        let change: Value = serde_json::from_str(line).expect("JSON");
        let table = change["table"].as_str().expect("a table").as_bytes().to_vec();
        (Some(table), line.as_bytes().to_vec())
    };
    produce(&broker.bootstrap(), "golden_ods_db", text.lines().map(keyed));
    let port = config.server.port();
    let mut run =
        Run::new(&jobs(&broker.bootstrap(), "golden_ods_db", port, "golden_config"), PASSWORD);
    run.start(2);
    // Tables without rows are there too.
    let folder = golden("..").join("OUT/dim");
    let mut expected = dumped(&folder);
    for (source, _) in config_rows() {
        expected.entry(format!("dim_{source}")).or_default();
    }
    await_tables(&mut run, &expected);
}

/// Changes of a generated shop; every table keeps its order.
fn generated(records: u64) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let settings = shop::Settings {
        records: Some(records),
        dimension_share: 3_000,
        fault_share: 0,
        ..shop::Settings::default()
    };
    let mut cursor = shop::Generator::new(settings).open(0);
    let mut changes = Vec::new();
    let mut line = Vec::new();
    while let Some(made) = cursor.next(&mut line) {
        let table = made.table.unwrap_or_default().as_bytes().to_vec();
        changes.push((Some(table), std::mem::take(&mut line)));
    }
    changes
}

#[test]
fn a_config_table_changed_by_sql_while_everything_is_killed() {
    let Some(mut server) = own(&[]) else { return };
    let rows = config_rows();
    let config = database(&server, "gmall_config");
    config.sql(TABLE);
    // Some are there from the start, one of them narrower than it will be.
    rows.iter().take(5).for_each(|(_, values)| insert(&config, values));
    config.sql(
        "insert into table_process values \
         ('base_trademark', 'dim_base_trademark', 'id', 'id', null)",
    );
    let late: Vec<_> = rows.iter().skip(5).filter(|(name, _)| name != "base_trademark").collect();

    let changes = generated(6_000);
    let expected = replayed(&changes);
    let broker = Broker::shared();
    topic(broker, "live_ods_db", 4);
    let port = server.port();
    let mut run =
        Run::new(&jobs(&broker.bootstrap(), "live_ods_db", port, "gmall_config"), PASSWORD);
    run.start(2);
    let mut random = Random::new(4);
    let mut late = late.into_iter();
    let mut killed = (0, 0, 0);
    for (step, chunk) in changes.chunks(changes.len().div_ceil(24)).enumerate() {
        produce(&broker.bootstrap(), "live_ods_db", chunk.iter().cloned());
        let config = Database { server: &server, name: "gmall_config" };
        if step % 2 == 0
            && let Some((_, values)) = late.next()
        {
            insert(&config, values);
        }
        match step {
            7 => drop(config.sql(
                "update table_process set sink_columns = 'id,tm_name' \
                 where source_table = 'base_trademark'",
            )),
            9 | 17 => {
                server.kill().expect("it is ours");
                server.restart().expect("it starts again");
                killed.2 += 1;
            }
            _ if step % 3 == 1 => killed.1 += u32::from(run.kill_engine()),
            _ if step % 3 == 2 => {
                run.kill();
                run.start(1 + step % 3);
                killed.0 += 1;
            }
            _ => {}
        }
        std::thread::park_timeout(Duration::from_millis(random.below(700)));
    }
    let config = Database { server: &server, name: "gmall_config" };
    late.for_each(|(_, values)| insert(&config, values));
    await_tables(&mut run, &expected);
    assert!(killed.0 >= 5 && killed.1 >= 3 && killed.2 == 2, "killed {killed:?} times");
}
