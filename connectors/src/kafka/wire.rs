//! As much of Kafka's protocol as a transactional producer needs, and who asks for the ids of topics,
//! on a blocking socket.
//!
//! ```text
//!   bytes   primitive types          api      which requests, in which version
//!   message bodies of requests       batch    records as they lie in a topic
//!   code    error codes              connection  one broker: requests out, answers in order
//! ```
//!
//! Source of every layout: the protocol guide of Apache Kafka and its message definitions. Each
//! request has exactly one version here, one that brokers from 2.5 to 4.3 serve (ids: from 2.8); a
//! broker that does not is found out by the first question on each connection, not by garbage later.
//! Not here: what to do about an answer (that is the [producer](super::producer)), TLS, SASL and
//! compression (for those librdkafka writes).

pub(super) mod address;
pub(super) mod api;
pub(super) mod batch;
pub(super) mod bytes;
pub(super) mod code;
pub(super) mod connection;
pub(super) mod failure;
pub(super) mod message;
pub(super) mod records;
pub(super) mod request;
pub(super) mod unpack;
