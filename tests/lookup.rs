//! Lookups of one job in the dimensions of another, under a seed: written, then read, is never stale.
//!
//! Goods change their version; orders name a good. An order must see at least the version that stood
//! before it in the change log, whatever the epochs, and after any crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use connectors::format::maxwell::data::DataReader;
use connectors::format::maxwell::decoder::{DATA, TABLE, maxwell_schema};
use engine::batch::build::Stamp;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::codec::Verbatim;
use engine::counter::Counters;
use engine::graph::plan::{Asks, Feed, SinkTarget, StatefulSpec, TopicSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::Slot;
use engine::operator::lookup_join::{LookupJoin, LookupLogic, Spread};
use engine::operator::stateful::Output;
use engine::random::Random;
use engine::source::Start;
use engine::state::memory::MemoryBackend;
use engine::testing::records::Records;
use engine::testing::simulate::{Simulation, seeds};
use jobs::dim::lookup::{self, DimensionRow};
use jobs::{Job, Outside, Settings};
use store::phoenix::DimensionStore;
use store::phoenix::sink::DimensionSinkFactory;

const START_MS: i64 = 1_651_330_800_000;

/// What the log holds: the version of a good grows by one with each of its changes.
struct Log {
    records: Vec<(Vec<u8>, Vec<u8>)>,
    /// Per order (by id): the good, and its version before the order; 0 = not there.
    orders: BTreeMap<u64, (u64, u64)>,
}

fn record(table: &str, kind: &str, data: &str) -> (Vec<u8>, Vec<u8>) {
    let ts = START_MS / 1000;
    let value = format!(
        "{{\"database\":\"gmall2022\",\"table\":\"{table}\",\"type\":\"{kind}\",\"ts\":{ts},\
         \"data\":{data}}}"
    );
    (b"one partition".to_vec(), value.into_bytes())
}

fn log(seed: u64) -> Log {
    let mut random = Random::new(seed);
    let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
    let mut log = Log { records: Vec::new(), orders: BTreeMap::new() };
    for number in 0..300 {
        let good = random.below(6);
        if random.one_in(2) {
            let version = versions.entry(good).or_default();
            *version += 1;
            let data = format!("{{\"id\":{good},\"sku_name\":\"{version}\"}}");
            log.records.push(record("sku_info", "insert", &data));
        } else {
            let before = versions.get(&good).copied().unwrap_or(0);
            log.orders.insert(number, (good, before));
            let data = format!("{{\"id\":{number},\"sku_id\":{good}}}");
            log.records.push(record("order_detail", "insert", &data));
        }
    }
    log
}

fn column(row: Row<'_>, name: &str) -> Option<String> {
    let mut members = DataReader::new(row.bytes(DATA)?);
    members.find(|member| member.name == name)?.value.map(std::borrow::Cow::into_owned)
}

/// Orders beside their goods.
struct Orders(Arc<Schema>);

impl LookupLogic for Orders {
    type Row = DimensionRow;

    fn key_of_change(&self, change: Row<'_>, key: &mut Vec<u8>) {
        key.extend_from_slice(lookup::key_of(change));
    }

    fn key_of_row(&self, row: Row<'_>, key: &mut Vec<u8>) -> bool {
        let good = column(row, "sku_id");
        good.iter().for_each(|good| lookup::push_key(key, [good.as_bytes()]));
        good.is_some()
    }

    fn change(&mut self, change: Row<'_>, kept: Slot<'_, DimensionRow>) {
        assert_eq!(lookup::table_of(change), b"DIM_SKU_INFO");
        DimensionRow::apply(change, kept);
    }

    fn row(
        &mut self,
        row: Row<'_>,
        found: Option<&DimensionRow>,
        output: &mut Output,
        counters: &mut Counters,
    ) {
        if row.bytes(TABLE) != Some(b"order_detail") {
            return;
        }
        counters.add(if found.is_some() { "lookup_hit" } else { "lookup_missing" }, 1);
        let order = column(row, "id").expect("every order has one");
        let version = found.and_then(|found| found.text("sku_name")).unwrap_or(b"0");
        let out = output.row(0, &self.0);
        out.begin();
        let order = out.append(order.as_bytes());
        out.slice(0, order);
        let version = out.append(version);
        out.slice(1, version);
        out.end(Stamp::of(row));
    }
}

fn orders_job() -> Arc<JobPlan> {
    let mut job = JobBuilder::new("orders");
    let changes = job.import("ods_db", "changes", 0);
    let goods = lookup::tables(&mut job);
    let schema = Schema::new("order", &[("id", Kind::Slice), ("version", Kind::Slice)]);
    let ports = job.stateful(
        "goods",
        &[(&changes, Route::Local), (&goods, Route::All)],
        StatefulSpec {
            what: "lookup: orders beside goods",
            make: Arc::new(move || {
                assert_eq!(maxwell_schema().index_of("data"), Some(DATA));
                Box::new(LookupJoin::new(Spread::Whole, Orders(schema.clone())))
            }),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    let topic = TopicSpec { name: "orders".to_owned(), partitions: 1 };
    let feed = Feed::result(0, Arc::new(Verbatim { key: 0, value: 1 }));
    let target = SinkTarget::Topics(vec![topic], |_key, _count| 0);
    job.sink("topics", target, &["orders"], vec![(&ports[0], feed)]);
    Arc::new(job.build().expect("a good plan"))
}

#[test]
fn what_was_written_before_is_read() {
    let config = r#"{"before":null,"after":{"source_table":"sku_info","sink_table":"dim_sku_info",
        "sink_columns":"id,sku_name","sink_pk":"id","sink_extend":null},"op":"r","ts_ms":1}"#;
    let config = vec![(Vec::new(), config.as_bytes().to_vec())];
    let (mut newer, mut found) = (0, 0);
    for seed in seeds(1, 50) {
        let log = log(seed);
        let ods_db = Records::new("ods_db", vec![log.records.clone()], seed);
        let table_process = Records::new("table_process", vec![config.clone()], seed ^ 3);
        let store = DimensionStore::new(Arc::new(MemoryBackend::new())).expect("a fresh store");
        let settings = Settings { idle_timeout_ms: 0, ..Settings::default() };
        let outside = Outside {
            source: &|name| {
                let records = if name == "ods_db" { &ods_db } else { &table_process };
                (Arc::new(records.clone()), Start::Earliest)
            },
            topics: &|names| {
                let spec = |name: &&str| TopicSpec { name: (*name).to_owned(), partitions: 1 };
                SinkTarget::Topics(names.iter().map(spec).collect(), |_key, _count| 0)
            },
            topic_prefix: "",
            table: &|_name| unreachable!("no DWS here"),
            dimensions: &|| Arc::new(DimensionSinkFactory { store: store.clone() }),
            publish: &|_job| true,
        };
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.settings.epoch.interval_ms = Some(1 + seed % 30);
        simulation.run(4, &|_, _| {
            let mut plans =
                jobs::plans(&[Job::Dimensions], &settings, &outside).expect("good plans");
            plans.push(orders_job());
            plans
        });
        assert_eq!(simulation.fatals, [], "seed {seed}");
        let seen: BTreeMap<u64, u64> = simulation
            .topic("orders")
            .into_iter()
            .map(|(_, order, version)| (number(&order), number(&version)))
            .collect();
        assert_eq!(seen.len(), log.orders.len(), "seed {seed}: every order once");
        // Before the configuration was there, and while the table was filled, a good is not there
        // yet. Once it is, it stays, and it is never stale.
        let mut there = std::collections::BTreeSet::new();
        for (order, (good, before)) in &log.orders {
            let version = seen[order];
            if version > 0 {
                there.insert(good);
            }
            let fresh = version >= *before || !there.contains(good);
            assert!(fresh, "seed {seed}: order {order} saw {version} of {good}, not {before}");
            newer += u64::from(version > *before);
            found += u64::from(version > 0);
        }
    }
    assert!(found > 1_000, "most orders find their good: {found}");
    assert!(newer > 0, "rows of an epoch see changes of the same epoch");
}

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).expect("digits").parse().expect("a number")
}
