//! The ids of a source's topics, by which one that was made anew is found out.
//!
//! librdkafka does not show them, so they are asked for over a connection of our own, which speaks
//! plain text to brokers since 2.8. Elsewhere (TLS, SASL, older brokers) nothing is known of them,
//! and a topic made anew with at least as many records cannot be told from the old one.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use engine::error::Fault;

use crate::kafka::config::KafkaConfig;
use crate::kafka::position::TopicId;
use crate::kafka::wire::address::Address;
use crate::kafka::wire::api::TOPIC_IDS;
use crate::kafka::wire::code::ErrorCode;
use crate::kafka::wire::connection::Connection;
use crate::kafka::wire::failure::{Failure, Patience};
use crate::kafka::wire::message::topic_id::{self, Named};

/// How long all brokers together may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);
/// Settings of a cluster that our connection does not speak to begin with one of these.
const SECURE: [&str; 3] = ["ssl.", "sasl.", "security."];

/// Whom to ask.
#[derive(Debug, Default)]
pub(super) struct Identities {
    /// Nobody where the cluster does not speak plain text.
    brokers: Vec<Address>,
    client: String,
    /// Whether an answer came before: then a failure means that the brokers of old are gone, and the
    /// source need not stop for it.
    heard: Cell<bool>,
}

impl Identities {
    /// The brokers of this cluster.
    pub(super) fn of(config: &KafkaConfig) -> Self {
        let is_plain = |key: &str, value: &str| {
            let other = || !SECURE.iter().any(|begin| key.starts_with(begin));
            other() || (key == "security.protocol" && value.eq_ignore_ascii_case("plaintext"))
        };
        let plain = config.settings().all(|(key, value)| is_plain(key, value));
        let brokers = Address::list(&config.bootstrap).filter(|_| plain).unwrap_or_default();
        let client = config.client_id().to_owned();
        Self { brokers, client, heard: Cell::new(false) }
    }

    /// The id of each topic, in order, as far as it can be known. Waits for the answer.
    ///
    /// # Errors
    /// The first time, where the brokers cannot be reached.
    pub(super) fn ask(&self, topics: &[String]) -> Result<Vec<Option<TopicId>>, Fault> {
        let named = match self.named(topics) {
            Ok(named) => named,
            // Nor will it be known later.
            Err(None | Some(Failure::Unserved { .. } | Failure::Garbled { .. })) => Vec::new(),
            Err(Some(_)) if self.heard.get() => Vec::new(),
            Err(Some(failure)) => {
                return Err(Fault::later(format!("could not ask for ids of topics: {failure}")));
            }
        };
        let id = |topic: &String| {
            let found = named.iter().find(|found| found.name == *topic)?;
            TopicId::new(found.id).filter(|_| found.code == ErrorCode::NONE)
        };
        Ok(topics.iter().map(id).collect())
    }

    /// What the first broker says that answers.
    fn named(&self, topics: &[String]) -> Result<Vec<Named>, Option<Failure>> {
        // The thread beside has nothing better to do, and nobody waits for its end.
        let patience = Patience::new(ANSWER_LIMIT, &(Arc::new(|| false) as _));
        let mut last = None;
        for broker in &self.brokers {
            let opened = Connection::open_for(&[&TOPIC_IDS], broker, &self.client, &patience);
            let answer = opened.and_then(|mut connection| {
                let write = |body: &mut Vec<u8>| topic_id::write(body, topics);
                connection.ask(&TOPIC_IDS, &patience, write, topic_id::read)
            });
            match answer {
                Ok(named) => {
                    self.heard.set(true);
                    return Ok(named.topics);
                }
                Err(failure) => last = Some(failure),
            }
        }
        Err(last)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn only_a_cluster_of_plain_text_is_asked() {
        let brokers = |bootstrap: &str, settings: &[(&str, &str)]| {
            let settings: BTreeMap<String, String> =
                settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            Identities::of(&KafkaConfig::new(bootstrap, settings).unwrap()).brokers.len()
        };
        assert_eq!(brokers("b:1,c:2", &[("fetch.min.bytes", "1")]), 2);
        assert_eq!(brokers("b:1", &[("security.protocol", "PLAINTEXT")]), 1);
        assert_eq!(brokers("b:1", &[("security.protocol", "ssl")]), 0);
        assert_eq!(brokers("b:1", &[("sasl.username", "bob")]), 0);
        assert_eq!(brokers("SSL://b:1", &[]), 0);
        // Nobody to ask is no fault.
        let nobody = Identities::default().ask(&["t".to_owned()]).unwrap();
        assert_eq!(nobody, [None]);
    }
}
