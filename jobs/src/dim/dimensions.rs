//! dimensions: changes of the shop database, routed by a live configuration → dimension tables.
//!
//! ```text
//!  table_process ─> config ─ notices, to every worker ─┬────────────────┐
//!                    │ ^ ensure table, read again      v                v
//!  ods_db changes ───┼─┴──────────────────────────> gate ─ by key ─> rows ─> dimension tables
//!         read again ┘                                                 └─> base_dic, by link
//! ```
//!
//! A table exists before the first row of it is routed, and a row configured late is read again, so
//! the tables do not depend on which came first.

use std::sync::Arc;

use connectors::format::debezium::decoder::DebeziumDecoder;
use connectors::format::side::DeadLetter;
use engine::codec::Verbatim;
use engine::error::JobError;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec};
use engine::graph::{Edge, JobBuilder, JobPlan, Route};
use engine::limit::GATE_PENDING_ROWS_MAX;
use engine::operator::gate::{Gate, GateMode};
use engine::operator::keyed::Keyed;

use super::change::RouteRules;
use super::config_step::{self, ConfigSettings, ConfigStep};
use super::keyless::{self, Keyless};
use super::notice;
use super::routing::line::{DimensionLane, PORT_NULL_PK};
use super::routing::{self, Routing};
use super::rows::{self, Rows};
use super::subject::Dimensions;
use crate::ods::ods_db::{self, Changes};
use crate::outside::{JobTopics, Outside};
use crate::settings::{ConfigLate, ConfigUpdates, DimSettings, Settings};

/// Name of the job.
pub const NAME: &str = "dimensions";
/// Name of the configuration: its topic, its file, its source.
pub const TABLE_PROCESS: &str = "table_process";
/// The dictionary: a table of the shop that is looked up and never stored (warehouse 5.7).
pub const BASE_DIC: &str = "base_dic";
/// Export: changes of all dimension tables, see [`connectors::format::dimension`].
pub const EXPORT_TABLES: &str = "tables";
/// Export: changes of the dictionary, likewise.
pub const EXPORT_DICTIONARY: &str = "base_dic";

/// Side output: config rows that cannot be applied, with the reason.
pub const CONFIG_FAULT: &str = "dimensions_config_fault";
/// Side output: changes whose row has no key.
pub const NULL_PK: &str = "dimensions_null_pk";
/// Side output: changes whose table could not be made.
pub const UNROUTED: &str = "dimensions_unrouted";

/// The plan.
pub fn plan(settings: &Settings, outside: &Outside<'_>) -> Result<JobPlan, JobError> {
    let mut job = JobBuilder::new(NAME);
    let changes = ods_db::changes(&mut job);
    let config = job.source(TABLE_PROCESS, config_source(outside, TABLE_PROCESS));
    let tables = (outside.dimensions)();
    let step = config_step(&mut job, settings, (&config.rows, &changes), &tables);
    let notices = &step[config_step::PORT_NOTICES];
    let gate = gate(&mut job, &settings.dim, notices, &changes);
    let out = apply(&mut job, &gate[routing::PORT_ROUTED], notices);
    let encoder = Arc::new(Verbatim { key: rows::KEY, value: rows::CHANGE });
    let target = SinkTarget::Outside(tables);
    let stored = (&out[rows::PORT_TABLES], Feed::uncounted(0, encoder));
    job.sink("tables", target, &["dimensions"], vec![stored]);
    job.export(EXPORT_TABLES, &out[rows::PORT_TABLES]);
    job.export(EXPORT_DICTIONARY, &out[rows::PORT_DICTIONARY]);
    let mut topics = JobTopics::new();
    let letters = Arc::new(DeadLetter);
    topics.side(CONFIG_FAULT, &config.dead, letters.clone());
    topics.side(CONFIG_FAULT, &step[config_step::PORT_FAULTS], letters.clone());
    let keyless = keyless(&mut job, &settings.dim, &gate[PORT_NULL_PK]);
    topics.side(NULL_PK, &keyless, letters.clone());
    topics.side(UNROUTED, &gate[routing::PORT_UNROUTED], letters);
    topics.build(&mut job, outside);
    job.build()
}

