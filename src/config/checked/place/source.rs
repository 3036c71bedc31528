//! Sections of sources, judged: those of topics and files, and that of the configuration, which may
//! also be a table.
//!
//! A key that says nothing for the connector chosen is refused: whoever wrote it expected something.

use std::collections::BTreeMap;

use engine::source::Start;

use super::address::{Address, Connector, address};
use super::{LOST_WORDS, SourcePlace, mysql, topic_name};
use crate::config::checked::judge::Judge;
use crate::config::checked::switch::{Begin, start};
use crate::config::raw::{Given, OdsDb, OdsLog, TableProcess};

const EMBEDDED: (&str, Connector) = ("embedded", Connector::Embedded);
const KAFKA: (&str, Connector) = ("kafka", Connector::Kafka);
const FILE: (&str, Connector) = ("file", Connector::File);
const MYSQL: (&str, Connector) = ("mysql", Connector::Mysql);

/// What the sections of sources have in common.
struct Keys<'a> {
    connector: Option<&'a Given>,
    topic: Option<&'a Given>,
    path: Option<&'a Given>,
    mode: Option<&'a Given>,
    on_lost_position: Option<&'a Given>,
    properties: &'a BTreeMap<String, Given>,
}

/// Judges `[source.ods_log]`; `begin` is for one without a startup mode.
pub(in crate::config::checked) fn log_source(
    raw: &OdsLog,
    begin: Begin<'_>,
    judge: &mut Judge<'_>,
) -> SourcePlace {
    let keys = Keys {
        connector: raw.connector.as_ref(),
        topic: raw.topic.as_ref(),
        path: raw.path.as_ref(),
        mode: raw.scan_startup_mode.as_ref(),
        on_lost_position: raw.on_lost_position.as_ref(),
        properties: &raw.properties,
    };
    let chosen = judge.choice(keys.connector, &[EMBEDDED, KAFKA, FILE], &[]);
    let millis = raw.scan_startup_timestamp_millis.as_ref();
    let start = start("source.ods_log", begin, (keys.mode, millis), judge);
    stream(&keys, chosen, ("ods_log", start), judge)
}

/// Judges `[source.ods_db]`; `begin` is for one without a startup mode.
pub(in crate::config::checked) fn db_source(
    raw: &OdsDb,
    begin: Begin<'_>,
    judge: &mut Judge<'_>,
) -> SourcePlace {
    let keys = Keys {
        connector: raw.connector.as_ref(),
        topic: raw.topic.as_ref(),
        path: raw.path.as_ref(),
        mode: raw.scan_startup_mode.as_ref(),
        on_lost_position: raw.on_lost_position.as_ref(),
        properties: &raw.properties,
    };
    let chosen = judge.choice(keys.connector, &[EMBEDDED, KAFKA, FILE], &["mysql"]);
    let millis = raw.scan_startup_timestamp_millis.as_ref();
    let start = start("source.ods_db", begin, (keys.mode, millis), judge);
    stream(&keys, chosen, ("ods_db", start), judge)
}

/// Judges `[source.table_process]` or its sister, by what stands after the dot: whatever it is, it is
/// read from its beginning. That is also what its topic and its table are called unless it is said.
pub(in crate::config::checked) fn config_source(
    name: &'static str,
    raw: &TableProcess,
    judge: &mut Judge<'_>,
) -> SourcePlace {
    let connector = raw.connector.as_ref();
    let chosen = judge.choice(connector, &[EMBEDDED, KAFKA, MYSQL, FILE], &[]);
    judge.choice(
        raw.scan_startup_mode.as_ref(),
        &[("initial", ()), ("earliest-offset", ())],
        &["latest-offset", "timestamp"],
    );
    if let (Connector::Mysql, Some(connector)) = (chosen, connector) {
        for (given, has_no) in [(&raw.topic, "topic"), (&raw.path, "path")] {
            refuse(given.as_ref(), &format!(": a table has no {has_no}"), judge);
        }
        // Says what is wrong with properties.
        address(chosen, Some(connector), &raw.properties, judge);
        return mysql::source(name, raw, connector, judge);
    }
    for given in mysql::keys(raw).into_iter().filter_map(|(_, given)| given) {
        refuse(Some(given), ": only connector \"mysql\" takes it", judge);
    }
    let keys = Keys {
        connector,
        topic: raw.topic.as_ref(),
        path: raw.path.as_ref(),
        mode: None,
        on_lost_position: raw.on_lost_position.as_ref(),
        properties: &raw.properties,
    };
    stream(&keys, chosen, (name, Start::Earliest), judge)
}

/// A source of topics or a file; `default` is the name of its topic unless one is given, and where
/// it begins.
fn stream(
    keys: &Keys<'_>,
    chosen: Connector,
    default: (&str, Start),
    judge: &mut Judge<'_>,
) -> SourcePlace {
    let (name, start) = default;
    let topic = topic_name(keys.topic, name, judge);
    let address = address(chosen, keys.connector, keys.properties, judge);
    let on_lost_position = judge.choice(keys.on_lost_position, &LOST_WORDS, &[]);
    if chosen == Connector::File {
        refuse(keys.on_lost_position, ": a file loses no positions", judge);
    }
    if chosen != Connector::File {
        refuse(keys.path, ": only connector \"file\" takes it", judge);
    }
    match address {
        Address::Kafka(mut config) => {
            config.topics = vec![topic];
            config.on_lost_position = on_lost_position;
            SourcePlace::Kafka { config, start }
        }
        Address::File => file(keys, judge),
        Address::Embedded | Address::Mysql => {
            SourcePlace::Embedded { topic, start, on_lost_position }
        }
    }
}

fn file(keys: &Keys<'_>, judge: &mut Judge<'_>) -> SourcePlace {
    let path = judge.text(keys.path);
    if let (Some(connector), None) = (keys.connector, keys.path) {
        judge.fault(connector, " needs path");
    }
    refuse(keys.topic, ": a file has no topic", judge);
    refuse(keys.mode, ": a file is read from its beginning", judge);
    SourcePlace::File { path: path.unwrap_or_default().into() }
}

fn refuse(given: Option<&Given>, message: &str, judge: &mut Judge<'_>) {
    if let Some(given) = given {
        judge.fault(given, message);
    }
}
