//! Tables of configurations and what is said about them.

mod places;

use connectors::kafka::config::OnLostPosition;
use jobs::Job;
use jobs::settings::Deletes;

use super::*;

fn read_with(text: &str, environment: &[(&str, &str)]) -> Result<Checked, Vec<String>> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    Checked::read("f", text, &environment, &Overrides::default())
        .map_err(|error| error.faults.iter().map(ToString::to_string).collect())
}

fn read(text: &str) -> Result<Checked, Vec<String>> {
    read_with(text, &[])
}

fn good(text: &str) -> Checked {
    read(text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// All jobs but the one whose configuration is that of 2023.
fn with_a_shop() -> Vec<Job> {
    Job::ALL.into_iter().filter(|job| *job != Job::DwdRoute).collect()
}

/// The jobs are another thing: where a file is named, it says whether there is a shop database.
#[test]
fn nothing_said_is_the_embedded_preset() {
    let mut preset = good(crate::config::PRESET);
    let every = with_a_shop().into_iter().map(JobChoice::of).collect::<Vec<_>>();
    assert_eq!(std::mem::take(&mut preset.jobs), every);
    preset.workers = 2;
    let mut empty = good("");
    let logs = Job::LOGS.map(JobChoice::of);
    assert_eq!(std::mem::take(&mut empty.jobs), logs);
    empty.workers = 2;
    assert_eq!(format!("{preset:?}"), format!("{empty:?}"));
    assert_eq!(empty.data, PathBuf::from("./watershed-data"));
    assert_eq!(empty.settings.time_zone, "Asia/Shanghai");
    assert_eq!(empty.ods_log.to_string(), "embedded topic \"ods_log\", from the earliest record");
    assert_eq!(empty.ods_db.to_string(), "embedded topic \"ods_db\", from the earliest record");
    assert_eq!(empty.topics.to_string(), "embedded, 4 partitions, 2GiB kept of each");
    assert_eq!(empty.engine.epoch_interval_ms, 1000);
    assert_eq!(empty.settings.idle_timeout_ms, 30_000);
}

/// The shipped files are good, and say what they say they say.
#[test]
fn shipped_files_are_good() {
    let kafka = good(include_str!("../../../config/kafka.toml"));
    assert!(matches!(kafka.topics.place, TopicPlace::Kafka(_)), "{:?}", kafka.topics);
    let example = include_str!("../../../config/example.toml");
    let jobs: Vec<_> = good(example).jobs.iter().map(|c| (c.job, c.publish)).collect();
    let expected = [
        (Job::OdsDb, true),
        (Job::Dimensions, true),
        (Job::DwdRoute, true),
        (Job::LogSplit, true),
        (Job::UniqueVisitor, false),
    ];
    assert_eq!(jobs, expected);
    let dimensions = include_str!("../../../config/dimensions.toml");
    let checked = read_with(dimensions, &[("MYSQL_PASSWORD", "hush")]).expect("good");
    let jobs: Vec<_> = checked.jobs.iter().map(|choice| choice.job).collect();
    assert_eq!(jobs, [Job::OdsDb, Job::Dimensions]);
    for section in crate::config::raw::SECTIONS {
        for key in section.keys {
            assert!(example.contains(key.name), "{} is not in config/example.toml", key.name);
        }
    }
}

/// Defaults written in the example are the defaults.
#[test]
fn the_example_shows_the_defaults() {
    let (example, empty) = (good(include_str!("../../../config/example.toml")), good(""));
    assert_eq!(format!("{:?}", example.settings), format!("{:?}", empty.settings));
    assert_eq!(example.engine, empty.engine);
}

/// A default is written here and in the jobs.
#[test]
fn defaults_are_those_of_the_jobs() {
    let (ours, theirs) = (good("").settings, Settings::default());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
}

#[test]
fn values_are_judged() {
    let cases = [
        (
            "[switch]\nuser_jump.within = \"2x\"",
            "f:2: switch.user_jump.within = \"2x\": expects a duration: a whole number and one of \
             ms, s, m, h, d, such as \"10s\"",
        ),
        (
            "[switch]\n\nuser_jump.within = 10",
            "f:3: switch.user_jump.within = 10: expects a duration: a whole number and one of ms, \
             s, m, h, d, such as \"10s\"",
        ),
        (
            "[engine]\nepoch.interval = \"2h\"",
            "f:2: engine.epoch.interval = \"2h\" is out of range: 1ms to 1h",
        ),
        (
            "[engine]\noperator.budget = 0",
            "f:2: engine.operator.budget = 0 is out of range: 1 to 4096",
        ),
        (
            "[engine]\nsource.queue_bytes = \"1KiB\"",
            "f:2: engine.source.queue_bytes = \"1KiB\" is out of range: 256KiB to 1GiB",
        ),
        (
            "[engine]\nsource.queue_bytes = \"64MB\"",
            "f:2: engine.source.queue_bytes = \"64MB\": expects a size: a whole number and one of \
             B, KiB, MiB, GiB, such as \"64MiB\"",
        ),
        ("[watershed]\nworkers = 0", "f:2: watershed.workers = 0 is out of range: 1 to 1024"),
        ("[watershed]\nworkers = \"2\"", "f:2: watershed.workers = \"2\": expects a whole number"),
        (
            "[watershed]\nworkers = 1.5",
            "f:2: watershed.workers (a TOML float): expects a whole number",
        ),
        ("[watershed]\ndata = 1", "f:2: watershed.data = 1: expects text in quotes"),
        ("[watershed]\ndata = \"\"", "f:2: watershed.data = \"\": a directory has a name"),
        (
            "[watershed]\ngeneration = 2023",
            "f:2: watershed.generation = 2023 is not available yet; what is: 2022",
        ),
        (
            "[watershed]\ngeneration = 2021",
            "f:2: watershed.generation = 2021 is out of range: 2022 to 2023",
        ),
        (
            "[watershed]\ntime_zone = \"Asia/Nowhere\"",
            "f:2: watershed.time_zone = \"Asia/Nowhere\": unknown time zone \"Asia/Nowhere\"; \
             write a name such as \"Asia/Shanghai\"",
        ),
        (
            "[switch]\nlog_split.shape = \"flatt\"",
            "f:2: switch.log_split.shape = \"flatt\" is none of its values: nested, wrapped, flat; \
             did you mean \"flat\"?",
        ),
        (
            "[switch]\ntime.advance_when_idle = \"wall_clock\"",
            "f:2: switch.time.advance_when_idle = \"wall_clock\" is not available yet; what is: off",
        ),
        (
            "[switch]\nis_new.ttl = \"30d\"",
            "f:2: switch.is_new.ttl = \"30d\" is not available yet; what is: none",
        ),
        (
            "[switch]\ndws.window = \"7s\"",
            "f:2: switch.dws.window = \"7s\" does not divide the day",
        ),
        (
            "[store.dws]\nconnector = \"doris\"",
            "f:2: store.dws.connector = \"doris\" is not available yet; what is: embedded",
        ),
        (
            "[store.dim]\nconnector = \"phoenix\"",
            "f:2: store.dim.connector = \"phoenix\" is not available yet; what is: embedded",
        ),
        (
            "[switch]\ndim.delete = \"keep\"",
            "f:2: switch.dim.delete = \"keep\" is none of its values: delete, ignore, upsert",
        ),
        (
            "[switch]\ndim.config_update = \"recreate\"\ndim.shared_sink = \"on\"",
            "f:2: switch.dim.config_update = \"recreate\" makes no sense with \
             switch.dim.shared_sink = \"on\": the rows of the other sources would go, too",
        ),
        (
            "[switch]\ndim.config_late = \"drop\"",
            "f:2: switch.dim.config_late = \"drop\" makes no sense unless switch.dim.backfill = \
             \"off\": what is dropped would be read again",
        ),
        (
            "[switch]\ndim.backfill_reconcile = \"on\"",
            "f:2: switch.dim.backfill_reconcile = \"on\" needs a MySQL snapshot of the source \
             table, and a back-fill reads ods_db again instead, with the deletions it holds; it \
             comes with the capture of the business tables",
        ),
        (
            "[switch]\ndim.backfill_reconcile = \"yes\"",
            "f:2: switch.dim.backfill_reconcile = \"yes\" is none of its values: off",
        ),
        (
            "[switch]\ndim.schema = \"a-b\"",
            "f:2: switch.dim.schema = \"a-b\" is no name of a schema: a letter, then letters, \
             digits and '_'",
        ),
        ("[watershed]\ndatabase = \"\"", "f:2: watershed.database = \"\": a database has a name"),
        (
            "[watershed]\ndata = \"${NOT_SET}/x\"",
            "f:2: watershed.data = \"${NOT_SET}/x\": environment variable NOT_SET is not set",
        ),
        (
            "[source.ods_log]\ntopic = \"a/b\"",
            "f:2: source.ods_log.topic = \"a/b\" is no name of a topic: 1 to 249 of the letters \
             a-z, A-Z, 0-9, '.', '_', '-', not '.' or '..' alone",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).expect_err(text), [expected], "{text}");
    }
}

#[test]
fn combinations_are_judged() {
    let cases = [
        (
            "[switch]\nlog_split.flat_clash = \"page\"",
            "f:2: switch.log_split.flat_clash = \"page\" says nothing unless \
             switch.log_split.shape = \"flat\"",
        ),
        (
            "[switch]\nsource.future_hold = \"2d\"",
            "f:2: switch.source.future_hold = \"2d\": switch.source.future_skew (1d) is below \
             switch.source.future_hold (2d)",
        ),
        (
            "[source.ods_log]\nconnector = \"kafka\"",
            "f:2: source.ods_log.connector = \"kafka\" needs properties.bootstrap.servers",
        ),
        (
            "[source.ods_log]\nproperties.bootstrap.servers = \"b:1\"",
            "f:2: source.ods_log.properties.bootstrap.servers = \"b:1\": only connector \"kafka\" \
             takes properties",
        ),
        (
            "[source.ods_log]\nconnector = \"file\"",
            "f:2: source.ods_log.connector = \"file\" needs path",
        ),
        (
            "[source.ods_log]\nscan.startup.mode = \"timestamp\"",
            "f:2: source.ods_log.scan.startup.mode = \"timestamp\" needs \
             scan.startup.timestamp-millis",
        ),
        (
            "[switch]\nsource.start = \"timestamp\"",
            "f:2: switch.source.start = \"timestamp\" needs scan.startup.timestamp-millis in \
             [source.ods_log]",
        ),
        (
            "[switch]\nsource.start = \"group\"\n[[job]]\nname = \"unique_visitor\"",
            "f:2: switch.source.start = \"group\" is not available yet; what is: earliest, latest, \
             timestamp",
        ),
        (
            "[source.ods_log]\nscan.startup.timestamp-millis = 5",
            "f:2: source.ods_log.scan.startup.timestamp-millis = 5 says nothing unless the mode is \
             timestamp",
        ),
        (
            "[source.ods_log]\nscan.startup.mode = \"specific-offsets\"",
            "f:2: source.ods_log.scan.startup.mode = \"specific-offsets\" is not available yet; \
             what is: earliest-offset, latest-offset, timestamp",
        ),
        (
            "[source.ods_log]\nscan.startup.mode = \"group-offsets\"",
            "f:2: source.ods_log.scan.startup.mode = \"group-offsets\" is not available yet; \
             what is: earliest-offset, latest-offset, timestamp",
        ),
        (
            "[source.ods_log]\nconnector = \"file\"\npath = \"x\"\non-lost-position = \"stop\"",
            "f:4: source.ods_log.on-lost-position = \"stop\": a file loses no positions",
        ),
        (
            "[topics]\nconnector = \"kafka\"\nproperties.bootstrap.servers = \"b:1\"\n\
             properties.isolation.level = \"read_uncommitted\"",
            "f:4: cannot change kafka setting \"isolation.level\" (it is always read_committed: \
             rows of an aborted transaction never happened)",
        ),
        (
            "[topics]\nsink.transactional-id-prefix = \"x\"",
            "f:2: topics.sink.transactional-id-prefix = \"x\": only connector \"kafka\" takes it",
        ),
        (
            "[source.ods_log]\npath = \"x\"",
            "f:2: source.ods_log.path = \"x\": only connector \"file\" takes it",
        ),
        (
            "[source.ods_db]\nconnector = \"file\"\npath = \"x\"\n\
             scan.startup.mode = \"latest-offset\"",
            "f:4: source.ods_db.scan.startup.mode = \"latest-offset\": a file is read from its \
             beginning",
        ),
        (
            "[source.ods_db]\nconnector = \"mysql\"",
            "f:2: source.ods_db.connector = \"mysql\" is not available yet; what is: embedded, \
             kafka, file",
        ),
        (
            "[source.table_process]\nhostname = \"db\"",
            "f:2: source.table_process.hostname = \"db\": only connector \"mysql\" takes it",
        ),
        (
            "[source.table_process]\nscan.startup.mode = \"latest-offset\"",
            "f:2: source.table_process.scan.startup.mode = \"latest-offset\" is not available yet; \
             what is: initial, earliest-offset",
        ),
        (
            "[source.table_process]\nhostnam = \"db\"",
            "f:2: unknown key \"hostnam\" in [source.table_process]; did you mean \"hostname\"?",
        ),
        ("[[job]]\npublish = true", "f:1: [[job]] needs a name"),
        (
            "[[job]]\nname = \"log_spilt\"",
            "f:2: job.name = \"log_spilt\" is no job; did you mean \"log_split\"?",
        ),
        (
            "[[job]]\nname = \"cart_add\"",
            "f:2: job.name = \"cart_add\" is not available yet: it belongs to the fact jobs on the \
             business database",
        ),
        (
            "[[job]]\nname = \"dimensions\"\npublish = false",
            "f:3: job.publish = false: only a job with topics of its own can do without them",
        ),
        (
            "[[job]]\nname = \"log_split\"\n[[job]]\nname = \"log_split\"",
            "f:3: job \"log_split\" is listed twice",
        ),
        (
            "[[job]]\nname = \"dws_traffic_page_view_window\"\npublish = false",
            "f:3: job.publish = false: only a job with topics of its own can do without them",
        ),
        (
            "[[job]]\nname = \"log_split\"\npublish = \"no\"",
            "f:3: job.publish = \"no\": expects true or false",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(read(text).expect_err(text), [expected], "{text}");
    }
}

#[test]
fn switches_of_dimensions_reach_the_jobs() {
    let text = "[watershed]\ndatabase = \"gmall\"\n[switch]\ndim.delete = \"ignore\"\n\
                dim.backfill = \"off\"\ndim.shared_sink = \"on\"\n\
                dim.schema = \"GMALL2022_REALTIME\"\n";
    let dim = good(text).settings.dim;
    assert_eq!((dim.database.as_str(), dim.delete), ("gmall", Deletes::Ignore));
    assert_eq!((dim.backfill, dim.shared_sink), (false, true));
    assert_eq!(dim.schema.as_deref(), Some("GMALL2022_REALTIME"));
}

#[test]
fn all_faults_come_at_once_in_the_order_of_lines() {
    let text =
        "[switch]\ndws.windw = \"1s\"\ndws.lateness = \"x\"\n\n[watershed]\nworkers = 9999\n";
    let faults = read(text).expect_err("three faults");
    let lines: Vec<_> =
        faults.iter().map(|fault| fault.split_once(": ").expect("a place").0).collect();
    assert_eq!(lines, ["f:2", "f:3", "f:6"]);
}

#[test]
fn secrets_stand_only_in_the_environment() {
    let kafka = "[topics]\nconnector = \"kafka\"\nproperties.bootstrap.servers = \"b:1\"\n";
    let literal = format!("{kafka}properties.sasl.jaas.config = \"hush\"");
    let expected = "f:4: topics.properties.sasl.jaas.config: a secret does not stand in a file; \
                    write \"${NAME}\" and set NAME in the environment";
    assert_eq!(read(&literal).expect_err("a literal secret"), [expected]);

    let variable = format!("{kafka}properties.sasl.jaas.config = \"x ${{JAAS}} y\"");
    let checked = read_with(&variable, &[("JAAS", "hush")]).expect("good");
    assert!(matches!(checked.topics.place, TopicPlace::Kafka(_)), "{checked:?}");
    assert!(!format!("{checked:?}").contains("hush"), "{checked:?}");

    let missing = read(&variable).expect_err("not set");
    let expected = "f:4: topics.properties.sasl.jaas.config: environment variable JAAS is not set";
    assert_eq!(missing, [expected]);

    let name = "WATERSHED__TOPICS__PROPERTIES__SASL__JAAS__CONFIG";
    let checked = read_with(kafka, &[(name, "hush")]).expect("the environment may be literal");
    assert!(!format!("{checked:?}").contains("hush"), "{checked:?}");
}

#[test]
fn environment_and_flags_override() {
    let text = "[watershed]\nworkers = 3\ndata = \"a\"\n";
    let variables = [("WATERSHED__WATERSHED__WORKERS", "5"), ("WATERSHED__WATERSHED__DATA", "b")];
    let checked = read_with(text, &variables).expect("good");
    assert_eq!((checked.workers, checked.data), (5, PathBuf::from("b")));
    let environment = variables.map(|(name, value)| (name.into(), value.into())).into();
    let overrides = Overrides { data: Some("c".into()), workers: Some(7) };
    let checked = Checked::read("f", text, &environment, &overrides).expect("good");
    assert_eq!((checked.workers, checked.data), (7, PathBuf::from("c")));
    let faults = read_with(text, &[("WATERSHED__WATERSHED__WORKERS", "many")]).expect_err("a word");
    let expected = "environment variable WATERSHED__WATERSHED__WORKERS: watershed.workers = \
                    \"many\": expects a whole number";
    assert_eq!(faults, [expected]);
}
