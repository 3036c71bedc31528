//! The options of the command line.

use anyhow::{Context as _, Result, bail, ensure};

use crate::pair::{KafkaTopics, Scale};

/// Said where the command is not understood.
pub(crate) const USAGE: &str =
    "usage: benches all|<name>... [--quick] [--records N] [--runs N] [--save] [--check]";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// Names of benches.
    pub(crate) names: Vec<String>,
    /// Less of everything.
    pub(crate) quick: bool,
    /// Records instead of the bench's own number.
    pub(crate) records: Option<u32>,
    /// Pairs of runs instead of three.
    pub(crate) runs: Option<u32>,
    /// Keep the figures in the committed table.
    pub(crate) save: bool,
    /// Fail where a figure is worse than the kept one by a third.
    pub(crate) check: bool,
}

impl Options {
    /// Reads the words behind the program's name.
    pub(crate) fn read(words: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || -> Result<Option<u32>> {
                let text = words.next().with_context(|| format!("{word} what? {USAGE}"))?;
                let number = text.parse().with_context(|| format!("{word} {text}; {USAGE}"))?;
                ensure!(number > 0, "nothing to do");
                Ok(Some(number))
            };
            match word.as_str() {
                "--quick" => options.quick = true,
                "--save" => options.save = true,
                "--check" => options.check = true,
                "--records" => options.records = number()?,
                "--runs" => options.runs = number()?,
                name if !name.starts_with('-') => options.names.push(name.to_owned()),
                other => bail!("unknown option {other}; {USAGE}"),
            }
        }
        ensure!(!options.names.is_empty(), "{USAGE}");
        ensure!(!options.save || options.records.is_none(), "only a bench's own number is kept");
        Ok(options)
    }

    /// How many records.
    pub(crate) fn scale(&self, of: Scale) -> u32 {
        self.records.unwrap_or(if self.quick { of.quick } else { of.full })
    }

    /// How many pairs of runs. Quick ones with a broker cost more time than they are worth.
    pub(crate) fn runs(&self, kafka: Option<KafkaTopics>) -> u32 {
        self.runs.unwrap_or(if self.quick && kafka.is_some() { 1 } else { 3 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Options> {
        Options::read(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn names_and_options_come_in_any_order() {
        let options = read("--quick windows --runs 5 user_jump --check").unwrap();
        assert_eq!(options.names, ["windows", "user_jump"]);
        assert!(options.quick && options.check && !options.save);
        assert_eq!(options.runs(None), 5);
        assert_eq!(options.scale(Scale { full: 7, quick: 3 }), 3);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in ["", "--quick", "x --runs", "x --runs 0", "x --what", "x --save --records 5"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
