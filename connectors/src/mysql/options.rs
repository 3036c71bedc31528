//! The options of Flink CDC's MySQL connector, read into a [`MysqlTableConfig`].
//!
//! Option names are Flink CDC's where it has one; `on-lost-position` and `heartbeat.timeout` are ours.
//! An unknown option is refused: a misspelt one must not pass for its default. Options that tune what
//! we do not have (chunks, parallel readers) are accepted, since they mean nothing here.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::error::Fault;

use super::config::{MysqlTableConfig, OnLostPosition};

const ALLOWED: &str = "hostname, port, username, password, database-name, table-name, server-id, \
                       connect.timeout, heartbeat.interval, heartbeat.timeout, on-lost-position, \
                       scan.startup.mode=initial";

/// Options of Flink CDC that change nothing here.
const WITHOUT_MEANING: &[&str] = &[
    "connector",
    "format",
    "server-time-zone",
    "connect.max-retries",
    "connection.pool.size",
    "chunk-meta.group.size",
    "chunk-key.even-distribution.factor.upper-bound",
    "chunk-key.even-distribution.factor.lower-bound",
];

impl MysqlTableConfig {
    /// Reads options as a Flink SQL table or a Flink CDC builder has them.
    ///
    /// # Errors
    /// An option is missing, unknown, or has a value that is not allowed; the fault names it.
    pub fn from_options(options: &BTreeMap<String, String>) -> Result<Self, Fault> {
        let given = |key: &str| options.get(key).cloned().unwrap_or_default();
        let mut config = Self::new(
            given("hostname"),
            given("username"),
            given("password"),
            given("database-name"),
            table_of(&given("database-name"), &given("table-name")),
        )?;
        for (key, value) in options {
            apply(&mut config, key, value)?;
        }
        Ok(config)
    }
}

/// Flink CDC's builder takes `database.table` for the table.
fn table_of(database: &str, table: &str) -> String {
    let plain = table.strip_prefix(database).and_then(|rest| rest.strip_prefix('.'));
    plain.unwrap_or(table).to_owned()
}

fn apply(config: &mut MysqlTableConfig, key: &str, value: &str) -> Result<(), Fault> {
    match key {
        "hostname" | "username" | "password" => {}
        "database-name" | "table-name" => check_name(key, value)?,
        "port" => config.port = number(key, value, "1 to 65535")?,
        "server-id" => config.server_id = Some(server_id(key, value)?),
        "connect.timeout" => config.connect_timeout = duration(key, value)?,
        "heartbeat.interval" => config.progress_interval = duration(key, value)?,
        "heartbeat.timeout" => {
            config.heartbeat_timeout = duration(key, value)?;
            if config.heartbeat_timeout <= 2 * config.heartbeat {
                return Err(bad_value(key, value, "more than 10s"));
            }
        }
        "on-lost-position" => {
            config.on_lost_position = match value {
                "stop" => OnLostPosition::Stop,
                "snapshot" => OnLostPosition::Snapshot,
                _ => return Err(bad_value(key, value, "stop, snapshot")),
            }
        }
        "scan.startup.mode" if value != "initial" => return Err(bad_value(key, value, "initial")),
        "scan.startup.mode" => {}
        _ if WITHOUT_MEANING.contains(&key)
            || key.starts_with("scan.incremental.")
            || key.starts_with("scan.snapshot.") => {}
        _ => {
            let fault = Fault::never(format!("cannot use mysql option \"{key}\""));
            return Err(fault.with_hint(format!("allowed are {ALLOWED}")));
        }
    }
    Ok(())
}

/// Flink CDC takes regular expressions and lists; this source reads one table.
fn check_name(key: &str, value: &str) -> Result<(), Fault> {
    let is_plain = !value.contains([',', '*', '[', ']', '(', ')', '|', '\\', '?', '+', '^']);
    if is_plain { Ok(()) } else { Err(bad_value(key, value, "the name of one")) }
}

