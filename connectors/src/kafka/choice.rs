//! Which client does the work, reading or writing: our own one, or librdkafka's.
//!
//! Ours speak plain text. One is chosen unless a setting asks for something it has no part in (TLS,
//! SASL, anything librdkafka alone knows); then librdkafka does the work, more slowly and with the same
//! guarantees. What each of ours takes stands with the [source](super::source) and the
//! [sink](super::sink).

use super::config::KafkaConfig;
use super::wire::address::Address;

/// Who does it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice<S> {
    /// Our own client, which is told this.
    Own(S),
    /// librdkafka's, because of this setting.
    Librdkafka(String),
}

/// Settings that a client of ours takes.
#[derive(Debug)]
pub(super) struct Taken {
    /// Names of settings that it follows, or that change nothing for it.
    pub(super) names: &'static [&'static [&'static str]],
    /// How names of settings begin otherwise that change nothing for it.
    pub(super) beginnings: &'static [&'static str],
    /// Settings that leave everything as it is with this value, and only with this.
    pub(super) values: &'static [(&'static str, &'static str)],
}

/// Settings of both sides.
const COMMON: [&str; 1] = ["client.id"];
/// What a client of ours speaks, which may be said.
const PLAIN: (&str, &str) = ("security.protocol", "plaintext");

impl Taken {
    fn takes(&self, key: &str, value: &str) -> bool {
        COMMON.contains(&key)
            || self.names.iter().any(|names| names.contains(&key))
            || self.beginnings.iter().any(|beginning| key.starts_with(beginning))
            || self
                .values
                .iter()
                .chain([&PLAIN])
                .any(|(name, harmless)| *name == key && value.eq_ignore_ascii_case(harmless))
    }
}

impl<S> Choice<S> {
    /// Who can do what the settings ask for. `read` makes of them what our own client is told, or names
    /// the one whose value is none: librdkafka says what is wrong with it.
    pub(super) fn of(
        config: &KafkaConfig,
        taken: &Taken,
        read: impl FnOnce(Vec<Address>) -> Result<S, &'static str>,
    ) -> Self {
        if let Some((key, _)) = config.settings().find(|(key, value)| !taken.takes(key, value)) {
            return Self::Librdkafka(key.to_owned());
        }
        let brokers = Address::list(&config.bootstrap).ok_or("bootstrap.servers");
        match brokers.and_then(read) {
            Ok(settings) => Self::Own(settings),
            Err(key) => Self::Librdkafka(key.to_owned()),
        }
    }
}

/// The value of a setting, no less than `least`, or the usual one; the name if it is no number.
pub(super) fn number(
    config: &KafkaConfig,
    key: &'static str,
    usual: u32,
    least: i32,
) -> Result<i32, &'static str> {
    match config.setting(key) {
        None => Ok(i32::try_from(usual).expect("a usual value is small")),
        Some(text) => text.parse().ok().filter(|number| *number >= least).ok_or(key),
    }
}
