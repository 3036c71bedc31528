//! Where sources and targets are, and what follows from it.

use super::*;

/// Faults of a table are told where the option is; values of the connector stand in no other place.
#[test]
fn a_mysql_table_is_judged_by_its_connector() {
    let table = |more: &str| {
        let base = "[source.table_process]\nconnector = \"mysql\"\n";
        let given = "hostname = \"db\"\nusername = \"u\"\n";
        format!("{base}{}{more}", if more.starts_with('!') { "" } else { given }).replace('!', "")
    };
    let cases = [
        ("port = 70000", "f:5: cannot use \"70000\" for mysql option \"port\" (allowed are"),
        ("server-id = 0", "f:5: cannot use \"0\" for mysql option \"server-id\""),
        ("connect.timeout = \"soon\"", "f:5: cannot use \"soon\" for mysql option"),
        ("table-name = \"a,b\"", "f:5: cannot use \"a,b\" for mysql option \"table-name\""),
        ("on-lost-position = \"latest\"", "f:5: cannot use \"latest\" for mysql option"),
        ("topic = \"t\"", "f:5: source.table_process.topic = \"t\": a table has no topic"),
        ("password = \"hush\"", "f:5: source.table_process.password: a secret does not stand in"),
        ("properties.a = \"b\"", "f:5: source.table_process.properties.a = \"b\": only connector"),
        ("!username = \"u\"", "f:2: source.table_process.connector = \"mysql\" needs hostname"),
        ("!hostname = \"\"\nusername = \"u\"", "f:3: cannot read a mysql table: hostname is empty"),
    ];
    for (more, expected) in cases {
        let faults = read(&table(more)).expect_err(more);
        assert!(faults.len() == 1 && faults[0].starts_with(expected), "{more}: {faults:?}");
    }
    let whole = table(
        "password = \"${SECRET}\"\nport = 3307\nserver-id = \"5400-5404\"\n\
         on-lost-position = \"snapshot\"\n",
    );
    let checked = read_with(&whole, &[("SECRET", "hush")]).expect("good");
    assert!(!format!("{checked:?}").contains("hush"), "{checked:?}");
    let place = checked.table_process.to_string();
    assert_eq!(place, "mysql table gmall_config.table_process at db:3307 as u");
    let SourcePlace::Mysql(config) = checked.table_process else { panic!("a table") };
    assert_eq!((config.password.as_str(), config.server_id), ("hush", Some(5400)));
}

#[test]
fn a_source_of_the_shop_makes_the_dimensions_run() {
    let jobs = |checked: &Checked| checked.jobs.iter().map(|choice| choice.job).collect::<Vec<_>>();
    for text in ["[source.ods_db]\n", "[source.table_process]\ntopic = \"t\"\n"] {
        assert_eq!(jobs(&good(text)), with_a_shop(), "{text}");
    }
    let variable = ("WATERSHED__SOURCE__ODS_DB__TOPIC", "t");
    assert_eq!(jobs(&read_with("", &[variable]).expect("good")), with_a_shop());
    let listed = good("[source.ods_db]\n[[job]]\nname = \"log_split\"\n");
    assert_eq!(jobs(&listed), [Job::LogSplit]);
    let read: Vec<_> = listed.sources_read().into_iter().map(|(name, _)| name).collect();
    assert_eq!(read, ["ods_log"]);
    let alone = good("[[job]]\nname = \"dimensions\"\n");
    assert_eq!(jobs(&alone), [Job::OdsDb, Job::Dimensions], "its changes come along");
}

#[test]
fn the_configuration_of_facts_makes_them_be_routed() {
    let jobs = |text: &str| good(text).jobs.iter().map(|choice| choice.job).collect::<Vec<_>>();
    let section = "[source.table_process_dwd]\n";
    let mut with_logs = vec![Job::OdsDb, Job::DwdRoute];
    with_logs.extend(Job::LOGS);
    assert_eq!(jobs(section), with_logs);
    let listed = format!("{section}[[job]]\nname = \"dwd_route\"\n");
    assert_eq!(jobs(&listed), [Job::OdsDb, Job::DwdRoute], "its changes come along");
    let table = "connector = \"mysql\"\nhostname = \"db\"\nusername = \"u\"\n";
    let checked = good(&format!("{section}{table}[switch]\ndwd_route.add_ts = \"off\"\n"));
    let place = checked.table_process_dwd.to_string();
    assert_eq!(place, "mysql table gmall_config.table_process_dwd at db:3306 as u");
    assert!(!checked.settings.route_adds_ts);
    let place = good("").table_process_dwd.to_string();
    assert_eq!(place, "embedded topic \"table_process_dwd\", from the earliest record");
    let fault = read(&format!("{section}hostnam = \"db\"\n")).expect_err("no such key");
    let expected =
        "f:2: unknown key \"hostnam\" in [source.table_process_dwd]; did you mean \"hostname\"?";
    assert_eq!(fault, [expected]);
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
