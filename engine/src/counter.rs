//! Counters that survive a crash: operator state, added per epoch in the checkpoint batch.
//!
//! A count taken in an epoch that never completes is lost together with the epoch, and counted
//! again when its records are read again; so a kill neither loses nor doubles a count. Names and
//! labels are those of warehouse specification 12.2.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A label beside the job: its name and its value.
pub type Label = (&'static str, Cow<'static, str>);

/// Which counter: a name, the job, and perhaps one more label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterKey {
    /// Counter name, such as `dirty`.
    pub name: &'static str,
    /// Label `job`.
    pub job: Arc<str>,
    /// One more label, such as `("reason", "no_mid")`.
    pub label: Option<Label>,
}

/// Counts of one epoch, not yet complete.
#[derive(Debug, Clone)]
pub struct Counters {
    job: Arc<str>,
    counts: BTreeMap<(&'static str, Option<Label>), u64>,
}

impl Counters {
    /// No counts yet, for `job`.
    pub fn new(job: Arc<str>) -> Self {
        Self { job, counts: BTreeMap::new() }
    }

    /// Adds to a counter without further label.
    pub fn add(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            *self.counts.entry((name, None)).or_default() += count;
        }
    }

    /// Adds to a counter with one more label.
    pub fn add_labelled(
        &mut self,
        name: &'static str,
        label: (&'static str, impl Into<Cow<'static, str>>),
        count: u64,
    ) {
        if count > 0 {
            let label = (label.0, label.1.into());
            *self.counts.entry((name, Some(label))).or_default() += count;
        }
    }

    /// Takes all counts out.
    pub fn take(&mut self) -> Vec<(CounterKey, u64)> {
        let job = &self.job;
        let counts = std::mem::take(&mut self.counts);
        let key = |(name, label)| CounterKey { name, job: job.clone(), label };
        counts.into_iter().map(|(id, count)| (key(id), count)).collect()
    }
}

impl CounterKey {
    /// The key in the store: `name \0 job [\0 label \0 value]`.
    pub fn encode(&self) -> Vec<u8> {
        let mut key = format!("{}\0{}", self.name, self.job);
        if let Some((label, value)) = &self.label {
            key.push_str(&format!("\0{label}\0{value}"));
        }
        key.into_bytes()
    }
}

/// A counter as stored: name, labels sorted by name, value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StoredCounter {
    /// Counter name.
    pub name: String,
    /// Labels, `job` first.
    pub labels: Vec<(String, String)>,
    /// Value.
    pub value: u64,
}

impl StoredCounter {
    /// Reads a key written by [`CounterKey::encode`]; `None` if it was not.
    pub fn decode(key: &[u8], value: u64) -> Option<Self> {
        let text = std::str::from_utf8(key).ok()?;
        let mut parts = text.split('\0');
        let (name, job) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let mut labels = vec![("job".to_owned(), job)];
        if let (Some(label), Some(value)) = (parts.next(), parts.next()) {
            labels.push((label.to_owned(), value.to_owned()));
        }
        Some(Self { name, labels, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_comes_back_from_its_key() {
        let mut counters = Counters::new("log_split".into());
        counters.add_labelled("dirty", ("reason", "no_mid"), 2);
        counters.add_labelled("dirty", ("reason", "no_mid"), 1);
        counters.add("records_in", 0);
        let taken = counters.take();
        assert_eq!(taken.len(), 1);
        let stored = StoredCounter::decode(&taken[0].0.encode(), taken[0].1).expect("ours");
        assert_eq!(stored.name, "dirty");
        assert_eq!(stored.labels[1], ("reason".to_owned(), "no_mid".to_owned()));
        assert_eq!(stored.value, 3);
    }
}
