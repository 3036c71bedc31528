//! A consumer with the thread beside it.

use std::sync::Arc;

use engine::error::Fault;
use rdkafka::ClientConfig;

use super::Reader;
use super::identity::Identities;
use super::inquiry::Inquiry;
use crate::kafka::config::bad_setting;
use crate::kafka::watch::{Listener, Watch};

/// The parts that talk to the cluster. The thread beside lets go of the consumer last, so that
/// closing it never holds up the caller.
pub(super) struct Client {
    pub(super) consumer: Arc<Reader>,
    pub(super) inquiry: Inquiry,
}

impl Client {
    /// Starts both; nothing is waited for.
    pub(super) fn start(
        config: &ClientConfig,
        identities: Identities,
        watch: &Watch,
    ) -> Result<Self, Fault> {
        let context = Listener(watch.clone());
        let consumer: Reader =
            config.create_with_context(context).map_err(|error| bad_setting(&error))?;
        let consumer = Arc::new(consumer);
        let inquiry = Inquiry::start(consumer.clone(), identities, watch.clone())?;
        Ok(Self { consumer, inquiry })
    }
}
