//! What a real Kafka broker does to our clients: the ground that the Kafka source and sink stand on.
//!
//! Facts about Kafka 4.3.1 and the librdkafka 2.12.1 that rdkafka bundles, each re-run here because a
//! decision of ours rests on it. The times that are printed (`--nocapture`) are of the last run; only
//! what must hold on any machine is asserted.

#[path = "support/broker.rs"]
mod broker;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use broker::{LIMIT, producer_config, read_committed, read_now, send, settle, topic, values};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use xtask::services::kafka::{Broker, Options};
use xtask::services::offline;

/// The broker all tests here share; `None` if this run does without services.
fn shared() -> Option<&'static Broker> {
    (!offline()).then(Broker::shared)
}

/// A transactional producer that is not initialised yet.
fn transactional(bootstrap: &str, id: &str, timeout_ms: u32) -> BaseProducer {
    producer_config(bootstrap)
        .set("transactional.id", id)
        .set("transaction.timeout.ms", timeout_ms.to_string())
        .create()
        .expect("a producer")
}

/// A transactional producer with an open transaction, in which `value` is acknowledged.
fn in_transaction(
    bootstrap: &str,
    id: &str,
    timeout_ms: u32,
    at: &str,
    value: &str,
) -> BaseProducer {
    let producer = transactional(bootstrap, id, timeout_ms);
    producer.init_transactions(LIMIT).expect("a producer id");
    put_in_transaction(&producer, at, value);
    producer
}

fn put_in_transaction(producer: &BaseProducer, topic: &str, value: &str) {
    producer.begin_transaction().expect("a transaction");
    put(producer, topic, value);
    settle(producer);
}

fn put(producer: &BaseProducer, topic: &str, value: &str) {
    send(producer, BaseRecord::to(topic).payload(&value.as_bytes().to_vec()));
}

/// Produces one record outside of any transaction.
fn put_plain(bootstrap: &str, topic: &str, value: &str) {
    broker::produce(bootstrap, topic, [(None, value.as_bytes().to_vec())]);
}

/// Reads again and again until the topic holds these values; how long that took.
fn wait_for(bootstrap: &str, topic: &str, expected: &[&str]) -> f32 {
    let started = Instant::now();
    loop {
        let found = values(&read_now(bootstrap, topic));
        if found == expected {
            return started.elapsed().as_secs_f32();
        }
        assert!(started.elapsed() < LIMIT, "{topic} holds {found:?}, not {expected:?}");
    }
}

/// The transaction error that `result` must be.
fn refused(result: KafkaResult<()>) -> RDKafkaError {
    match result {
        Err(KafkaError::Transaction(error)) => error,
        other => panic!("not refused: {other:?}"),
    }
}

/// Prints how long `work` took and gives its result.
#[expect(clippy::print_stdout, reason = "a measurement, for whoever runs this with --nocapture")]
fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    println!("{what}: {:?}", started.elapsed());
    result
}

#[test]
fn records_come_back_as_they_were_written() {
    let Some(broker) = shared() else { return };
    topic(broker, "round-trip", 5);
    let record = |key: &str, value: &str| (Some(key.into()), value.into());
    broker::produce(
        &broker.bootstrap(),
        "round-trip",
        [record("21", "1"), record("foobar", "2"), record("21", "3"), record("用户", "四")],
    );
    let producer: BaseProducer = producer_config(&broker.bootstrap()).create().expect("a producer");
    let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("x") });
    send(
        &producer,
        BaseRecord::to("round-trip").payload(&vec![0xff]).partition(0).headers(headers),
    );
    settle(&producer);

    let found = read_committed(&broker.bootstrap(), "round-trip");
    assert_eq!(found.len(), 5);
    let of_key = |key: &str| {
        let of_key = found.iter().filter(move |found| found.key.as_deref() == Some(key.as_bytes()));
        let values: Vec<_> = of_key.clone().map(|found| found.value.as_deref()).collect();
        (of_key.map(|found| found.partition).next(), values)
    };
    // Partitions as Java's: murmur2("21") = -973932308, murmur2("foobar") = -790332482 (Kafka's
    // UtilsTest); without their sign bit, modulo 5.
    assert_eq!(of_key("21"), (Some(0), vec![Some(&b"1"[..]), Some(b"3")]));
    assert_eq!(of_key("foobar"), (Some(1), vec![Some(&b"2"[..])]));
    assert_eq!(of_key("用户").1, vec![Some("四".as_bytes())]);
    let last = found.iter().find(|found| found.key.is_none()).expect("the one without a key");
    assert_eq!(last.value.as_deref(), Some(&[0xff][..]));
    assert_eq!(last.headers, [("h".to_owned(), Some(b"x".to_vec()))]);
}

