//! Fenced, timed out, refused, too large, and a broker that goes away.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use connectors::kafka::sink::KafkaSinkFactory;
use engine::crash_point::{CrashPoint, CrashPoints};
use engine::error::Retry;
use engine::outbox::block::BlockHeader;
use engine::outbox::blocks::Blocks;
use engine::outbox::log::{BlockLog, LogOptions};
use engine::sink::{SinkFactory as _, SinkPoll, SinkReply, SinkRequest, Unit};
use engine::testing::disk::SimDisk;
use rustix::process::{Pid, Signal, kill_process};
use xtask::services::kafka::{Broker, Options};
use xtask::services::offline;

use crate::broker::{LIMIT, produce, read_committed, read_now, set_topic, topic, values};
use crate::drive::{
    Delivering, PRODUCERS, Reading, Waiting, identity, numbered, numbered_values, reading, row,
    shared, unit, writing,
};

fn sorted(bootstrap: &str, topic: &str) -> Vec<String> {
    let mut values = values(&read_committed(bootstrap, topic));
    values.sort();
    values
}

#[test]
fn a_living_zombie_is_fenced_and_says_so() {
    for (writer, settings) in PRODUCERS {
        let Some(broker) = shared() else { return };
        fence(broker, &format!("fenced-{writer}"), settings);
    }
}

pub(crate) fn fence(broker: &Broker, name: &str, settings: &[(&str, &str)]) {
    let bootstrap = broker.bootstrap();
    topic(broker, name, 1);
    let config = writing(&bootstrap, name, settings);
    let start = || Delivering::start(config.clone(), &[name], &identity(name)).0;
    let mut zombie = start();
    zombie.deliver(&numbered(1, 2)).expect("delivered");
    let mut successor = start();
    let fault = zombie.deliver(&numbered(2, 2)).expect_err("fenced");
    assert_eq!(fault.retry, Retry::Never);
    let expected = format!("another instance is \"{name}-out-0\"");
    assert!(fault.to_string().contains(&expected), "{fault}");
    // It has not fenced its successor in turn.
    for epoch in [2, 3] {
        successor.deliver(&numbered(epoch, 2)).expect("delivered");
    }
    assert_eq!(successor.faults, []);
    assert_eq!(sorted(&bootstrap, name), numbered_values([(1, 2), (2, 2), (3, 2)]));
}

/// A unit whose second block is damaged on the disk: what was sent of the first is taken back, and the
/// process has to stop.
#[test]
fn a_block_that_cannot_be_read_takes_the_unit_back() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "damaged", 1);
    let disk = SimDisk::new();
    let options = LogOptions::default();
    let outbox = BlockLog::open(Arc::new(disk.clone()), "state/outbox", 1, options, None);
    let mut outbox = outbox.expect("a log on an empty disk");
    let (first, second) = (numbered(1, 5), numbered(3, 3));
    let references = [&first, &second].map(|(unit, blocks)| {
        let rows = u32::try_from(unit.rows).expect("few");
        let header = BlockHeader { rows, epoch: 3, sink: 1, shard: 0, base: outbox.next_base() };
        outbox.append(header, &blocks[0].bytes).expect("written")
    });
    let unit = Unit { upper: 3, rows: 8, ..first.0 };
    let blocks = Blocks::stored(Arc::new(disk.clone()), &references);
    let flip = || {
        let last = references[1].offset + u64::from(references[1].length) - 1;
        disk.flip_bit("state/outbox/00000000000000000000.log", last);
    };
    let config = writing(&bootstrap, "damaged", &[]);
    let start = || Delivering::start(config.clone(), &["damaged"], &identity("damaged"));
    flip();
    let (mut broken, _) = start();
    broken.sink.begin(SinkRequest::Deliver(unit.clone(), blocks.clone()));
    let waiting = Waiting::new();
    let fatal = loop {
        match broken.sink.poll(waiting.now()) {
            SinkPoll::Pending => waiting.turn("an answer of the sink"),
            SinkPoll::Broken(fatal) => break fatal,
            other => panic!("delivered, or not for want of the disk: {other:?}"),
        };
    };
    assert!(fatal.message.contains("checksum does not match"), "{fatal}");
    assert!(read_committed(&bootstrap, "damaged").is_empty());
    // Somebody puts the file right.
    flip();
    let (mut sink, last) = start();
    assert_eq!(last, None);
    sink.sink.begin(SinkRequest::Deliver(unit, blocks));
    assert_eq!(sink.answer(), Ok(SinkReply::Delivered));
    assert_eq!(sorted(&bootstrap, "damaged"), numbered_values([(1, 5), (3, 3)]));
}

