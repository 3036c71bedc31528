//! The requests we make, each in one version.
//!
//! Versions are the newest without tagged fields where nothing newer is needed, and of the classic
//! transaction protocol (before KIP-890's second part), in which the client names the partitions of
//! a transaction itself. Kafka 2.5 and 4.3 serve all of them.

/// One kind of request.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::kafka) struct Api {
    /// Its name in the protocol guide.
    pub(in crate::kafka) name: &'static str,
    pub(super) key: i16,
    pub(super) version: i16,
    /// Whether headers of this version carry tagged fields (KIP-482).
    pub(super) flexible: bool,
}

const fn api(name: &'static str, key: i16, version: i16) -> Api {
    Api { name, key, version, flexible: false }
}

/// Version 8 tells the reason of a refused record.
pub(in crate::kafka) const PRODUCE: Api = api("Produce", 0, 8);
/// Version 13 (Kafka 3.1) names topics by their ids, so that one made anew is never read by mistake
/// (KIP-516), and says of which leader the record before was, so that a log that was cut back is found
/// out (KIP-595).
pub(in crate::kafka) const FETCH: Api = Api { flexible: true, ..api("Fetch", 1, 13) };
/// Version 4 lets us say that topics are not to be made.
pub(in crate::kafka) const METADATA: Api = api("Metadata", 3, 4);
/// Version 11 knows the ids of topics (KIP-516). A producer does not need them.
pub(in crate::kafka) const TOPIC_IDS: Api = Api { flexible: true, ..api("Metadata", 3, 11) };
/// Version 1 knows coordinators of transactions.
pub(in crate::kafka) const FIND_COORDINATOR: Api = api("FindCoordinator", 10, 1);
/// Version 0 is served by every broker there is.
pub(in crate::kafka) const API_VERSIONS: Api = api("ApiVersions", 18, 0);
/// Version 3 renews the epoch of a producer only if no other has taken its id (KIP-360).
pub(in crate::kafka) const INIT_PRODUCER_ID: Api =
    Api { flexible: true, ..api("InitProducerId", 22, 3) };
pub(in crate::kafka) const ADD_PARTITIONS: Api = api("AddPartitionsToTxn", 24, 1);
pub(in crate::kafka) const END_TXN: Api = api("EndTxn", 26, 1);

/// Everything a broker has to serve to who reads.
pub(in crate::kafka) const NEEDED_TO_READ: [&Api; 2] = [&FETCH, &TOPIC_IDS];
/// Everything a broker has to serve to a producer.
pub(super) const NEEDED_TO_WRITE: [&Api; 6] =
    [&PRODUCE, &METADATA, &FIND_COORDINATOR, &INIT_PRODUCER_ID, &ADD_PARTITIONS, &END_TXN];
