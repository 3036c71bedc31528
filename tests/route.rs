//! Routed facts under a seed: config rows and changes in phases, crashes at any point, other numbers
//! of workers; every topic must have what the configuration of the phase says, each fact once.
//!
//! Between two phases nothing is under way, so it is certain which change sees which configuration.
//! `WATERSHED_SEED=n cargo test --test route` repeats a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::graph::JobPlan;
use engine::graph::plan::{SinkTarget, TopicSpec};
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::source::Start;
use engine::testing::records::{Record, Records};
use engine::testing::simulate::{Simulation, seeds};
use engine::testing::target::Target;
use jobs::{Job, Outside, Settings};
use serde_json::{Value, json};

const START_MS: i64 = 1_651_330_800_000;
const PARTITIONS: usize = 2;
const TABLES: [&str; 3] = ["favor_info", "coupon_use", "user_info"];
const TYPES: [&str; 4] = ["insert", "update", "delete", "bootstrap-insert"];
const COLUMNS: [&str; 4] = ["id", "user_id", "seq", "absent"];

/// Facts of each topic, in their order.
type Topics = BTreeMap<String, Vec<String>>;

/// A config row: table, type, topic, columns.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row {
    table: &'static str,
    kind: &'static str,
    topic: String,
    columns: Vec<&'static str>,
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "source_table": self.table, "source_type": self.kind, "sink_table": self.topic,
            "sink_columns": self.columns.join(","),
        })
    }
}

/// A change, by its place: what facts are made of.
#[derive(Debug, Clone, Copy)]
struct Change {
    table: &'static str,
    kind: &'static str,
    id: u64,
}

/// What a route has sent: the places, and the first one sent live.
#[derive(Debug, Default)]
struct Sent {
    places: BTreeSet<usize>,
    live_from: Option<usize>,
}

/// The fact that a row makes of a change.
fn fact(row: &Row, place: usize, id: u64) -> String {
    let ts = place + 1;
    let cell = |name: &&str| match *name {
        "id" => Some(format!("\"id\":{id}.0,")),
        "user_id" => Some(format!("\"user_id\":\"u\\n{id}\",")),
        "seq" => Some(format!("\"seq\":{ts},")),
        _ => None,
    };
    let cells: String = row.columns.iter().filter_map(cell).collect();
    format!("{{{cells}\"ts\":{ts}}}")
}

/// A shop, its configuration, and what must come of them.
struct Shop {
    random: Random,
    rows: Vec<Row>,
    /// The changes there were.
    changes: Vec<Change>,
    /// Whether changes are read again, and what the routes there ever were have sent.
    backfill: bool,
    routes: BTreeMap<(&'static str, &'static str, String), Sent>,
    expected: Topics,
    refused: usize,
}

impl Shop {
    fn new(seed: u64, backfill: bool) -> Self {
        Self {
            random: Random::new(seed ^ 0xfac7),
            rows: Vec::new(),
            changes: Vec::new(),
            backfill,
            routes: BTreeMap::new(),
            expected: Topics::new(),
            refused: 0,
        }
    }

    fn send(&mut self, row: &Row, place: usize, live: bool) {
        let key = (row.table, row.kind, row.topic.clone());
        let sent = self.routes.entry(key).or_default();
        if !sent.places.insert(place) {
            return;
        }
        if live {
            sent.live_from = Some(sent.live_from.map_or(place, |from| from.min(place)));
        }
        let fact = fact(row, place, self.changes[place].id);
        self.expected.entry(row.topic.clone()).or_default().push(fact);
    }

