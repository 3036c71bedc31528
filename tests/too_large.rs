//! The real binary, and a record that its Kafka topic does not take: it lies in the job's dead letters,
//! and everything else arrives exactly once.

mod support {
    pub(crate) mod broker;
    pub(crate) mod run;
}

use std::time::{Duration, Instant};

use support::broker::{Record, produce, read_committed, topic, topic_with};
use support::run::Run;
use xtask::services::kafka::Broker;
use xtask::services::offline;

/// Records beside the large one.
const RECORDS: usize = 3_000;
/// What the target topic takes.
const BYTES_MAX: usize = 20_000;
/// What the large record has, more than is kept of a dead letter.
const LARGE: usize = 100_000;
const LIMIT: Duration = Duration::from_secs(120);

/// A record of one page; `item` makes it as large as one likes.
fn page(number: usize, item: &str) -> (Option<Vec<u8>>, Vec<u8>) {
    let mid = format!("mid_{}", number % 50);
    let ts = 1_651_287_600_000_usize + number;
    let common = format!("{{\"is_new\":\"0\",\"mid\":\"{mid}\"}}");
    let page = format!("{{\"during_time\":9000,\"item\":\"{item}\",\"page_id\":\"home\"}}");
    let text = format!("{{\"common\":{common},\"page\":{page},\"ts\":{ts}}}");
    (Some(mid.into_bytes()), text.into_bytes())
}

fn job(bootstrap: &str, prefix: &str, settings: &str) -> String {
    format!(
        "[engine]\nepoch.interval = \"100ms\"\n\
         [source.ods_log]\nconnector = \"kafka\"\ntopic = \"{prefix}ods_log\"\n\
         properties.bootstrap.servers = \"{bootstrap}\"\n\
         [topics]\nconnector = \"kafka\"\nprefix = \"{prefix}\"\n\
         sink.transactional-id-prefix = \"{prefix}\"\nsink.progress-topic = \"{prefix}progress\"\n\
         properties.bootstrap.servers = \"{bootstrap}\"\n{settings}\
         [[job]]\nname = \"log_split\"\n"
    )
}

fn await_records(run: &Run, bootstrap: &str, topic: &str, count: usize) -> Vec<Record> {
    let started = Instant::now();
    loop {
        let records = read_committed(bootstrap, topic);
        if records.len() >= count {
            return records;
        }
        assert!(started.elapsed() < LIMIT, "{} in {topic}:\n{}", records.len(), run.log());
        std::thread::park_timeout(Duration::from_millis(200));
    }
}

fn scenario(prefix: &str, settings: &str) {
    let broker = Broker::shared();
    let bootstrap = broker.bootstrap();
    let target = format!("{prefix}dwd_traffic_page_log");
    topic(broker, &format!("{prefix}ods_log"), 1);
    topic_with(broker, &target, 2, &[("max.message.bytes", &BYTES_MAX.to_string())]);
    let mut expected: Vec<Vec<u8>> = Vec::new();
    let mut input = Vec::new();
    for number in 0..RECORDS {
        if number == RECORDS / 3 {
            input.push(page(number, &"x".repeat(LARGE)));
        }
        // Some are close to what fits.
        let item = if number % 500 == 1 { "y".repeat(BYTES_MAX - 500) } else { "1".to_owned() };
        let record = page(number, &item);
        expected.push(record.1.clone());
        input.push(record);
    }
    let mut run = Run::new(&job(&bootstrap, prefix, settings), ("WATERSHED_NOTHING", "1"));
    run.start(2);
    let later = input.split_off(input.len() / 2);
    produce(&bootstrap, &format!("{prefix}ods_log"), input);
    await_records(&run, &bootstrap, &target, 1);
    run.kill();
    run.start(2);
    produce(&bootstrap, &format!("{prefix}ods_log"), later);
    run.kill_engine();
    await_records(&run, &bootstrap, &target, RECORDS);
    let dead = format!("{prefix}log_split_dead");
    await_records(&run, &bootstrap, &dead, 1);
    run.stop();

    let mut arrived: Vec<Vec<u8>> =
        read_committed(&bootstrap, &target).into_iter().filter_map(|record| record.value).collect();
    arrived.sort();
    expected.sort();
    assert_eq!(arrived.len(), expected.len());
    assert!(arrived == expected, "not the same records");
    let letters = read_committed(&bootstrap, &dead);
    let [letter] = &letters[..] else { panic!("{} dead letters", letters.len()) };
    let header = |name: &str| {
        let found = letter.headers.iter().find(|(known, _)| known == name);
        let value = found.and_then(|(_, value)| value.clone()).unwrap_or_default();
        String::from_utf8(value).expect("text")
    };
    assert_eq!(
        (header("reason"), header("target").as_str()),
        ("too_large".into(), "dwd_traffic_page_log")
    );
    assert!(header("bytes").parse::<usize>().expect("a number") > LARGE);
    assert!(header("bytes_max").parse::<usize>().expect("a number") < BYTES_MAX);
    let value = letter.value.as_deref().expect("what it was");
    assert_eq!(value.len(), 64 * 1024);
    assert!(value.starts_with(b"{\"common\":{\"is_new\":\"0\",\"mid\":\"mid_"));
}

#[test]
fn our_own_producer_delivers_the_rest() {
    if !offline() {
        scenario("toolarge_own_", "");
    }
}

#[test]
fn librdkafka_delivers_the_rest() {
    if !offline() {
        scenario("toolarge_rd_", "properties.queue.buffering.max.messages = \"1000000\"\n");
    }
}
