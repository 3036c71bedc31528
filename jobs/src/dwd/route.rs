//! dwd_route: simple facts of the shop database, each to the topics that `table_process_dwd` names for
//! its table and type (warehouse 5.9).
//!
//! ```text
//!  table_process_dwd ─> config ─ notices, to every worker ─┐
//!                        │ ^ topic made, read again         v
//!  ods_db changes ───────┼─┴────────────────────────────> gate ─> once ─ facts ─> topics by name
//!              read again┘
//! ```
//!
//! A row of the configuration takes the way it takes for dimensions ([`crate::dim`]): one worker
//! judges it, a topic that must be made is there before the first row goes to it, and rows of an epoch
//! come after its configuration. A topic that cannot be made holds up nobody: its rows wait at the
//! gate, in state and bounded, and go to `unrouted` when it is given up.
//!
//! Facts are sent once and never taken back. Changes that came before their config row are read again
//! and sent behind the live ones (operator `once`; unless `dim.backfill` is off: then they are dropped);
//! a row that changes its columns means what comes from then on, and what came while there was no row
//! for a topic that had one before stays out. The first configuration of all is waited for.
//!
//! The key of a record is the text of the first of its columns, so what happens to one row of the shop
//! keeps its order; without one it has no key.

pub mod config;
mod lane;
mod once;

use std::sync::Arc;

use connectors::format::side::DeadLetter;
use engine::codec::Verbatim;
use engine::error::JobError;
use engine::graph::plan::{Asks, SinkTarget, StatefulSpec};
use engine::graph::{Edge, JobBuilder, JobPlan, Route};
use engine::limit::GATE_PENDING_ROWS_MAX;
use engine::operator::gate::{Gate, GateMode};
use engine::operator::keyed::Keyed;
use engine::sink::SinkFactory;

use self::config::{Facts, TOPIC_NAME_MAX};
use self::lane::FactLane;
use self::once::Once;
use crate::dim::change::RouteRules;
use crate::dim::config_step::{self, ConfigSettings, ConfigStep};
use crate::dim::dimensions::config_source;
use crate::dim::routing::{self, Routing};
use crate::ods::ods_db::{self, Changes};
use crate::outside::{JobTopics, Outside};
use crate::settings::{ConfigLate, ConfigUpdates, Settings};

/// Name of the job.
pub const NAME: &str = "dwd_route";
/// Name of the configuration: its topic, its file, its source.
pub const TABLE_PROCESS_DWD: &str = "table_process_dwd";
/// Side output: config rows that cannot be applied, with the reason.
pub const CONFIG_FAULT: &str = "dwd_route_config_fault";
/// Side output: changes whose topic could not be made.
pub const UNROUTED: &str = "dwd_route_unrouted";

/// The plan.
pub fn plan(settings: &Settings, outside: &Outside<'_>) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let changes = ods_db::changes(&mut job);
    let config = job.source(TABLE_PROCESS_DWD, config_source(outside, TABLE_PROCESS_DWD));
    let mut topics = JobTopics::new();
    for name in [CONFIG_FAULT, UNROUTED] {
        topics.number_of(name);
    }
    let target = topics.target(NAME, outside);
    let tables = match &target.0 {
        SinkTarget::Outside(factory) => Some(factory.clone()),
        // An embedded topic is there with its first row.
        SinkTarget::Topics(..) => None,
    };
    let step =
        config_step(&mut job, settings, (&config.rows, &changes), tables, outside.topic_prefix);
    let notices = &step[config_step::PORT_NOTICES];
    let gate = gate(&mut job, settings, notices, (&changes, outside.topic_prefix));
    let routed = once(&mut job, settings, &gate[routing::PORT_ROUTED]);
    let facts = Arc::new(Verbatim { key: lane::KEY, value: lane::VALUE });
    let letters = Arc::new(DeadLetter);
    topics.side(CONFIG_FAULT, &config.dead, letters.clone());
    topics.side(CONFIG_FAULT, &step[config_step::PORT_FAULTS], letters.clone());
    topics.side(UNROUTED, &gate[routing::PORT_UNROUTED], letters);
    topics.by_name(lane::TOPIC, &routed, facts);
    topics.build_with(&mut job, target);
    job.build()
}

fn config_step(
    job: &mut JobBuilder,
    settings: &Settings,
    (config, changes): (&Edge, &Changes),
    tables: Option<Arc<dyn SinkFactory>>,
    prefix: &str,
) -> Vec<Edge> {
    let updates = match settings.dim.config_update {
        ConfigUpdates::Ignore => ConfigUpdates::Ignore,
        // A topic has nothing that could be made anew.
        ConfigUpdates::AlterAdd | ConfigUpdates::Recreate => ConfigUpdates::AlterAdd,
    };
    let step = ConfigSettings {
        backfill: settings.dim.backfill,
        updates,
        // Facts of several sources may go to one topic.
        rules: RouteRules { schema: None, shared_sink: true, recreate: false, appends: true },
        makes_sinks: tables.is_some(),
        sink_prefix: prefix.to_owned(),
        sink_name_max: TOPIC_NAME_MAX,
    };
    let source = || (ods_db::NAME.into(), ods_db::NAME.into());
    let reread = settings.dim.backfill.then(source);
    job.stateful(
        "config",
        // One worker decides, in the order of the configuration.
        &[(config, Route::Key(Vec::new())), (&changes.reread_ends, Route::Key(Vec::new()))],
        StatefulSpec {
            what: "config: rows of table_process_dwd",
            make: Arc::new(move || Box::new(ConfigStep::<Facts>::new(step.clone()))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks { tables, reread },
        },
    )
}

/// Facts as they are to be sent: where changes are read again, each once.
fn once(job: &mut JobBuilder, settings: &Settings, routed: &Edge) -> Edge {
    if !settings.dim.backfill {
        return routed.clone();
    }
    let by_place = || Route::Key(vec![lane::ROUTE, lane::PARTITION]);
    let out = job.stateful(
        "once",
        &[(routed, by_place())],
        StatefulSpec {
            what: "once: each fact once, live or read again",
            make: Arc::new(move || Box::new(Keyed::new(by_place(), Once::new(lane::facts())))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    out.into_iter().next().expect("it has one port")
}

fn gate(
    job: &mut JobBuilder,
    settings: &Settings,
    notices: &Edge,
    (changes, prefix): (&Changes, &str),
) -> Vec<Edge> {
    let late = settings.dim.config_late;
    let mode = match late {
        ConfigLate::Drop => GateMode::Unheld,
        ConfigLate::Hold => GateMode::Strict,
    };
    let lane = FactLane::new(&settings.dim.database, settings.route_adds_ts, prefix);
    job.stateful(
        "gate",
        &[(notices, Route::All), (&changes.live, Route::Local), (&changes.reread, Route::Local)],
        StatefulSpec {
            what: "gate: facts to topics, by the configuration in force",
            make: Arc::new(move || {
                let routing = Routing::new(lane.clone(), late, GATE_PENDING_ROWS_MAX, None);
                Box::new(Gate::new(mode, routing))
            }),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    )
}