    /// A row leads where none led before: what came before its first live fact is sent.
    fn fill(&mut self, row: &Row) {
        let key = (row.table, row.kind, row.topic.clone());
        let until = self.routes.get(&key).and_then(|sent| sent.live_from);
        let until = if self.backfill { until.unwrap_or(self.changes.len()) } else { 0 };
        for place in 0..until {
            let Change { table, kind, .. } = self.changes[place];
            if (table, kind) == (row.table, row.kind) {
                self.send(row, place, false);
            }
        }
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.random.below(all.len() as u64)).expect("small")]
    }

    fn some_row(&mut self) -> Row {
        let first = usize::try_from(self.random.below(3)).expect("small");
        let columns = COLUMNS.iter().skip(first).copied().collect();
        let topic = format!("fact.{}", self.random.below(4));
        Row { table: self.pick(&TABLES), kind: self.pick(&TYPES[..3]), topic, columns }
    }

    /// What happens to the config table next: the change record.
    fn configure(&mut self) -> Vec<u8> {
        let at = usize::try_from(self.random.below(self.rows.len() as u64 + 1)).expect("small");
        let before = self.rows.get(at).cloned();
        let after = self.some_row();
        // A row that another one equals in source and topic would be that one.
        let same = |row: &Row| {
            (row.table, row.kind, &row.topic) == (after.table, after.kind, &after.topic)
        };
        let taken = self.rows.iter().enumerate().any(|(index, row)| index != at && same(row));
        let (op, before, after) = match before {
            Some(before) if taken || self.random.one_in(4) => {
                self.rows.remove(at);
                ("d", before.json(), Value::Null)
            }
            Some(before) if self.random.one_in(4) => {
                self.refused += 1;
                let mut after = before.json();
                after["sink_table"] = json!("no topic");
                ("u", before.json(), after)
            }
            Some(before) => {
                self.rows[at] = after.clone();
                if !same(&before) {
                    self.fill(&after);
                }
                ("u", before.json(), after.json())
            }
            None if taken => return self.configure(),
            None => {
                self.rows.push(after.clone());
                self.fill(&after);
                ("c", Value::Null, after.json())
            }
        };
        let source = json!({ "table": "table_process_dwd" });
        let record = json!({
            "before": before, "after": after, "source": source, "op": op, "ts_ms": 1,
        });
        record.to_string().into_bytes()
    }

    /// A change: its table and its record; and what becomes of it.
    fn change(&mut self) -> (&'static str, Vec<u8>) {
        let (table, kind) = (self.pick(&TABLES), self.pick(&TYPES));
        let id = self.random.below(5);
        self.changes.push(Change { table, kind, id });
        let seq = self.changes.len();
        for row in self.rows.clone() {
            if (row.table, row.kind) == (table, kind) {
                self.send(&row, seq - 1, true);
            }
        }
        let data = format!("{{\"seq\":{seq},\"id\":{id}.0,\"user_id\":\"u\\n{id}\"}}");
        let record = format!(
            "{{\"database\":\"gmall2022\",\"table\":\"{table}\",\"type\":\"{kind}\",\"ts\":{seq},\"data\":{data}}}"
        );
        (table, record.into_bytes())
    }

    /// A configuration to which rows are only added: the change records.
    fn grow(&mut self, rows: usize) -> Vec<Record> {
        while self.rows.len() < rows {
            let row = self.some_row();
            let same = |other: &Row| {
                (other.table, other.kind, &other.topic) == (row.table, row.kind, &row.topic)
            };
            if !self.rows.iter().any(same) {
                self.rows.push(row);
            }
        }
        let record = |row: &Row| {
            let source = json!({ "table": "table_process_dwd" });
            let record = json!({
                "before": null, "after": row.json(), "source": source, "op": "c", "ts_ms": 1,
            });
            (Vec::new(), record.to_string().into_bytes())
        };
        self.rows.iter().map(record).collect()
    }
}

/// Where the topics are.
enum Place {
    Embedded,
    Outside(Target),
}

/// What the jobs of a generation are connected to.
struct World<'a> {
    ods_db: Records,
    config: Records,
    place: &'a Place,
    backfill: bool,
}

impl World<'_> {
    fn plans(&self) -> Vec<Arc<JobPlan>> {
        let mut settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
        settings.dim.backfill = self.backfill;
        let outside = Outside {
            source: &|name| {
                let records = if name == "ods_db" { &self.ods_db } else { &self.config };
                (Arc::new(records.clone()), Start::Earliest)
            },
            topics: &|names| match self.place {
                Place::Outside(target) => SinkTarget::Outside(Arc::new(target.clone())),
                Place::Embedded => {
                    let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 2 };
                    SinkTarget::Topics(names.iter().map(spec).collect(), partition)
                }
            },
            topic_prefix: "",
            table: &|_name| unreachable!("no tables here"),
            dimensions: &|| unreachable!("no dimensions here"),
            publish: &|_job| true,
        };
        jobs::plans(&[Job::DwdRoute], &settings, &outside).expect("good plans")
    }
}

fn partition(key: &[u8], count: u32) -> u32 {
    key.iter().map(|byte| u32::from(*byte)).sum::<u32>() % count
}

fn sorted(mut topics: Topics) -> Topics {
    topics.values_mut().for_each(|facts| facts.sort_unstable());
    topics
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("facts are text")
}

/// What is in the topics.
fn found(simulation: &Simulation, place: &Place) -> Topics {
    let mut topics = Topics::new();
    match place {
        Place::Embedded => {
            for number in 0..4 {
                let name = format!("fact.{number}");
                let rows = simulation.topic(&name);
                let facts: Vec<String> = rows.iter().map(|(_, _, value)| text(value)).collect();
                if !facts.is_empty() {
                    topics.insert(name, facts);
                }
            }
        }
        Place::Outside(target) => {
            for (topic, _, value) in target.named_rows() {
                topics.entry(topic).or_default().push(text(&value.expect("facts have values")));
            }
        }
    }
    topics
}

/// Facts of one table with one key come in the order of their changes.
fn assert_ordered(simulation: &Simulation, changes: &[Change], seed: u64) {
    for number in 0..4 {
        let mut last = BTreeMap::new();
        for (_, key, value) in simulation.topic(&format!("fact.{number}")) {
            let fact: Value = serde_json::from_slice(&value).expect("facts are JSON");
            let ts = fact["ts"].as_u64().expect("added");
            let table = changes[usize::try_from(ts - 1).expect("small")].table;
            let before = last.insert((table, key), ts);
            assert!(before.is_none_or(|before| before < ts), "seed {seed}: {ts} after {before:?}");
        }
    }
}

