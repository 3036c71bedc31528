//! Routed facts in the real binary, on a real Kafka and on embedded topics: a config row comes while
//! everything runs and while it is killed, its topic appears, and rows follow, each once.

mod support {
    pub(crate) mod broker;
    pub(crate) mod run;
}

use std::ops::RangeInclusive;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::broker::{Record, has_topic, produce, read_committed, topic, values};
use support::run::Run;
use xtask::services::kafka::Broker;
use xtask::services::offline;

const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);
const NO_VARIABLE: (&str, &str) = ("WATERSHED_TEST", "none");

fn row(table: &str, kind: &str, sink: &str, columns: &str) -> Value {
    json!({
        "source_table": table, "source_type": kind, "sink_table": sink, "sink_columns": columns,
    })
}

fn config(before: &Value, after: &Value, op: &str) -> Vec<u8> {
    let source = json!({ "db": "gmall_config", "table": "table_process_dwd" });
    let record = json!({
        "before": before, "after": after, "source": source, "op": op, "ts_ms": 1,
    });
    record.to_string().into_bytes()
}

fn favor(id: u64) -> Vec<u8> {
    format!(
        "{{\"database\":\"gmall2022\",\"table\":\"favor_info\",\"type\":\"insert\",\
         \"ts\":{id},\"data\":{{\"id\":{id},\"user_id\":88}}}}"
    )
    .into_bytes()
}

fn fact(id: u64) -> String {
    format!("{{\"id\":{id},\"ts\":{id}}}")
}

fn facts_of(ids: RangeInclusive<u64>) -> Vec<String> {
    let mut facts: Vec<String> = ids.map(fact).collect();
    facts.sort();
    facts
}

/// Where the topics of a run are, as its test sees them.
enum Place {
    Kafka(String),
    Embedded,
}

/// A run that reads changes and configuration from Kafka.
struct Routing {
    run: Run,
    bootstrap: String,
    prefix: &'static str,
    place: Place,
}

impl Routing {
    fn new(broker: &Broker, prefix: &'static str, place: Place) -> Self {
        let bootstrap = broker.bootstrap();
        let kafka =
            format!("connector = \"kafka\"\nproperties.bootstrap.servers = \"{bootstrap}\"\n");
        topic(broker, &format!("{prefix}ods_db"), 2);
        topic(broker, &format!("{prefix}config"), 1);
        let topics = match &place {
            Place::Kafka(_) => format!(
                "{kafka}sink.transactional-id-prefix = \"{prefix}\"\n\
                 sink.progress-topic = \"{prefix}progress\"\n"
            ),
            Place::Embedded => "connector = \"embedded\"\n".to_owned(),
        };
        let jobs = format!(
            "[engine]\nepoch.interval = \"100ms\"\nrestart.max = 1000\n\
             [source.ods_db]\n{kafka}topic = \"{prefix}ods_db\"\n\
             [source.table_process_dwd]\n{kafka}topic = \"{prefix}config\"\n\
             [topics]\n{topics}prefix = \"{prefix}\"\nsink.topic.partitions = 3\n\
             [[job]]\nname = \"dwd_route\"\n"
        );
        Self { run: Run::new(&jobs, NO_VARIABLE), bootstrap, prefix, place }
    }

    fn configure(&self, rows: &[Value]) {
        let records = rows.iter().map(|row| (None, config(&Value::Null, row, "c")));
        produce(&self.bootstrap, &format!("{}config", self.prefix), records);
    }

    fn feed(&self, ids: RangeInclusive<u64>) {
        let records = ids.map(|id| (Some(b"favor_info".to_vec()), favor(id)));
        produce(&self.bootstrap, &format!("{}ods_db", self.prefix), records);
    }