/// A broker that stands still for longer than the transaction may be open: afterwards it says
/// "fenced", though nobody else is there.
#[test]
fn a_transaction_that_was_open_too_long_is_sent_again() {
    open_too_long(&[]);
}

#[test]
fn a_transaction_of_librdkafka_that_was_open_too_long_is_sent_again() {
    open_too_long(PRODUCERS[1].1);
}

fn open_too_long(settings: &[(&str, &str)]) {
    if offline() {
        return;
    }
    let own = Broker::start(&Options::default()).expect("a broker of our own");
    let bootstrap = own.bootstrap();
    topic(&own, "late", 2);
    let settings = [settings, &[("transaction.timeout.ms", "1000")]].concat();
    let config = writing(&bootstrap, "late", &settings);
    let (mut sink, _) = Delivering::start(config, &["late"], &identity("late"));
    let pid =
        i32::try_from(own.pid().expect("it runs")).ok().and_then(Pid::from_raw).expect("an id");
    let (mut epoch, mut wait) = (0, Duration::from_millis(4));
    // Until it stood still in the middle of a transaction, which on a slow machine comes later and is
    // open for longer in proportion.
    while sink.faults.is_empty() {
        epoch += 1;
        assert!(epoch < 30, "never hit a transaction");
        let unit = numbered(epoch, 20_000);
        sink.sink.begin(SinkRequest::Deliver(unit.0.clone(), unit.1.clone().into()));
        pass(wait);
        wait = wait.mul_f64(1.25);
        kill_process(pid, Signal::STOP).expect("signalled");
        pass(Duration::from_millis(2500));
        kill_process(pid, Signal::CONT).expect("signalled");
        match sink.answer() {
            Ok(reply) => assert_eq!(reply, SinkReply::Delivered),
            Err(fault) => {
                assert_eq!(fault.retry, Retry::Later, "{fault}");
                sink.faults.push(fault);
                sink.deliver(&unit).expect("delivered");
            }
        }
    }
    sink.deliver(&numbered(epoch + 1, 10)).expect("delivered");
    let units = (1..=epoch).map(|epoch| (epoch, 20_000)).chain([(epoch + 1, 10)]);
    assert_eq!(sorted(&bootstrap, "late"), numbered_values(units), "{:?}", sink.faults);
}

/// Lets time go by while something outside happens.
fn pass(time: Duration) {
    let started = Instant::now();
    while let Some(left) = time.checked_sub(started.elapsed()) {
        std::thread::park_timeout(left);
    }
}

#[test]
fn a_broker_that_is_killed_in_mid_delivery_loses_and_doubles_nothing() {
    kill_in_mid_delivery(&Options::default(), 4, &[]);
}

#[test]
fn a_broker_that_is_killed_while_librdkafka_writes_loses_and_doubles_nothing() {
    kill_in_mid_delivery(&Options::default(), 4, PRODUCERS[1].1);
}

