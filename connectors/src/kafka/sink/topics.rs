//! The topics a sink needs: found, or made.
//!
//! Target topics that exist are taken as they are. The progress topic is checked more closely,
//! because exactness rests on it: one partition, and never emptied by age.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use engine::error::Fault;
use rdkafka::admin::{
    AdminClient, AdminOptions, NewTopic, OwnedResourceSpecifier, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};

use crate::kafka::client::Client;
use crate::kafka::config::{KafkaConfig, bad_setting};
use crate::kafka::watch::{fault_of, fault_of_error};

/// How long the cluster may take to make a topic, and to let all brokers know.
const MAKE_LIMIT: Duration = Duration::from_secs(15);
/// Pause between two looks for a new topic.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long brokers may be too few for the replicas we ask for. One that is busy misses its heartbeats, and
/// takes no replicas until it is heard of again; only then is it a mistake in the settings.
const BROKERS_LIMIT: Duration = Duration::from_secs(10);
/// Pause between two attempts meanwhile.
const BROKERS_PAUSE: Duration = Duration::from_millis(200);

/// Settings of a progress topic that we make: only the last record of a key counts, and small
/// segments are compacted soon, so that reading it at the start stays quick.
const PROGRESS_SETTINGS: &[(&str, &str)] = &[
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

/// Makes what is missing of the target topics and the progress topic.
pub(super) fn ensure(
    config: &KafkaConfig,
    targets: &[String],
    stopped: &dyn Fn() -> bool,
) -> Result<(), Fault> {
    let client = Client::new(config, &[], stopped)?;
    for target in targets {
        ensure_target(&client, config, target)?;
    }
    let progress = config.progress_topic.as_str();
    if client.partitions(progress)?.is_none() {
        make(&client, config, (progress, 1), PROGRESS_SETTINGS)?;
    }
    if wait_for(&client, progress)? != 1 {
        return Err(bad_progress_topic(progress, "it must have one partition"));
    }
    match setting(config, progress, "cleanup.policy") {
        Some(policy) if policy != "compact" => {
            let text = format!("its cleanup.policy must be compact, not {policy}");
            Err(bad_progress_topic(progress, &text))
        }
        // Not everybody may ask for settings.
        Some(_) | None => Ok(()),
    }
}

/// Makes a target topic if it is missing.
pub(super) fn ensure_one(
    config: &KafkaConfig,
    target: &str,
    stopped: &dyn Fn() -> bool,
) -> Result<(), Fault> {
    ensure_target(&Client::new(config, &[], stopped)?, config, target)
}

fn ensure_target(client: &Client<'_>, config: &KafkaConfig, target: &str) -> Result<(), Fault> {
    if client.partitions(target)?.is_none() {
        make(client, config, (target, i32::from(config.partitions)), &[])?;
        wait_for(client, target)?;
    }
    Ok(())
}

fn bad_progress_topic(topic: &str, why: &str) -> Fault {
    Fault::never(format!("cannot use kafka topic \"{topic}\" for progress: {why}"))
        .with_hint("name another progress topic: one that does not exist is made as it must be")
}

/// Number of partitions of a topic that is about to appear.
fn wait_for(client: &Client<'_>, topic: &str) -> Result<usize, Fault> {
    let started = Instant::now();
    loop {
        if let Some(partitions) = client.partitions(topic)? {
            return Ok(partitions);
        }
        if started.elapsed() > MAKE_LIMIT {
            return Err(Fault::later(format!("could not see new kafka topic \"{topic}\"")));
        }
        client.poll(LOOK_EVERY)?;
    }
}

fn make(
    client: &Client<'_>,
    config: &KafkaConfig,
    (topic, partitions): (&str, i32),
    settings: &[(&str, &str)],
) -> Result<(), Fault> {
    let what = format!("make kafka topic \"{topic}\"");
    let replication = TopicReplication::Fixed(i32::from(config.replication));
    let mut new = NewTopic::new(topic, partitions, replication);
    for (key, value) in settings {
        new = new.set(key, value);
    }
    let (admin, started) = (admin(config)?, Instant::now());
    loop {
        let made = block_on(admin.create_topics([&new], &options()));
        let made = made.map_err(|error| fault_of_error(&error, &what))?;
        match made.into_iter().next() {
            None | Some(Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => return Ok(()),
            Some(Err((_, RDKafkaErrorCode::InvalidReplicationFactor)))
                if started.elapsed() < BROKERS_LIMIT => {}
            Some(Err((_, code))) => {
                return Err(fault_of(code, &what).with_hint(
                    "make the topic by hand, or give the user the right to create topics",
                ));
            }
        }
        client.poll(BROKERS_PAUSE)?;
    }
}

/// The largest batch that each of these topics takes, as far as the cluster tells us; `None` if it does not
/// answer.
pub(super) fn batch_bytes_max(
    config: &KafkaConfig,
    topics: &[&str],
) -> Option<BTreeMap<String, u64>> {
    let told = settings(config, topics, "max.message.bytes")?.into_iter();
    Some(told.filter_map(|(topic, value)| Some((topic, value.parse().ok()?))).collect())
}

fn setting(config: &KafkaConfig, topic: &str, name: &str) -> Option<String> {
    settings(config, &[topic], name)?.remove(topic)
}

/// One setting of topics that differ, as far as the cluster tells us; `None` if it does not answer.
fn settings(config: &KafkaConfig, topics: &[&str], name: &str) -> Option<BTreeMap<String, String>> {
    let admin = admin(config).ok()?;
    let asked: Vec<_> = topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let described = block_on(admin.describe_configs(&asked, &options())).ok()?;
    let told = described.into_iter().filter_map(|resource| {
        let resource = resource.ok()?;
        let value = resource.get(name)?.value.clone()?;
        let OwnedResourceSpecifier::Topic(topic) = resource.specifier else { return None };
        Some((topic, value))
    });
    Some(told.collect())
}

fn admin(config: &KafkaConfig) -> Result<AdminClient<DefaultClientContext>, Fault> {
    let made: KafkaResult<_> = config.admin().create();
    made.map_err(|error| bad_setting(&error))
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(MAKE_LIMIT)).operation_timeout(Some(MAKE_LIMIT))
}

/// Waits for a future on this thread. The admin client works on a thread of its own and ends by its
/// time-out, so parking is all that is needed of an executor.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
