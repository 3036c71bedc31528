//! `watershed check`: says what a job file would do, or everything that is wrong with it; and
//! `watershed explain`: the dataflow it stands for.

use std::fmt::Write as _;

use jobs::Job;
use jobs::settings::{ConfigLate, ConfigUpdates, Deletes, DimSettings};

use crate::config::checked::Checked;
use crate::config::duration::{duration_text, size_text};
use crate::config::raw::SECTIONS;

/// What would run, as text.
pub(crate) fn summary(checked: &Checked) -> String {
    let (settings, engine) = (&checked.settings, &checked.engine);
    let time = |ms: u64| duration_text(i64::try_from(ms).unwrap_or(i64::MAX));
    let size = |bytes: u64| size_text(i64::try_from(bytes).unwrap_or(i64::MAX));
    let jobs: Vec<String> = checked
        .jobs
        .iter()
        .map(|choice| {
            let note = if choice.publish { "" } else { " (topics not written)" };
            format!("{}{note}", choice.job.name())
        })
        .collect();
    let mut rows = vec![
        ("data", checked.data.display().to_string()),
        ("workers", checked.workers.to_string()),
    ];
    let sources = checked.sources_read().into_iter();
    rows.extend(sources.map(|(name, place)| (name, place.to_string())));
    if checked.jobs.iter().any(|choice| choice.job == Job::Dimensions) {
        rows.extend([("dim", "embedded".to_owned()), ("dimensions", dimensions(&settings.dim))]);
    }
    if checked.jobs.iter().any(|choice| choice.job == Job::DwdRoute) {
        let ts = if settings.route_adds_ts { "with the time of the change" } else { "as they are" };
        rows.push(("facts", format!("of database {}, {ts}", settings.dim.database)));
    }
    rows.extend([
        ("topics", checked.topics.to_string()),
        ("dws", "embedded".to_owned()),
        ("time zone", settings.time_zone.clone()),
        (
            "log split",
            format!(
                "shape {:?}, err {:?}, action ts {:?}",
                settings.split.shape, settings.split.err, settings.split.action_ts
            )
            .to_lowercase(),
        ),
        (
            "event time",
            format!(
                "{} out of order, idle after {}, future beyond {}",
                duration_text(settings.out_of_orderness_ms),
                duration_text(settings.idle_timeout_ms),
                duration_text(settings.future_skew_ms),
            ),
        ),
        ("user jump", format!("within {}", duration_text(settings.jump_within_ms))),
        (
            "windows",
            format!(
                "{}, lateness {}",
                duration_text(settings.window_ms),
                duration_text(settings.lateness_ms)
            ),
        ),
        (
            "engine",
            format!(
                "epochs of {}, {} batches at a time, {} under way, {} of state, {} read ahead, log files \
                 of {}, up to {} and {} units undelivered",
                time(engine.epoch_interval_ms),
                engine.operator_batches,
                size(engine.inflight_bytes_max),
                size(engine.state_bytes_max),
                size(engine.source_queue_bytes),
                size(engine.segment_bytes),
                size(engine.quota.bytes),
                engine.quota.units,
            ),
        ),
        (
            "supervisor",
            format!(
                "gives up after {} failures in 10m, a stop takes at most {}",
                engine.restart_max,
                time(engine.shutdown_limit_ms)
            ),
        ),
        ("jobs", jobs.join("\n                ")),
    ]);
    let mut text = format!("{} is good\n", checked.name);
    for (name, value) in rows {
        let _infallible = writeln!(text, "  {name:<13} {value}");
    }
    text
}

fn dimensions(settings: &DimSettings) -> String {
    let DimSettings { database, delete, backfill, shared_sink, schema, .. } = settings;
    let deletes = match delete {
        Deletes::Delete => "delete the row",
        Deletes::Ignore => "do nothing",
        Deletes::Upsert => "keep the row",
    };
    let updates = match settings.config_update {
        ConfigUpdates::AlterAdd => "add columns",
        ConfigUpdates::Recreate => "make tables anew",
        ConfigUpdates::Ignore => "do nothing",
    };
    let early = match settings.config_late {
        ConfigLate::Hold => "wait",
        ConfigLate::Drop => "are dropped",
    };
    let on_off = |on: &bool| if *on { "on" } else { "off" };
    format!(
        "database {database}, schema {}, deletes {deletes}, back-fill {}, shared sinks {}, \
         config updates {updates}, early rows {early}",
        schema.as_deref().unwrap_or("none"),
        on_off(backfill),
        on_off(shared_sink),
    )
}

/// Every setting there is, as Markdown: the text of `docs/config.md`.
pub(crate) fn keys() -> String {
    let mut text = String::from(
        "# Settings\n\nMade by `watershed check --keys` from `src/config/raw.rs`.\n\
         A job file is TOML; `config/example.toml` shows every setting.\n\
         The environment goes before the file: `WATERSHED__<SECTION>__<KEY>`, dots as two \
         underscores, dashes as one.\nText may contain `${NAME}`, taken from the environment; \
         secrets must.\n",
    );
    for section in SECTIONS {
        let mut header = format!("[{}]", section.path);
        if section.path == "job" {
            header = format!("[{header}]");
        }
        let _infallible = writeln!(text, "\n## `{header}`\n\n{}\n", sentence(section.about));
        for key in section.keys {
            let _infallible = writeln!(text, "- `{}`: {}", key.name, sentence(key.about));
        }
        if section.open {
            let _infallible =
                writeln!(text, "- `properties.*`: handed to the Kafka client by its own names.");
        }
    }
    text
}

/// Lines of a doc comment, each with the blank before it, as one line.
fn sentence(lines: &[&str]) -> String {
    lines.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_reference() {
        let text = keys();
        for section in SECTIONS {
            assert!(text.contains(&format!("[{}]", section.path)), "{}", section.path);
            for key in section.keys {
                assert!(text.contains(&format!("- `{}`: ", key.name)), "{}", key.name);
            }
        }
    }
}