/// So many units, each of which a kill falls into.
pub(crate) fn kill_in_mid_delivery(broker: &Options, units: u64, settings: &[(&str, &str)]) {
    if offline() {
        return;
    }
    let mut own = Broker::start(broker).expect("a broker of our own");
    let bootstrap = own.bootstrap();
    topic(&own, "killed", 3);
    let config = writing(&bootstrap, "killed", settings);
    let (mut sink, _) = Delivering::start(config, &["killed"], &identity("killed"));
    for epoch in 1..=units {
        let unit = numbered(epoch, 30_000);
        sink.sink.begin(SinkRequest::Deliver(unit.0.clone(), unit.1.clone().into()));
        pass(Duration::from_millis(15 * epoch));
        own.kill().expect("killed");
        own.restart().expect("a restart");
        if let Err(fault) = sink.answer() {
            assert_eq!(fault.retry, Retry::Later, "{fault}");
            sink.deliver(&unit).expect("delivered");
        }
    }
    sink.deliver(&numbered(units + 1, 10)).expect("delivered");
    let units = (1..=units).map(|epoch| (epoch, 30_000)).chain([(units + 1, 10)]);
    assert_eq!(sorted(&bootstrap, "killed"), numbered_values(units), "{:?}", sink.faults);
}

#[test]
fn a_record_that_is_too_large_is_named_and_the_next_unit_goes_on() {
    for (writer, settings) in PRODUCERS {
        let Some(broker) = shared() else { return };
        write_large(broker, &format!("large-{writer}"), settings);
    }
}

fn write_large(broker: &Broker, name: &str, settings: &[(&str, &str)]) {
    let bootstrap = broker.bootstrap();
    topic(broker, name, 1);
    let config = writing(&bootstrap, name, settings);
    let (mut sink, _) = Delivering::start(config, &[name], &identity(name));
    // The broker's limit is 1 MiB, the client's 20 MiB.
    for (bytes, limit) in [(3 << 20, "1048588"), (21 << 20, "1048588")] {
        let large = "x".repeat(bytes);
        let rows = [row(None, Some("small")), row(Some("k"), Some(&large))];
        let fault = sink.deliver(&unit(1, 1, &rows)).expect_err("too large");
        assert_eq!(fault.retry, Retry::Never);
        let text = fault.to_string();
        for part in [&format!("\"{name}\""), &(bytes + 1).to_string(), limit] {
            assert!(text.contains(part), "{text}");
        }
    }
    sink.deliver(&numbered(1, 2)).expect("delivered");
    assert_eq!(sorted(&bootstrap, name), numbered_values([(1, 2)]));
}

/// The client may make batches four times as large as the topic takes. No record is to blame.
#[test]
fn batches_are_no_larger_than_the_topic_takes() {
    for (writer, settings) in PRODUCERS {
        let Some(broker) = shared() else { return };
        write_in_batches(broker, &format!("batched-{writer}"), settings);
    }
}

fn write_in_batches(broker: &Broker, name: &str, settings: &[(&str, &str)]) {
    let bootstrap = broker.bootstrap();
    topic(broker, name, 1);
    let settings = [settings, &[("batch.size", "4000000"), ("linger.ms", "500")]].concat();
    let config = writing(&bootstrap, name, &settings);
    let (mut sink, _) = Delivering::start(config, &[name], &identity(name));
    let value = "x".repeat(1000);
    let rows = vec![row(None, Some(&value)); 4000];
    sink.deliver(&unit(1, 1, &rows)).expect("delivered");
    assert_eq!(sink.faults, []);
    // Less than when it was asked: told, and mended by itself.
    set_topic(broker, name, ("max.message.bytes", "20000"));
    sink.deliver(&unit(2, 2, &rows)).expect("delivered in the end");
    let faults: Vec<String> = sink.faults.iter().map(ToString::to_string).collect();
    let mended = |fault: &String| fault.contains("it takes batches of 20000 bytes now");
    assert!(!faults.is_empty() && faults.iter().all(mended), "{faults:?}");
    assert_eq!(read_committed(&bootstrap, name).len(), 8000);
    // A row that lies in a unit by then stops the sink, until the topic takes it.
    let large = "y".repeat(30_000);
    let planned = unit(3, 3, &[row(Some("k"), Some(&large)), row(None, Some("small"))]);
    let fault = sink.deliver(&planned).expect_err("too large").to_string();
    for part in ["30001 bytes", "at most 20000", "is kept, and goes on then"] {
        assert!(fault.contains(part), "{fault}");
    }
    set_topic(broker, name, ("max.message.bytes", "40000"));
    sink.deliver(&planned).expect("delivered in the end");
    assert_eq!(read_committed(&bootstrap, name).len(), 8002);
}

