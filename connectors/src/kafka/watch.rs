//! What librdkafka says outside of any call: refused log-ins, unreachable brokers.
//!
//! Security errors come only by the error callback; the call that suffers from them merely times
//! out (`_MSG_TIMED_OUT`, `_TIMED_OUT`), so whoever waits MUST ask here too or wait for a minute
//! and then not know why. The callback runs inside `poll` of the client's own thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::error::Fault;
use rdkafka::ClientContext;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Shared by a client's context and its owner.
#[derive(Debug, Default, Clone)]
pub(super) struct Watch(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    /// The cluster refused us: stays.
    denied: Option<Fault>,
    /// No broker could be reached: told once each time it happens.
    unreachable: Option<Fault>,
    /// What the last broken connection said.
    detail: Option<String>,
}

impl Watch {
    /// A fault that came up since the last call, the one that stays first.
    pub(super) fn take(&self) -> Option<Fault> {
        let mut seen = self.lock();
        seen.denied.clone().or_else(|| seen.unreachable.take())
    }

    /// The fault that stays, if there is one.
    pub(super) fn denied(&self) -> Option<Fault> {
        self.lock().denied.clone()
    }

    /// `fault`, which came of waiting in vain, or what explains it better.
    pub(super) fn explain(&self, fault: Fault) -> Fault {
        let seen = self.lock();
        match (&seen.denied, &seen.detail) {
            (Some(denied), _) => denied.clone(),
            (None, Some(detail)) if fault.hint.is_none() => fault.with_hint(detail.clone()),
            (None, _) => fault,
        }
    }

    /// Forgets what was said of connections: one has worked.
    pub(super) fn connected(&self) {
        let mut seen = self.lock();
        seen.detail = None;
        seen.unreachable = None;
    }

    fn note(&self, code: RDKafkaErrorCode, reason: &str) {
        let mut seen = self.lock();
        if is_denied(code, reason) {
            let fault = Fault::never(format!("kafka does not let us in: {reason}"));
            seen.denied = Some(fault.with_hint("check user, password, certificates and rights"));
            return;
        }
        match code {
            RDKafkaErrorCode::AllBrokersDown => {
                let fault = Fault::later("could not reach any kafka broker");
                seen.unreachable = Some(match &seen.detail {
                    Some(detail) => fault.with_hint(detail.clone()),
                    None => fault,
                });
            }
            RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::Resolve
            | RDKafkaErrorCode::SSL => seen.detail = Some(reason.to_owned()),
            // The rest also comes as the answer of a call, or librdkafka deals with it.
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        // Plain values: none can be left half changed by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether somebody must act before this goes away.
fn is_denied(code: RDKafkaErrorCode, reason: &str) -> bool {
    use RDKafkaErrorCode as Code;
    match code {
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::ClusterAuthorizationFailed
        | Code::TopicAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => true,
        // A bad certificate of ours comes as a broken connection with this word in its alert; other
        // broken handshakes may be a broker that is just going down.
        Code::SSL | Code::BrokerTransportFailure => reason.contains("certificate"),
        _ => false,
    }
}

/// Whether `code` means that the cluster refuses what we ask, for good.
pub(super) fn is_refusal(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    is_denied(code, "")
        || matches!(
            code,
            Code::InvalidTransactionTimeout
                | Code::InvalidTopic
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::InvalidReplicationFactor
                | Code::InvalidPartitions
                | Code::InvalidConfig
                | Code::InvalidRecord
                | Code::InvalidMessage
                | Code::PolicyViolation
                | Code::UnsupportedVersion
                | Code::UnsupportedFeature
                | Code::UnsupportedForMessageFormat
                | Code::UnsupportedCompressionType
                | Code::MessageSizeTooLarge
        )
}

/// A fault about `what` for an error code: `Never` if it is a refusal.
pub(super) fn fault_of(code: RDKafkaErrorCode, what: &str) -> Fault {
    if is_refusal(code) {
        Fault::never(format!("cannot {what}: {code}"))
    } else {
        Fault::later(format!("could not {what}: {code}"))
    }
}

/// As [`fault_of`], for an error of a call.
pub(super) fn fault_of_error(error: &KafkaError, what: &str) -> Fault {
    match error.rdkafka_error_code() {
        Some(code) => fault_of(code, what),
        None => Fault::later(format!("could not {what}: {error}")),
    }
}

/// The context of clients that only read or ask.
#[derive(Debug, Default, Clone)]
pub(super) struct Listener(pub(super) Watch);

impl ClientContext for Listener {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(code) = error.rdkafka_error_code() {
            self.0.note(code, reason);
        }
    }
}

impl ConsumerContext for Listener {}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::error::Retry;

    fn told(code: RDKafkaErrorCode, reason: &str) -> Watch {
        let watch = Watch::default();
        Listener(watch.clone()).error(KafkaError::Global(code), reason);
        watch
    }

    #[test]
    fn a_refused_log_in_stays_and_explains_time_outs() {
        let watch = told(RDKafkaErrorCode::Authentication, "invalid credentials");
        for _ in 0..2 {
            assert_eq!(watch.take().unwrap().retry, Retry::Never);
        }
        let fault = watch.explain(Fault::later("could not read metadata: timed out"));
        assert!(fault.to_string().contains("invalid credentials"), "{fault}");
    }

    #[test]
    fn only_certificates_make_a_broken_connection_final() {
        let bad = "ssl/tls alert bad certificate: SSL alert number 42";
        let watch = told(RDKafkaErrorCode::BrokerTransportFailure, bad);
        assert_eq!(watch.denied().unwrap().retry, Retry::Never);
        let watch = told(RDKafkaErrorCode::SSL, "SSL handshake failed: disconnected");
        assert_eq!(watch.denied(), None);
        assert_eq!(watch.take(), None);
    }

    #[test]
    fn unreachable_is_told_once_with_its_reason() {
        let watch = told(RDKafkaErrorCode::BrokerTransportFailure, "connection refused");
        watch.note(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let fault = watch.take().unwrap();
        assert_eq!(
            (fault.retry, fault.hint.as_deref()),
            (Retry::Later, Some("connection refused"))
        );
        assert_eq!(watch.take(), None);
    }
}
