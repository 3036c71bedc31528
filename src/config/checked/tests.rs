//! Tables of configurations and what is said about them.

use connectors::kafka::config::OnLostPosition;
use jobs::Job;

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

#[test]
fn nothing_said_is_the_embedded_preset() {
    let mut preset = good(crate::config::PRESET);
    preset.workers = 2;
    let mut empty = good("");
    empty.workers = 2;
    assert_eq!(format!("{preset:?}"), format!("{empty:?}"));
    assert_eq!(empty.data, PathBuf::from("./watershed-data"));
    assert_eq!(empty.settings.time_zone, "Asia/Shanghai");
    assert_eq!(empty.ods_log.to_string(), "embedded topic \"ods_log\", from the earliest record");
    assert_eq!(empty.topics.to_string(), "embedded, 4 partitions, 2GiB kept of each");
    assert_eq!(empty.engine.epoch_interval_ms, 1000);
    assert_eq!(empty.settings.idle_timeout_ms, 30_000);
    let all = Job::ALL.map(|job| JobChoice { job, publish: true, retention_bytes: None });
    assert_eq!(empty.jobs, all);
}

/// The shipped files are good, and say what they say they say.
#[test]
fn shipped_files_are_good() {
    let kafka = good(include_str!("../../../config/kafka.toml"));
    assert!(matches!(kafka.topics.place, TopicPlace::Kafka(_)), "{:?}", kafka.topics);
    let example = include_str!("../../../config/example.toml");
    let jobs: Vec<_> = good(example).jobs.iter().map(|c| (c.job, c.publish)).collect();
    assert_eq!(jobs, [(Job::LogSplit, true), (Job::UniqueVisitor, false)]);
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
            "[engine]\nsource.queue_bytes = \"1KiB\"",
            "f:2: engine.source.queue_bytes = \"1KiB\" is out of range: 1MiB to 1GiB",
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
            "f:1: section [store.dim] is not available yet: it belongs to the dimension jobs",
        ),
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
            "[source.ods_log]\non-lost-position = \"stop\"",
            "f:2: source.ods_log.on-lost-position = \"stop\": only connector \"kafka\" loses \
             positions",
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
        ("[[job]]\npublish = true", "f:1: [[job]] needs a name"),
        (
            "[[job]]\nname = \"log_spilt\"",
            "f:2: job.name = \"log_spilt\" is no job; did you mean \"log_split\"?",
        ),
        (
            "[[job]]\nname = \"dimensions\"",
            "f:2: job.name = \"dimensions\" is not available yet: it belongs to the dimension jobs",
        ),
        (
            "[[job]]\nname = \"log_split\"\n[[job]]\nname = \"log_split\"",
            "f:3: job \"log_split\" is listed twice",
        ),
        (
            "[[job]]\nname = \"dws_traffic_page_view_window\"\npublish = false",
            "f:3: job.publish = false: a job that writes a table is of no use without it",
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
fn kafka_at_the_address_embedded_is_embedded() {
    let text = "[source.ods_log]\nconnector = \"kafka\"\ntopic = \"t\"\n\
                properties.bootstrap.servers = \"embedded\"\n";
    let place = good(text).ods_log.to_string();
    assert_eq!(place, "embedded topic \"t\", from the earliest record");
}

#[test]
fn kafka_is_told_what_the_file_says() {
    let text = "[source.ods_log]\nconnector = \"kafka\"\non-lost-position = \"latest\"\n\
                properties.bootstrap.servers = \"b:1\"\n\
                [topics]\nconnector = \"kafka\"\nproperties.bootstrap.servers = \"b:2\"\n\
                sink.topic.partitions = 7\nsink.topic.replication = 3\n\
                sink.transactional-id-prefix = \"p-\"\nsink.progress-topic = \"done\"\n\
                prefix = \"dev_\"\n";
    let checked = good(text);
    let SourcePlace::Kafka { config, .. } = &checked.ods_log else { panic!("kafka") };
    assert_eq!((config.bootstrap.as_str(), config.topics[0].as_str()), ("b:1", "ods_log"));
    assert_eq!(config.on_lost_position, OnLostPosition::Latest);
    let TopicPlace::Kafka(config) = &checked.topics.place else { panic!("kafka") };
    assert_eq!((config.partitions, config.replication), (7, 3));
    assert_eq!(config.transactional_id_prefix, "p-");
    assert_eq!(config.progress_topic, "done");
    assert_eq!(checked.topics.prefix, "dev_");
}

#[test]
fn startup_mode_goes_before_the_switch() {
    use engine::source::Start::{Earliest, Latest, Timestamp};
    let cases = [
        ("", "", Earliest),
        ("latest", "", Latest),
        ("latest", "earliest-offset", Earliest),
        ("", "latest-offset", Latest),
        ("", "timestamp", Timestamp(7)),
        ("timestamp", "", Timestamp(7)),
    ];
    for (switch, mode, expected) in cases {
        let mut text = String::new();
        if !switch.is_empty() {
            text += &format!("[switch]\nsource.start = \"{switch}\"\n");
        }
        text += "[source.ods_log]\n";
        if !mode.is_empty() {
            text += &format!("scan.startup.mode = \"{mode}\"\n");
        }
        if expected == Timestamp(7) {
            text += "scan.startup.timestamp-millis = 7\n";
        }
        let SourcePlace::Embedded { start, .. } = good(&text).ods_log else { panic!("embedded") };
        assert_eq!(start, expected, "{text}");
    }
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

#[test]
fn retention_is_of_all_topics_or_of_those_of_a_job() {
    let text = "[topics]\nretention.bytes = \"1MiB\"\n[[job]]\nname = \"log_split\"\n\
                retention.bytes = \"0B\"\n[[job]]\nname = \"user_jump\"\n";
    let checked = good(text);
    let of_jobs: Vec<_> = checked.jobs.iter().map(|choice| choice.retention_bytes).collect();
    assert_eq!((checked.topics.retention_bytes, of_jobs), (1 << 20, vec![Some(0), None]));
    assert_eq!(checked.topics.to_string(), "embedded, 4 partitions, 1MiB kept of each");
    assert_eq!(good("[topics]\nretention.bytes = \"0B\"\n").topics.retention_bytes, 0);
    let kafka = "[topics]\nconnector = \"kafka\"\nproperties.bootstrap.servers = \"b:1\"\n";
    for (text, expected) in [
        ("[topics]\nretention.bytes = \"1KiB\"\n".to_owned(), "f:2: topics.retention.bytes = "),
        (format!("{kafka}retention.bytes = \"1GiB\"\n"), "f:4: topics.retention.bytes = "),
        (
            format!("{kafka}[[job]]\nname = \"log_split\"\nretention.bytes = \"1GiB\"\n"),
            "f:6: job.retention.bytes = ",
        ),
    ] {
        let faults = read_with(&text, &[]).expect_err(&text);
        assert!(faults.len() == 1 && faults[0].starts_with(expected), "{faults:?}");
    }
}