#[test]
fn what_cannot_work_is_refused_before_the_start() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "broad-progress", 2);
    let broad = writing(&bootstrap, "broad", &[]);
    let mut replicated = writing(&bootstrap, "replicated", &[]);
    replicated.replication = 3;
    let patient = writing(&bootstrap, "patient", &[("transaction.timeout.ms", "900001")]);
    let misspelt = writing(&bootstrap, "misspelt", &[("linger", "5")]);
    for (config, part) in [
        (broad, "\"broad-progress\" for progress: it must have one partition"),
        (replicated, "cannot make kafka topic \"refused\": InvalidReplicationFactor"),
        (patient, "\"patient-out-0\""),
        (misspelt, "\"linger\""),
    ] {
        let job = config.progress_topic.trim_end_matches("-progress").to_owned();
        let target = if job == "replicated" { "refused" } else { "refusing" };
        let fault = Delivering::new(config, &[target]).prepare(&identity(&job)).unwrap_err();
        assert_eq!(fault.retry, Retry::Never, "{fault}");
        assert!(fault.to_string().contains(part), "{fault}");
    }
}

#[test]
fn closing_ends_an_open_transaction_for_its_readers() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "closed", 1);
    // The sink is held where half of the unit has been sent, until it is closed.
    let (half, told) = channel();
    let (release, held) = channel();
    let held = Mutex::new(held);
    let points = CrashPoints::new(move |point| {
        if point == CrashPoint::HalfSent {
            half.send(()).expect("the test waits");
            held.lock().expect("no panic under it").recv().expect("released");
        }
        Ok(())
    });
    let config = writing(&bootstrap, "closed", &[]);
    let factory = KafkaSinkFactory::new(config, vec!["closed".to_owned()]).unwrap();
    let mut sink = Delivering::of(factory.with_crash_points(points).create().unwrap());
    sink.prepare(&identity("closed")).unwrap();
    let unit = numbered(1, 10);
    sink.sink.begin(SinkRequest::Deliver(unit.0, unit.1.into()));
    told.recv_timeout(LIMIT).unwrap();
    produce(&bootstrap, "closed", [(None, b"behind".to_vec())]);
    assert_eq!(read_now(&bootstrap, "closed"), [], "the transaction is open");
    sink.sink.close();
    release.send(()).unwrap();
    free_of_transaction(&bootstrap, "closed");
}

#[test]
fn closing_ends_an_open_transaction_of_librdkafka_for_its_readers() {
    let Some(broker) = shared() else { return };
    let bootstrap = broker.bootstrap();
    topic(broker, "closed-librdkafka", 1);
    // Records wait so long to be sent that the transaction is certainly open.
    let settings = [PRODUCERS[1].1, &[("linger.ms", "30000")]].concat();
    let config = writing(&bootstrap, "closed-librdkafka", &settings);
    let identity = identity("closed-librdkafka");
    let (mut sink, _) = Delivering::start(config, &["closed-librdkafka"], &identity);
    let unit = numbered(1, 10);
    sink.sink.begin(SinkRequest::Deliver(unit.0, unit.1.into()));
    pass(Duration::from_millis(300));
    sink.sink.close();
    produce(&bootstrap, "closed-librdkafka", [(None, b"behind".to_vec())]);
    free_of_transaction(&bootstrap, "closed-librdkafka");
}

