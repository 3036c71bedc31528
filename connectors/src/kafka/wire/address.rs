//! Where a broker listens, and the list of those to ask first.

use std::fmt;

/// Kafka's port where none is given.
const DEFAULT_PORT: u16 = 9092;

/// Host and port of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kafka) struct Address {
    pub(in crate::kafka) host: String,
    pub(in crate::kafka) port: u16,
}

impl Address {
    /// The addresses of a `bootstrap.servers`: `host:port` separated by commas, each perhaps with
    /// the name of its protocol before it. `None` if it is not a list for plain text.
    pub(in crate::kafka) fn list(text: &str) -> Option<Vec<Self>> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let all: Option<Vec<Self>> = parts.map(Self::one).collect();
        all.filter(|all| !all.is_empty())
    }

    fn one(text: &str) -> Option<Self> {
        let place = match text.split_once("://") {
            Some((protocol, place)) if protocol.eq_ignore_ascii_case("plaintext") => place,
            Some(_) => return None,
            None => text,
        };
        let (host, port) = match place.rsplit_once(':') {
            // The colons of a bare IPv6 address are not before a port.
            Some((host, port)) if host.ends_with(']') || !host.contains(':') => {
                (host, port.parse().ok()?)
            }
            Some(_) | None => (place, DEFAULT_PORT),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        (!host.is_empty()).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_librdkafka_reads() {
        let texts = |list: &str| {
            Address::list(list).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let expected = ["a:1", "b:9092", "[::1]:2", "[fe80::1]:9092", "c:3"];
        let given = "a:1, b,[::1]:2,fe80::1,PlainText://c:3,";
        assert_eq!(texts(given).unwrap(), expected);
        for bad in ["", " , ", "SSL://a:1", "a:port", ":9092", "a:70000"] {
            assert_eq!(texts(bad), None, "{bad}");
        }
    }
}
