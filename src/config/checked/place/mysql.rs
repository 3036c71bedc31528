//! The keys of a MySQL table, handed to its connector under the names Flink CDC gives them.
//!
//! What a value means is judged by the connector; here it is only found out whose line its fault is.

use std::collections::BTreeMap;

use connectors::mysql::config::MysqlTableConfig;

use super::SourcePlace;
use crate::config::checked::judge::Judge;
use crate::config::raw::{Given, TableProcess};

/// What the reference solutions call the database (warehouse 1.2).
const DATABASE: &str = "gmall_config";
/// What must be given.
const NEEDED: [&str; 2] = ["hostname", "username"];

/// The keys that only a table has.
pub(super) fn keys(raw: &TableProcess) -> [(&'static str, Option<&Given>); 10] {
    [
        ("hostname", raw.hostname.as_ref()),
        ("port", raw.port.as_ref()),
        ("username", raw.username.as_ref()),
        ("password", raw.password.as_ref()),
        ("database-name", raw.database_name.as_ref()),
        ("table-name", raw.table_name.as_ref()),
        ("server-id", raw.server_id.as_ref()),
        ("connect.timeout", raw.connect_timeout.as_ref()),
        ("heartbeat.interval", raw.heartbeat_interval.as_ref()),
        ("heartbeat.timeout", raw.heartbeat_timeout.as_ref()),
    ]
}

/// The table, called `name` unless it is said. Where there is a fault, the answer is only something to go on with.
pub(super) fn source(
    name: &str,
    raw: &TableProcess,
    connector: &Given,
    judge: &mut Judge<'_>,
) -> SourcePlace {
    let mut given = keys(raw).to_vec();
    given.push(("on-lost-position", raw.on_lost_position.as_ref()));
    given.retain(|(_, given)| given.is_some());
    let before = judge.faults.len();
    let mut options: BTreeMap<String, String> = [("database-name", DATABASE), ("table-name", name)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    for (name, given) in &given {
        let value = judge.text_or_number(*given);
        options.extend(value.map(|value| ((*name).to_owned(), value)));
    }
    for name in NEEDED {
        if given.iter().all(|(known, _)| *known != name) {
            judge.fault(connector, format_args!(" needs {name}"));
        }
    }
    match MysqlTableConfig::from_options(&options) {
        Ok(config) => return SourcePlace::Mysql(config),
        // What is missing has been said.
        Err(_) if judge.faults.len() > before => {}
        Err(fault) => {
            let text = fault.to_string();
            // The connector names the option it does not take.
            let named = |(name, _): &&(&str, Option<&Given>)| {
                text.contains(&format!("\"{name}\"")) || text.contains(&format!("{name} is empty"))
            };
            let blamed = given.iter().find(named).and_then(|(_, given)| *given);
            judge.fault_at(&blamed.unwrap_or(connector).place, text);
        }
    }
    SourcePlace::File { path: Default::default() }
}
