//! Topics of the bench's broker: made, counted, deleted. Nothing here is measured.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::pair::Content;

/// Partitions of every topic of the benches.
pub(crate) const PARTITIONS: u32 = 4;
/// How long the broker may take for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// How long nothing comes from topics that are read to their end.
const QUIET: Duration = Duration::from_secs(2);

/// Makes topics.
pub(crate) fn make(bootstrap: &str, names: &[String]) -> Result<()> {
    let partitions = i32::try_from(PARTITIONS)?;
    let topic = |name| NewTopic::new(name, partitions, TopicReplication::Fixed(1));
    let topics: Vec<_> = names.iter().map(|name| topic(name)).collect();
    let made = block_on(admin(bootstrap)?.create_topics(&topics, &patience()))?;
    answers(made)
}

/// Deletes topics, so that the next run finds the same free memory as this one.
pub(crate) fn delete(bootstrap: &str, names: &[String]) -> Result<()> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    answers(block_on(admin(bootstrap)?.delete_topics(&names, &patience()))?)
}

/// Reads topics to their end, committed records only.
///
/// The end is where nothing has come for [`QUIET`]: the client's own sign of it comes too early while
/// the broker is still writing the markers of the last transaction.
pub(crate) fn contents(bootstrap: &str, names: &[String]) -> Result<Content> {
    let consumer: BaseConsumer = reader(bootstrap).create()?;
    assign(&consumer, names)?;
    let mut content = Content::default();
    let mut heard = Instant::now();
    while heard.elapsed() < if content.records == 0 { LIMIT } else { QUIET } {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message?;
        content.records += 1;
        content.bytes += u64::try_from(message.key_len() + message.payload_len())?;
        heard = Instant::now();
    }
    Ok(content)
}

/// Settings of a consumer that reads committed records by assignment; those that cost or save time
/// are the product's.
pub(crate) fn reader(bootstrap: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "benches-read-by-assignment")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "2")
        .set("fetch.wait.max.ms", "50");
    config
}

/// Has `consumer` read all partitions of `names` from their beginning.
pub(crate) fn assign(consumer: &BaseConsumer, names: &[String]) -> Result<()> {
    let mut list = TopicPartitionList::new();
    for name in names {
        for partition in 0..i32::try_from(PARTITIONS)? {
            list.add_partition_offset(name, partition, Offset::Beginning)?;
        }
    }
    Ok(consumer.assign(&list)?)
}

fn admin(bootstrap: &str) -> Result<AdminClient<DefaultClientContext>> {
    Ok(ClientConfig::new().set("bootstrap.servers", bootstrap).create()?)
}

fn patience() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(LIMIT))
}

fn answers(answers: Vec<rdkafka::admin::TopicResult>) -> Result<()> {
    for answer in answers {
        answer.map_err(|(name, code)| anyhow!("topic {name:?}: {code}"))?;
    }
    Ok(())
}

/// Waits for a future of the admin client, which works on a thread of its own.
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