/// Waits until readers see what was written behind a transaction, and nothing of it.
fn free_of_transaction(bootstrap: &str, topic: &str) {
    let waiting = Waiting::new();
    while values(&read_now(bootstrap, topic)) != ["behind"] {
        waiting.turn("readers to be free");
    }
}

/// Brokers close what is idle: neither a fault nor a lost unit may come of it.
#[test]
fn a_connection_that_the_broker_closed_is_opened_again() {
    if offline() {
        return;
    }
    let options = Options::default().with("connections.max.idle.ms", "3000");
    let own = Broker::start(&options).expect("a broker of our own");
    let bootstrap = own.bootstrap();
    topic(&own, "idle", 2);
    let config = writing(&bootstrap, "idle", &[]);
    let (mut sink, _) = Delivering::start(config, &["idle"], &identity("idle"));
    sink.deliver(&numbered(1, 10)).unwrap();
    pass(Duration::from_secs(5));
    sink.deliver(&numbered(2, 10)).unwrap();
    assert_eq!(sink.faults, []);
    assert_eq!(sorted(&bootstrap, "idle"), numbered_values([(1, 10), (2, 10)]));
}

/// A broker that asks for a password besides its open port; the address that asks.
fn guarded() -> (Broker, xtask::services::ports::Port, String) {
    let mut broker = Broker::start(&Options::default()).expect("a broker of our own");
    broker.stop().expect("stopped");
    let port = xtask::services::ports::Port::take().expect("a free port");
    let file = broker.log().with_file_name("server.properties");
    let guarded = format!("SASL_PLAINTEXT://127.0.0.1:{}", port.number());
    let text: String = std::fs::read_to_string(&file)
        .expect("its properties")
        .lines()
        .map(|line| match line.split_once('=') {
            Some(("listeners" | "advertised.listeners", _)) => format!("{line},{guarded}\n"),
            Some(("listener.security.protocol.map", _)) => {
                format!("{line},SASL_PLAINTEXT:SASL_PLAINTEXT\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required";
    let users = format!(
        "sasl.enabled.mechanisms=PLAIN\n\
         listener.name.sasl_plaintext.plain.sasl.jaas.config={login} user_bob=\"bob-secret\";\n"
    );
    std::fs::write(&file, text + &users).expect("written");
    broker.restart().expect("a restart");
    let address = format!("127.0.0.1:{}", port.number());
    (broker, port, address)
}

/// Such errors come by a callback only; what waits for the broker would time out after a minute.
#[test]
fn a_wrong_password_is_told_soon_and_never_shown() {
    if offline() {
        return;
    }
    let (broker, _port, address) = guarded();
    topic(&broker, "guarded", 1);
    produce(&broker.bootstrap(), "guarded", [(None, b"inside".to_vec())]);
    let login = |password| {
        [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "bob"),
            ("sasl.password", password),
        ]
    };
    let started = Instant::now();
    let mut wrong = writing(&address, "guarded", &login("not-the-secret"));
    wrong.topics = vec!["guarded".to_owned()];
    let refused = [
        Reading::new(wrong.clone()).partitions().unwrap_err(),
        Delivering::new(wrong, &["guarded"]).prepare(&identity("guarded")).unwrap_err(),
    ];
    for fault in refused {
        assert_eq!(fault.retry, Retry::Never, "{fault}");
        assert!(fault.to_string().contains("Authentication failed"), "{fault}");
        assert!(!fault.to_string().contains("not-the-secret"), "{fault}");
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());

    let mut right = writing(&address, "guarded", &login("bob-secret"));
    right.topics = reading(&address, &["guarded"]).topics;
    let (mut sink, _) = Delivering::start(right.clone(), &["guarded"], &identity("guarded"));
    sink.deliver(&unit(1, 1, &[row(None, Some("ours"))])).unwrap();
    let mut read = Reading::from(right, &engine::source::Start::Earliest);
    read.until(2).unwrap();
    assert_eq!(read.values(), ["inside", "ours"]);
}