fn history(seed: u64, place: &Place, backfill: bool, workers: &[usize]) -> (u32, usize) {
    let mut shop = Shop::new(seed, backfill);
    let mut simulation = Simulation::new(seed, START_MS).with_workers(workers, false);
    simulation.settings.epoch.interval_ms = Some(1 + seed % 40);
    let mut changes: Vec<Vec<Record>> = vec![Vec::new(); PARTITIONS];
    let mut config: Vec<Record> = Vec::new();
    for phase in 0..8_u64 {
        if phase % 2 == 0 {
            config.push((Vec::new(), shop.configure()));
        } else {
            for _ in 0..25 {
                let (table, record) = shop.change();
                let at = partition(table.as_bytes(), 2);
                changes[usize::try_from(at).expect("two")]
                    .push((table.as_bytes().to_vec(), record));
            }
        }
        let (one, other) = (shop.random.next_u64(), shop.random.next_u64());
        let world = World {
            ods_db: Records::new("ods_db", changes.clone(), one),
            config: Records::new("table_process_dwd", vec![config.clone()], other),
            place,
            backfill,
        };
        let crashes = (seed + phase) % 3;
        for _ in 0..crashes {
            let steps = 1 + shop.random.below(500);
            if simulation.run_until(steps, &|_, _| world.plans(), &|| false) {
                break;
            }
            let random = &mut shop.random;
            simulation.disk.crash(&mut |n| random.below(n));
            simulation.backend.crash(&mut |n| random.below(n));
        }
        simulation.run(0, &|_, _| world.plans());
        assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
        let expected = sorted(shop.expected.clone());
        let found = sorted(found(&simulation, place));
        assert_eq!(found, expected, "seed {seed}, phase {phase}: {:#?}", simulation.counters());
    }
    if !backfill {
        assert_ordered(&simulation, &shop.changes, seed);
    }
    let refused = match place {
        Place::Embedded => simulation.topic("dwd_route_config_fault").len(),
        Place::Outside(target) => target.rows().iter().filter(|(to, ..)| *to == 0).count(),
    };
    assert_eq!(refused, shop.refused, "seed {seed}");
    (simulation.generations, shop.expected.values().map(Vec::len).sum())
}

#[test]
fn embedded_topics_have_each_fact_once_through_crashes() {
    let seeds = seeds(1, 40);
    let (mut generations, mut facts) = (0, 0);
    for &seed in &seeds {
        let workers: &[usize] = if seed.is_multiple_of(2) { &[1] } else { &[2, 1, 3] };
        let (lives, sent) = history(seed, &Place::Embedded, seed % 4 < 2, workers);
        (generations, facts) = (generations + lives, facts + sent);
    }
    assert!(seeds.len() == 1 || generations > 350, "only {generations} generations");
    assert!(seeds.len() == 1 || facts > 400, "only {facts} facts");
}

/// The target answers late and fails now and then: topics are asked for again, and rows wait.
#[test]
fn topics_outside_have_each_fact_once_through_crashes() {
    for seed in seeds(1_000, 30) {
        let policy = UnitPolicy { epochs_max: 1 + seed % 3, ..UnitPolicy::EVERY_EPOCH };
        let place = Place::Outside(Target::new(seed, policy));
        let workers: &[usize] = if seed.is_multiple_of(2) { &[1] } else { &[2, 1, 3] };
        history(seed, &place, seed % 4 < 2, workers);
    }
}

/// Config rows that come anywhere between the changes: every fact of each of them, once.
#[test]
fn topics_do_not_depend_on_when_their_config_row_came() {
    let mut again = 0;
    for seed in seeds(10_000, 1_000) {
        let mut shop = Shop::new(seed, true);
        let config = shop.grow(5);
        let mut changes: Vec<Vec<Record>> = vec![Vec::new(); PARTITIONS];
        for _ in 0..40 {
            let (table, record) = shop.change();
            let at = usize::try_from(partition(table.as_bytes(), 2)).expect("two");
            changes[at].push((table.as_bytes().to_vec(), record));
        }
        let workers: &[usize] = if seed.is_multiple_of(2) { &[1] } else { &[2, 1, 3] };
        let mut simulation = Simulation::new(seed, START_MS).with_workers(workers, false);
        simulation.settings.epoch.interval_ms = Some(1 + seed % 10);
        let (one, other) = (shop.random.next_u64(), shop.random.next_u64());
        let world = World {
            ods_db: Records::new("ods_db", changes, one),
            config: Records::new("table_process_dwd", vec![config], other),
            place: &Place::Embedded,
            backfill: true,
        };
        let crashes = u32::try_from(seed % 3).expect("small");
        simulation.run(crashes, &|_, _| world.plans());
        assert_eq!(simulation.fatals, [], "seed {seed}: it stopped by itself");
        let found = sorted(found(&simulation, &Place::Embedded));
        assert_eq!(found, sorted(shop.expected), "seed {seed}: {:#?}", simulation.counters());
        let counters = simulation.counters();
        again += counters.iter().filter(|counter| counter.name == "backfill_rows").count();
    }
    assert!(seeds(10_000, 1_000).len() == 1 || again > 60, "only {again} were filled");
}