/// And markers take offsets: records must never be counted by subtracting offsets.
#[test]
fn committed_is_visible_and_aborted_is_not() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "transactions", 1);
    let producer = in_transaction(&bootstrap, "transactions", 60_000, "transactions", "a");
    timed("commit", || producer.commit_transaction(LIMIT)).expect("a commit");
    put_in_transaction(&producer, "transactions", "never");
    producer.abort_transaction(LIMIT).expect("an abort");
    put_in_transaction(&producer, "transactions", "b");
    timed("commit", || producer.commit_transaction(LIMIT)).expect("a commit");

    let found = read_committed(&bootstrap, "transactions");
    assert_eq!(values(&found), ["a", "b"]);
    let offsets: Vec<i64> = found.iter().map(|found| found.offset).collect();
    assert_eq!(offsets, [0, 4], "a, its marker, never, its marker, b");
}

/// Acknowledged records survive, and even an open transaction: the same producer object commits it.
#[test]
fn a_killed_broker_comes_back_with_all_it_acknowledged() {
    if offline() {
        return;
    }
    let mut own = Broker::start(&Options::default()).expect("a broker of our own");
    let bootstrap = own.bootstrap();
    topic(&own, "kept", 1);
    let producer = transactional(&bootstrap, "kept", 60_000);
    timed("first init_transactions on a new broker", || producer.init_transactions(LIMIT))
        .expect("a producer id");
    let written: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let records = written.iter().map(|value| (None, value.clone().into_bytes()));
    broker::produce(&bootstrap, "kept", records);
    put_in_transaction(&producer, "kept", "in a transaction");

    own.kill().expect("a kill");
    timed("restart after a kill", || own.restart()).expect("a restart");
    timed("commit after it", || producer.commit_transaction(LIMIT)).expect("a commit");
    let found = values(&read_committed(&bootstrap, "kept"));
    assert_eq!(
        found.split_last().expect("records"),
        (&"in a transaction".to_owned(), &written[..])
    );
}

#[test]
fn a_living_zombie_is_fenced() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "zombie", 1);
    let zombie = in_transaction(&bootstrap, "zombie", 60_000, "zombie", "never");
    let successor = transactional(&bootstrap, "zombie", 60_000);
    timed("init_transactions over an open transaction", || successor.init_transactions(LIMIT))
        .expect("a producer id");

    let error = refused(zombie.commit_transaction(LIMIT));
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}");
    assert!(error.is_fatal() && !error.txn_requires_abort() && !error.is_retriable());
    put_in_transaction(&successor, "zombie", "mine");
    successor.commit_transaction(LIMIT).expect("a commit");
    assert_eq!(values(&read_committed(&bootstrap, "zombie")), ["mine"]);
}

