//! `watershed run`: the jobs of a job file, until somebody stops them.
//!
//! The process that is started is the supervisor; the engine runs in its child. The file is checked
//! by both: by the first so that a fault is told before anything starts, by the child because it is
//! the one that needs it.

mod lost;
pub(crate) mod outside;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use engine::checkpoint::restore::Saved;
use engine::checkpoint::writer::Retention;
use engine::control::controller::EpochSettings;
use engine::control::registry::SubmitOptions;
use engine::error::exit;
use engine::graph::JobPlan;
use engine::graph::plan::SinkTarget;
use engine::limit::BATCH_ROWS_TARGET;
use engine::outbox::log::LogOptions;
use engine::runtime::process::ProcessSettings;

use self::outside::{Inside, plans_over};
use crate::cli::{Cli, RunArgs};
use crate::config::checked::{Checked, SourcePlace};
use crate::data_dir::DataDir;
use crate::injected::{crash_points, poison};
use crate::replay::random_seed;
use crate::socket::{Live, serve};
use crate::supervise::{Policy, enter_child, supervise};
use crate::warehouse::Warehouse;
use crate::{config, crash, exit as code, signal};

/// How often the end of the engine is looked for; it takes longer to stop than this.
const LOOK: Duration = Duration::from_millis(100);

/// Runs the jobs; answers the exit code.
pub(crate) fn run(cli: &Cli, args: &RunArgs) -> Result<u8> {
    if let Some(supervisor) = cli.child_of {
        enter_child(supervisor)?;
    }
    let mut checked = config::load(Some(&args.file), &cli.overrides(Some(&args.workers)))?;
    if args.from_start {
        checked.begin_at_the_start();
    }
    let dir = DataDir::new(&checked.data);
    if cli.child_of.is_none() {
        lost::check(&checked, &dir, args.from_start)?;
        return supervise(&Policy {
            failures_max: checked.engine.restart_max,
            shutdown_limit: Duration::from_millis(checked.engine.shutdown_limit_ms),
            crash_dir: dir.crash(),
            quarantine: dir.quarantine(),
        });
    }
    crash::record_into(dir.crash());
    let outcome = work(&checked, &dir, cli, args);
    if let Err(error) = &outcome {
        record(error);
    }
    outcome.map(|()| exit::STOPPED)
}

/// Records what ended the engine. A refusal is no crash; and where another process owns the
/// directory, it is not ours to write in.
pub(crate) fn record(error: &anyhow::Error) {
    let code = code::code_of(error);
    if code::is_no_space(error) {
        crash::free_reserve();
    }
    if ![exit::CONFIGURATION, exit::IN_USE].contains(&code) {
        // The error itself is printed; that it could not be recorded adds nothing.
        let _unwritten = crash::record_error(&format!("{error:#}"), code);
    }
}

/// The engine, from opening the directory to the end.
fn work(checked: &Checked, dir: &DataDir, cli: &Cli, args: &RunArgs) -> Result<()> {
    let warehouse = Warehouse::open(dir.root(), "watershed run")?;
    crash::set_generation(Saved::read(warehouse.backend.as_ref())?.generation + 1);
    let points = crash_points(&cli.crash_at);
    let mut plans = plans_over(checked, &Inside::of(&warehouse, &points))?;
    poison(&mut plans, &cli.panic_at);
    let options = SubmitOptions {
        drop_state: args.drop_state.clone(),
        new_state: args.new_state.clone(),
        quarantine: cli.quarantine.clone(),
    };
    let settings = ProcessSettings {
        crash_points: points,
        retention: retention(checked, &plans),
        ..settings(checked, are_bounded(&plans))
    };
    let running = warehouse.start(&settings, plans, options)?;
    serve(
        dir,
        Live {
            handle: running.handle.clone(),
            topics: warehouse.topics.clone(),
            gauges: running.gauges.clone(),
            dir: dir.clone(),
            backend: warehouse.backend.clone(),
        },
    )?;
    let handle = running.handle.clone();
    signal::on_stop(move || {
        // Busy: the supervisor's patience, or a second signal, ends what does not end.
        let _busy = handle.stop();
    })?;
    running.wait(LOOK, |_running| Ok(()))
}

/// What the job file says of topics, by the names they have. Those that a back-fill reads from the
/// beginning are kept whole.
fn retention(checked: &Checked, plans: &[Arc<JobPlan>]) -> Retention {
    let mut retention = Retention { bytes: checked.topics.retention_bytes, ..Retention::default() };
    for place in [&checked.ods_db, &checked.table_process, &checked.table_process_dwd] {
        if let SourcePlace::Embedded { topic, .. } = place {
            retention.by_topic.insert(topic.clone(), 0);
        }
    }
    for plan in plans {
        let choice = checked.jobs.iter().find(|choice| choice.job.name() == &*plan.name);
        let Some(bytes) = choice.and_then(|choice| choice.retention_bytes) else { continue };
        for (_, sink) in plan.sinks() {
            if let SinkTarget::Topics(topics, _) = &sink.target {
                retention.by_topic.extend(topics.iter().map(|topic| (topic.name.clone(), bytes)));
            }
        }
    }
    retention
}

/// Whether every source ends by itself, so that the process has an end. A source that cannot be
/// made refuses the jobs later and says why.
fn are_bounded(plans: &[Arc<JobPlan>]) -> bool {
    let mut sources = plans.iter().flat_map(|plan| plan.sources());
    sources.all(|(_, spec)| spec.factory.create().is_ok_and(|source| source.describe().bounded))
}

fn settings(checked: &Checked, bounded: bool) -> ProcessSettings {
    let engine = &checked.engine;
    ProcessSettings {
        epoch: EpochSettings {
            interval_ms: Some(engine.epoch_interval_ms),
            stop_at_end: bounded,
            inflight_max: engine.epochs_inflight_max,
            ..EpochSettings::default()
        },
        inflight_bytes_max: engine.inflight_bytes_max,
        state_bytes_max: engine.state_bytes_max,
        source_queue_bytes: engine.source_queue_bytes,
        operator_rows: engine.operator_batches * BATCH_ROWS_TARGET,
        quota: engine.quota,
        stall: engine.stall,
        log: LogOptions { file_bytes: engine.segment_bytes, ..LogOptions::default() },
        ..ProcessSettings::new(checked.workers, random_seed())
    }
}
