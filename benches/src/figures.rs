//! Figures: the rows of a printed table, their medians, and what of them is kept and compared.

use crate::usage::Used;

/// What is expected of a figure when it is measured again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Worse {
    /// More is worse.
    More,
    /// Less is worse.
    Less,
    /// It depends on what else runs, or is no result: told, not compared.
    Never,
}

/// A figure of a bench.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figure {
    /// With its unit last.
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) worse: Worse,
}

impl Figure {
    /// One that is worse the more it is.
    pub(crate) fn less_is_better(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, worse: Worse::More }
    }

    /// One that is worse the less it is.
    pub(crate) fn more_is_better(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, worse: Worse::Less }
    }

    /// One that is only told.
    pub(crate) fn told(name: &str, value: f64) -> Self {
        Self { name: name.to_owned(), value, worse: Worse::Never }
    }
}

/// A row of the table of a pair.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    seconds: f64,
    rate: f64,
    cpu_per_million: f64,
    peak_mib: f64,
    allocations: f64,
}

impl Row {
    /// Above the rows.
    pub(crate) const HEADER: &'static str = "                      seconds   records/s   CPU s/million   \
                                             inputs/CPU s   peak MiB   allocs/record";

    /// Of one part.
    #[expect(clippy::cast_precision_loss, reason = "to be read by people")]
    pub(crate) fn of(used: &Used, records: u32) -> Self {
        let records = f64::from(records);
        Self {
            seconds: used.seconds,
            rate: records / used.seconds,
            cpu_per_million: used.cpu_seconds / records * 1e6,
            peak_mib: mib(used.peak_rss_bytes),
            allocations: used.allocations as f64 / records,
        }
    }

    /// As a line of the table.
    pub(crate) fn line(&self, name: &str) -> String {
        let Self { seconds, rate, cpu_per_million, peak_mib, allocations } = self;
        format!(
            "{name:20}{seconds:9.2}{rate:12.0}{cpu_per_million:16.2}{:15.0}{peak_mib:11.0}{allocations:16.2}",
            1e6 / cpu_per_million
        )
    }

    /// The median of every column.
    pub(crate) fn median(rows: &[Self]) -> Self {
        let of =
            |column: fn(&Self) -> f64| quantile(&rows.iter().map(column).collect::<Vec<_>>(), 50);
        Self {
            seconds: of(|row| row.seconds),
            rate: of(|row| row.rate),
            cpu_per_million: of(|row| row.cpu_per_million),
            peak_mib: of(|row| row.peak_mib),
            allocations: of(|row| row.allocations),
        }
    }

    /// How it stands to its floor, in a sentence.
    pub(crate) fn beside(&self, floor: &Self) -> String {
        let cpu = self.cpu_per_million / floor.cpu_per_million;
        format!(
            "watershed / floor: processor time {cpu:.2} times ({:.0} % of the floor per CPU second), rate {:.0} %",
            100.0 / cpu,
            self.rate / floor.rate * 100.0
        )
    }

    /// How many times as many records a second.
    pub(crate) fn rate_beside(&self, other: &Self) -> f64 {
        self.rate / other.rate
    }

    /// What is kept of it.
    pub(crate) fn figures(&self, floor: &Self) -> Vec<Figure> {
        vec![
            Figure::less_is_better("cpu_s_per_million", self.cpu_per_million),
            Figure::told("floor_cpu_s_per_million", floor.cpu_per_million),
            Figure::less_is_better("cpu_ratio", self.cpu_per_million / floor.cpu_per_million),
            Figure::told("inputs_per_cpu_s", 1e6 / self.cpu_per_million),
            Figure::told("records_per_s", self.rate),
            Figure::told("rate_ratio", self.rate / floor.rate),
            Figure::less_is_better("peak_mib", self.peak_mib),
            Figure::told("floor_peak_mib", floor.peak_mib),
            Figure::less_is_better("allocations_per_record", self.allocations),
            Figure::told("floor_allocations_per_record", floor.allocations),
        ]
    }
}

/// The value below which `percent` of `values` lie; NaN of none.
pub(crate) fn quantile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// Bytes in MiB.
#[expect(clippy::cast_precision_loss, reason = "to be read by people")]
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_there() {
        let values = [5.0, 1.0, 3.0];
        assert!((quantile(&values, 50) - 3.0).abs() < f64::EPSILON);
        assert!((quantile(&values, 99) - 5.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 50).is_nan());
    }
}