/// The source of config rows called `name`. They have no event time, so nothing of time concerns it.
pub(crate) fn config_source(outside: &Outside<'_>, name: &str) -> SourceSpec {
    let (factory, start) = (outside.source)(name);
    SourceSpec {
        factory,
        start,
        decoder: Arc::new(|| Box::new(DebeziumDecoder::default())),
        bound_ms: 0,
        idle_timeout_ms: 0,
        future_hold_ms: i64::MAX,
        future_skew_ms: i64::MAX,
        reread: None,
    }
}

fn config_step(
    job: &mut JobBuilder,
    settings: &Settings,
    (config, changes): (&Edge, &Changes),
    tables: &Arc<dyn engine::sink::SinkFactory>,
) -> Vec<Edge> {
    let dim = &settings.dim;
    let step = ConfigSettings {
        backfill: dim.backfill,
        updates: dim.config_update,
        rules: RouteRules {
            schema: dim.schema.clone(),
            shared_sink: dim.shared_sink,
            recreate: dim.config_update == ConfigUpdates::Recreate,
            appends: false,
        },
        makes_sinks: true,
        sink_prefix: String::new(),
        sink_name_max: usize::MAX,
    };
    let reread = dim.backfill.then(|| (ods_db::NAME.into(), ods_db::NAME.into()));
    // One worker decides, in the order of the configuration.
    let one = || Route::Key(Vec::new());
    job.stateful(
        "config",
        &[(config, one()), (&changes.reread_ends, one())],
        StatefulSpec {
            what: "config: rows of table_process; makes tables, asks for back-fills",
            make: Arc::new(move || Box::new(ConfigStep::<Dimensions>::new(step.clone()))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks { tables: Some(tables.clone()), reread },
        },
    )
}

fn gate(job: &mut JobBuilder, dim: &DimSettings, notices: &Edge, changes: &Changes) -> Vec<Edge> {
    let mode = match dim.config_late {
        ConfigLate::Drop => GateMode::Unheld,
        ConfigLate::Hold if dim.backfill => GateMode::Strict,
        ConfigLate::Hold => GateMode::Previous,
    };
    let lane = DimensionLane::new(&dim.database, dim.delete, BASE_DIC);
    let late = dim.config_late;
    job.stateful(
        "gate",
        &[(notices, Route::All), (&changes.live, Route::Local), (&changes.reread, Route::Local)],
        StatefulSpec {
            what: "gate: changes to sinks, by the configuration in force",
            make: Arc::new(move || {
                let fixed = [dictionary()];
                let routing = Routing::new(lane.clone(), late, GATE_PENDING_ROWS_MAX, fixed);
                Box::new(Gate::new(mode, routing))
            }),
            outputs: 3,
            delay_ms: 0,
            asks: Asks::default(),
        },
    )
}

fn apply(job: &mut JobBuilder, routed: &Edge, notices: &Edge) -> Vec<Edge> {
    job.stateful(
        "rows",
        &[(routed, Route::Key(vec![rows::SINK, rows::KEY])), (notices, Route::All)],
        StatefulSpec {
            what: "rows: one change per key, live before read again",
            make: Arc::new(|| Box::new(Rows::new(BASE_DIC))),
            outputs: 2,
            delay_ms: 0,
            asks: Asks::default(),
        },
    )
}

fn keyless(job: &mut JobBuilder, dim: &DimSettings, refused: &Edge) -> Edge {
    let remembers = dim.backfill;
    let by_place = || Route::Key(vec![keyless::PLACE]);
    let out = job.stateful(
        "keyless",
        &[(refused, by_place())],
        StatefulSpec {
            what: "keyless: changes without key, each told once",
            make: Arc::new(move || Box::new(Keyed::new(by_place(), Keyless::new(remembers)))),
            outputs: 1,
            delay_ms: 0,
            asks: Asks::default(),
        },
    );
    out.into_iter().next().expect("it has one port")
}

fn dictionary() -> notice::Route {
    let columns = ["dic_code", "dic_name", "parent_code", "create_time", "operate_time"];
    notice::Route {
        source: BASE_DIC.to_owned(),
        sink: BASE_DIC.to_owned(),
        columns: columns.map(str::to_owned).to_vec(),
        keys: vec!["dic_code".to_owned()],
        fill: None,
        edition: 0,
    }
}
