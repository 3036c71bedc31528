//! The committed table of results, `benches/results.toml`: read, compared with, written.
//!
//! The file is TOML of the simplest kind, one section for each bench, of full size or quick:
//!
//! ```toml
//! [full.user_jump]
//! date = "2026-11-21"
//! machine = "2 x AMD EPYC, 23 GiB"
//! load = "1.9"
//! cpu_s_per_million = 2.31
//! ```
//!
//! Figures of another machine are no measure for this one: ratios are, hence both are there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};

use crate::figures::{Figure, Worse};
use crate::machine;

/// Worse by so much is said, and with `--check` an error.
const TOLERANCE: f64 = 4.0 / 3.0;

const HEAD: &str = "# Written by `benches ... --save`; read benches/README.md first.\n";

type Section = BTreeMap<String, String>;

/// The table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Results(BTreeMap<String, Section>);

/// Name of the section of a bench.
pub(crate) fn section(bench: &str, quick: bool) -> String {
    format!("{}.{bench}", if quick { "quick" } else { "full" })
}

impl Results {
    /// The committed one.
    pub(crate) fn load() -> Result<Self> {
        match std::fs::read_to_string(path()) {
            Ok(text) => Self::read(&text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn read(text: &str) -> Result<Self> {
        let (mut all, mut name) = (BTreeMap::<String, Section>::new(), String::new());
        for line in text.lines().map(str::trim) {
            if let Some(section) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                section.clone_into(&mut name);
            } else if let Some((key, value)) = line.split_once(" = ") {
                let value = value.trim_matches('"').to_owned();
                all.entry(name.clone()).or_default().insert(key.to_owned(), value);
            } else if !line.is_empty() && !line.starts_with('#') {
                bail!("benches/results.toml: cannot read {line:?}");
            }
        }
        Ok(Self(all))
    }

    /// What is worse than in the kept section by a third, in sentences; nothing if there is none.
    pub(crate) fn worse(&self, section: &str, figures: &[Figure]) -> Vec<String> {
        let Some(kept) = self.0.get(section) else { return Vec::new() };
        let worse = |figure: &Figure| {
            let before: f64 = kept.get(&figure.name)?.parse().ok()?;
            let (now, name) = (figure.value, &figure.name);
            let is_worse = match figure.worse {
                Worse::More => now > before * TOLERANCE,
                Worse::Less => now < before / TOLERANCE,
                Worse::Never => false,
            };
            is_worse.then(|| format!("{name} is {now:.2}, it was {before:.2}"))
        };
        figures.iter().filter_map(worse).collect()
    }

    /// Keeps figures in the place of the section's old ones.
    pub(crate) fn keep(&mut self, section: &str, figures: &[Figure]) -> Result<()> {
        let mut kept = Section::from([
            ("date".to_owned(), machine::date()?),
            ("machine".to_owned(), machine::description()?),
            ("load".to_owned(), machine::load()?),
        ]);
        kept.extend(figures.iter().map(|figure| (figure.name.clone(), number(figure.value))));
        self.0.insert(section.to_owned(), kept);
        Ok(())
    }

    /// Writes the file.
    pub(crate) fn save(&self) -> Result<()> {
        std::fs::write(path(), self.text()).context("could not write benches/results.toml")
    }

    fn text(&self) -> String {
        let mut out = HEAD.to_owned();
        for (name, section) in &self.0 {
            let _infallible = writeln!(out, "\n[{name}]");
            for (key, value) in section {
                let quoted = value.parse::<f64>().is_err() || key == "load";
                let quote = if quoted { "\"" } else { "" };
                let _infallible = writeln!(out, "{key} = {quote}{value}{quote}");
            }
        }
        out
    }
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("results.toml")
}

/// Three digits behind the point for small figures, none for large ones.
fn number(value: f64) -> String {
    if value.abs() >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut results = Results::default();
        let figures = [Figure::less_is_better("cpu", 2.5), Figure::told("rate", 123_456.7)];
        results.keep(&section("user_jump", false), &figures).unwrap();
        let text = results.text();
        assert!(text.contains("[full.user_jump]\n"), "{text}");
        assert!(text.contains("cpu = 2.500\n") && text.contains("rate = 123457\n"), "{text}");
        assert_eq!(Results::read(&text).unwrap(), results);
        assert!(Results::read("what?").is_err());
    }

    #[test]
    fn a_third_is_tolerated_and_no_more() {
        let results = Results::read("[full.b]\ncpu = 3.0\nspeed = 4.0\ntold = 1.0\n").unwrap();
        let worse = |cpu, speed| {
            let figures = [
                Figure::less_is_better("cpu", cpu),
                Figure::more_is_better("speed", speed),
                Figure::told("told", 100.0),
                Figure::less_is_better("new", 100.0),
            ];
            results.worse("full.b", &figures)
        };
        assert!(worse(3.9, 3.1).is_empty());
        assert_eq!(worse(4.1, 3.1), ["cpu is 4.10, it was 3.00"]);
        assert_eq!(worse(1.0, 2.9), ["speed is 2.90, it was 4.00"]);
        assert!(results.worse("quick.b", &[Figure::less_is_better("cpu", 9.0)]).is_empty());
    }
}