/// A zombie that is idle while its successor comes learns it with its next record.
#[test]
fn a_zombie_is_fenced_when_it_produces() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "zombie-idle", 1);
    let zombie = transactional(&bootstrap, "zombie-idle", 60_000);
    zombie.init_transactions(LIMIT).expect("a producer id");
    let successor = transactional(&bootstrap, "zombie-idle", 60_000);
    successor.init_transactions(LIMIT).expect("a producer id");

    put_in_transaction(&zombie, "zombie-idle", "never");
    let (code, reason) = zombie.client().fatal_error().expect("a fatal error");
    assert_eq!(code, RDKafkaErrorCode::Fenced, "{reason}");
    assert_eq!(refused(zombie.commit_transaction(LIMIT)).code(), RDKafkaErrorCode::Fenced);
    assert_eq!(values(&read_committed(&bootstrap, "zombie-idle")), [""; 0]);
}

/// So `_FENCED` never proves that another instance lives: our own lateness looks the same.
#[test]
fn a_commit_after_the_transaction_timeout_looks_like_being_fenced() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "late", 1);
    let late = in_transaction(&bootstrap, "late", 1000, "late", "never");
    put_plain(&bootstrap, "late", "behind");
    // Visible when the broker has ended the transaction by itself.
    let freed = wait_for(&bootstrap, "late", &["behind"]);
    println!("freed by transaction.timeout.ms=1000 after {freed} s");

    let error = refused(late.commit_transaction(LIMIT));
    assert_eq!(error.code(), RDKafkaErrorCode::Fenced, "{error}");
    assert!(error.is_fatal() && !error.txn_requires_abort() && !error.is_retriable());
    let abort = refused(late.abort_transaction(LIMIT));
    assert!(abort.is_fatal(), "the producer is dead: {abort}");
    let next = transactional(&bootstrap, "late", 1000);
    timed("init_transactions after a late one", || next.init_transactions(LIMIT))
        .expect("a new producer with the same id");
}

#[test]
fn a_killed_producer_blocks_readers_until_its_id_is_initialised() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "blocked", 1);
    let mut doomed = start_doomed(&bootstrap, "blocked");
    doomed.kill().expect("a kill");
    doomed.wait().expect("its end");

    put_plain(&bootstrap, "blocked", "behind");
    assert_eq!(values(&read_now(&bootstrap, "blocked")), [""; 0], "plain records wait too");
    let successor = transactional(&bootstrap, "blocked", 60_000);
    timed("init_transactions after a killed producer", || successor.init_transactions(LIMIT))
        .expect("a producer id");
    let freed = wait_for(&bootstrap, "blocked", &["behind"]);
    println!("readers free {freed} s later");
}

/// A process of its own with an open transaction of `topic`, under the id `topic`.
fn start_doomed(bootstrap: &str, topic: &str) -> Child {
    let mut doomed = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "doomed_producer", "--nocapture"])
        .env(DOOMED, format!("{bootstrap} {topic}"))
        // It ends when this pipe does, should we end first.
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let output = BufReader::new(doomed.stdout.take().expect("it was asked for"));
    let open =
        output.lines().map_while(Result::ok).any(|line| line.contains("transaction is open"));
    assert!(open, "the producer ended before its transaction was open");
    doomed
}

/// Tells this binary that it is the doomed producer: "<bootstrap> <topic>".
const DOOMED: &str = "WATERSHED_TEST_DOOMED";

/// Not a test by itself: the process that the test above kills.
#[test]
fn doomed_producer() {
    let Ok(role) = std::env::var(DOOMED) else { return };
    let (bootstrap, topic) = role.split_once(' ').expect("two words");
    let _open = in_transaction(bootstrap, topic, 60_000, topic, "never");
    println!("transaction is open");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("the end of the pipe");
}

/// So a setting that is too high shows at the start, not with the first long transaction.
#[test]
fn a_timeout_above_the_brokers_limit_is_refused() {
    let Some(broker) = shared() else { return };
    let producer = transactional(&broker.bootstrap(), "patient", 900_001);
    let error = refused(producer.init_transactions(LIMIT));
    assert_eq!(error.code(), RDKafkaErrorCode::InvalidTransactionTimeout, "{error}");
    assert!(error.is_fatal() && !error.is_retriable());
}
