//! Which system a section means: its connector and its properties together.

use std::collections::BTreeMap;

use connectors::kafka::config::KafkaConfig;

use crate::config::checked::judge::Judge;
use crate::config::raw::Given;

/// The property whose value may also be `embedded`.
const SERVERS: &str = "bootstrap.servers";

/// The word of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Connector {
    Embedded,
    Kafka,
    Mysql,
    File,
}

/// A connector with all it needs to find its system.
pub(super) enum Address {
    Embedded,
    Kafka(KafkaConfig),
    Mysql,
    File,
}

/// What connector and properties mean together: Kafka at the address `embedded` is the embedded
/// log. A cluster without an address is a fault, and taken for the embedded log.
pub(super) fn address(
    chosen: Connector,
    given: Option<&Given>,
    raw: &BTreeMap<String, Given>,
    judge: &mut Judge<'_>,
) -> Address {
    let mut properties: BTreeMap<String, String> = BTreeMap::new();
    for (name, given) in raw {
        properties.extend(judge.text(Some(given)).map(|text| (name.clone(), text)));
    }
    let servers = properties.remove(SERVERS);
    match (chosen, raw.values().next(), given) {
        (Connector::Embedded, ..) if servers.as_deref() == Some("embedded") => Address::Embedded,
        (Connector::Embedded | Connector::File | Connector::Mysql, Some(property), _) => {
            judge.fault(property, ": only connector \"kafka\" takes properties");
            Address::Embedded
        }
        (Connector::Embedded, None, _) => Address::Embedded,
        (Connector::File, None, _) => Address::File,
        (Connector::Mysql, None, _) => Address::Mysql,
        (Connector::Kafka, _, given) => {
            kafka(servers, properties, given.expect("Kafka is no default"), raw, judge)
        }
    }
}

fn kafka(
    servers: Option<String>,
    properties: BTreeMap<String, String>,
    connector: &Given,
    raw: &BTreeMap<String, Given>,
    judge: &mut Judge<'_>,
) -> Address {
    let servers = match servers.as_deref() {
        Some("embedded") => return Address::Embedded,
        Some(servers) => servers,
        None => {
            // One that is given but cannot be read has a fault of its own.
            if !raw.contains_key(SERVERS) {
                judge.fault(connector, " needs properties.bootstrap.servers");
            }
            return Address::Embedded;
        }
    };
    match KafkaConfig::new(servers, properties) {
        Ok(config) => Address::Kafka(config),
        Err(fault) => {
            // The connector quotes the property it does not take.
            let text = fault.to_string();
            let blamed = raw.iter().find(|(name, _)| text.contains(&format!("\"{name}\"")));
            let place = blamed.map_or(&connector.place, |(_, given)| &given.place);
            judge.fault_at(place, text);
            Address::Embedded
        }
    }
}
