//! As much of Kafka's protocol as a transactional producer and a consumer of assigned partitions need.
//!
//! ```text
//!   bytes   primitive types          api      which requests, in which version
//!   message bodies of requests       batch    records as they lie in a topic
//!   code    error codes              connection  one broker: requests out, answers in order
//!   records batches being read       unpack   those that are compressed
//! ```
//!
//! Source of every layout: the protocol guide of Apache Kafka and its message definitions. Each
//! request has exactly one version here, one that brokers from 2.5 to 4.3 serve (ids: from 2.8, fetch:
//! from 3.1); a broker that does not is found out by the first question on each connection, not by
//! garbage later. Not here: what to do about an answer (that are the [producer](super::producer) and the
//! source's fetcher), TLS, SASL and writing compressed batches (that is left to librdkafka).

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