/// One id, or the first of a range such as `5400-5404`.
fn server_id(key: &str, value: &str) -> Result<u32, Fault> {
    let allowed = "1 to 4294967295, or a range of which the first is taken";
    let (first, last) = value.split_once('-').unwrap_or((value, value));
    number::<u32>(key, last, allowed)?;
    match number(key, first, allowed)? {
        0 => Err(bad_value(key, value, allowed)),
        id => Ok(id),
    }
}

fn number<N: std::str::FromStr>(key: &str, value: &str, allowed: &str) -> Result<N, Fault> {
    value.trim().parse().map_err(|_not_one| bad_value(key, value, allowed))
}

/// `30s`, `500ms`, `2 min` as in Flink, or ISO-8601 `PT30S` as Flink prints it.
fn duration(key: &str, value: &str) -> Result<Duration, Fault> {
    let bad = || bad_value(key, value, "such as 500ms, 30s, 2min");
    let text = value.trim().to_lowercase();
    let text = text.strip_prefix("pt").unwrap_or(&text);
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
    let amount: u64 = digits.parse().map_err(|_not_one| bad())?;
    let millis = match unit.trim() {
        "ms" | "milli" | "millis" => 1,
        "s" | "sec" | "second" | "seconds" => 1000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        _ => return Err(bad()),
    };
    match amount.checked_mul(millis) {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err(bad()),
    }
}

fn bad_value(key: &str, value: &str, allowed: &str) -> Fault {
    Fault::never(format!("cannot use \"{value}\" for mysql option \"{key}\""))
        .with_hint(format!("allowed are {allowed}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(options: &[(&str, &str)]) -> Result<MysqlTableConfig, Fault> {
        let needed = [
            ("hostname", "db"),
            ("username", "u"),
            ("password", "hunter2"),
            ("database-name", "gmall_config"),
            ("table-name", "table_process"),
        ];
        let all = needed.iter().chain(options);
        MysqlTableConfig::from_options(&all.map(|(k, v)| ((*k).into(), (*v).into())).collect())
    }

    #[test]
    fn reads_what_a_flink_table_says() {
        let config = read(&[
            ("connector", "mysql-cdc"),
            ("port", "3307"),
            ("table-name", "gmall_config.table_process"),
            ("server-id", "5400-5404"),
            ("server-time-zone", "Asia/Shanghai"),
            ("scan.startup.mode", "initial"),
            ("scan.incremental.snapshot.enabled", "true"),
            ("connect.timeout", "500 ms"),
            ("heartbeat.interval", "PT10S"),
            ("heartbeat.timeout", "1min"),
            ("on-lost-position", "snapshot"),
        ])
        .unwrap();
        assert_eq!((config.host.as_str(), config.port), ("db", 3307));
        assert_eq!(config.full_name(), "gmall_config.table_process");
        assert_eq!(config.server_id, Some(5400));
        assert_eq!(config.connect_timeout, Duration::from_millis(500));
        assert_eq!(config.progress_interval, Duration::from_secs(10));
        assert_eq!(config.heartbeat_timeout, Duration::from_secs(60));
        assert_eq!(config.on_lost_position, OnLostPosition::Snapshot);
        assert_eq!(read(&[]).unwrap().port, 3306);
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (key, value, allowed) in [
            ("host", "db", "hostname, port"),
            ("port", "70000", "1 to 65535"),
            ("server-id", "0", "1 to 4294967295"),
            ("server-id", "5400-x", "1 to 4294967295"),
            ("table-name", "table_.*", "the name of one"),
            ("scan.startup.mode", "latest-offset", "initial"),
            ("connect.timeout", "soon", "30s"),
            ("connect.timeout", "0s", "30s"),
            ("heartbeat.timeout", "5s", "more than 10s"),
            ("on-lost-position", "earliest", "stop, snapshot"),
        ] {
            let fault = read(&[(key, value)]).unwrap_err().to_string();
            assert!(fault.contains(&format!("\"{key}\"")), "{fault}");
            assert!(fault.contains(allowed), "{fault}");
        }
        assert!(MysqlTableConfig::from_options(&BTreeMap::new()).is_err());
    }
}