    /// What a topic has, sorted; `None` if there is none.
    fn facts(&self, topic: &str) -> Option<Vec<String>> {
        let topic = format!("{}{topic}", self.prefix);
        let mut facts = match &self.place {
            Place::Kafka(bootstrap) => {
                has_topic(bootstrap, &topic).then(|| values(&read_committed(bootstrap, &topic)))?
            }
            Place::Embedded => {
                let dumped = Command::new(env!("CARGO_BIN_EXE_watershed"))
                    .args(["topic", "dump", &topic, "--data"])
                    .arg(self.run.data())
                    .output();
                let dumped = dumped.expect("the binary starts");
                let text = String::from_utf8(dumped.stdout).expect("facts are text");
                dumped.status.success().then(|| text.lines().map(str::to_owned).collect())?
            }
        };
        facts.sort();
        Some(facts)
    }

    fn has(&self, topic: &str, ids: RangeInclusive<u64>) -> bool {
        self.facts(topic) == Some(facts_of(ids))
    }

    /// Waits for something to become so.
    fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let started = Instant::now();
        while !is_so() {
            assert!(started.elapsed() < LIMIT, "{what} took too long:\n{}", self.run.log());
            std::thread::park_timeout(LOOK);
        }
    }
}

/// Two topics, the second configured while the first flows, and kills after that.
fn appear(routing: &mut Routing) {
    let to = |sink: &str| row("favor_info", "insert", sink, "id");
    routing.configure(&[to("one")]);
    routing.feed(1..=50);
    routing.run.start(2);
    routing.until("the first topic", || routing.has("one", 1..=50));
    assert_eq!(routing.facts("two"), None, "nobody has asked for it");
    // Kafka takes no topic whose name differs from another one's by dots for underscores; and with
    // its prefix the second is too long for anything. They hold up nobody.
    let alike = match routing.place {
        Place::Kafka(_) => to("dwd.route.config.fault"),
        Place::Embedded => to("no topic"),
    };
    routing.configure(&[alike, to(&"t".repeat(249)), to("two")]);
    // When the route is in force is not known: until then facts go on coming.
    let mut next = 51;
    while routing.facts("two").is_none_or(|facts| facts.is_empty()) {
        routing.feed(next..=next);
        next += 1;
        routing.until("a fact", || routing.has("one", 1..=next - 1));
    }
    routing.feed(next..=next + 99);
    assert!(routing.run.kill_engine());
    routing.feed(next + 100..=next + 199);
    routing.run.kill();
    routing.feed(next + 200..=next + 299);
    routing.run.start(1);
    let last = next + 299;
    routing.until("all facts", || routing.has("one", 1..=last));
    routing.until("all facts of the second", || routing.has("two", 1..=last));
    routing.run.stop();
    assert!(routing.has("two", 1..=last), "each once, those that came before its row as well");
    assert!(routing.has("one", 1..=last), "each once");
    assert_eq!(routing.facts("dwd_route_config_fault").map(|all| all.len()), Some(2));
}

#[test]
fn a_topic_appears_in_kafka_while_everything_runs_and_is_killed() {
    if offline() {
        return;
    }
    let broker = Broker::shared();
    let place = Place::Kafka(broker.bootstrap());
    let mut routing = Routing::new(broker, "routek_", place);
    appear(&mut routing);
    let refused = read_committed(&broker.bootstrap(), "routek_dwd_route_config_fault");
    let reason = |refused: &Record| {
        let reason = refused.headers.iter().find(|(name, _)| name == "reason").expect("a reason");
        String::from_utf8(reason.1.clone().expect("text")).expect("text")
    };
    let mut reasons: Vec<String> = refused.iter().map(reason).collect();
    reasons.sort();
    assert_eq!(reasons[0], "long_name");
    assert!(reasons[1].starts_with("table_refused: "), "{reasons:?}");
}

#[test]
fn an_embedded_topic_appears_while_everything_runs_and_is_killed() {
    if offline() {
        return;
    }
    let mut routing = Routing::new(Broker::shared(), "routee_", Place::Embedded);
    appear(&mut routing);
    let listed = Command::new(env!("CARGO_BIN_EXE_watershed"))
        .args(["topic", "list", "--data"])
        .arg(routing.run.data())
        .output();
    let listed = String::from_utf8(listed.expect("the binary starts").stdout).expect("text");
    assert!(listed.contains("routee_one") && listed.contains("routee_two"), "{listed}");
}
