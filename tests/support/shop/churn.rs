//! A config table under a seed, as people treat one: rows come, change every column, and go.

use engine::random::Random;

use super::phases::Phases;
use super::{Change, Config, ConfigEvent, change};

/// What happens before the next quiet moment. The order of changes and config row does not matter.
#[derive(Debug, Clone)]
pub(crate) struct Phase {
    pub(crate) changes: Vec<Change>,
    pub(crate) event: Option<ConfigEvent>,
}

/// Makes phases.
pub(crate) struct Churn {
    random: Random,
    /// The rows of the config table, refused ones too.
    table: Vec<Config>,
}

const SINKS: [&str; 3] = ["dim_a", "dim_b", "dim_c"];
const SOURCES: [&str; 3] = ["sku_info", "spu_info", "order_info"];

impl Churn {
    /// An empty table.
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Random::new(seed ^ 0xc1e), table: Vec::new() }
    }

    /// What happens next; `shop` is how things stand, and is brought up to date.
    pub(crate) fn next(&mut self, shop: &mut Phases) -> Phase {
        let event = if self.random.one_in(4) { None } else { self.event() };
        let before = shop.clone();
        event.iter().for_each(|event| shop.configure(event));
        let count = if shop.has_grown_since(&before) { self.random.below(25) } else { 0 };
        let changes: Vec<Change> = (0..count).map(|_| change(&mut self.random)).collect();
        changes.iter().for_each(|change| shop.change(change));
        Phase { changes, event }
    }

    fn event(&mut self) -> Option<ConfigEvent> {
        if self.table.is_empty() || self.random.one_in(3) {
            return self.insertion();
        }
        let at = self.random.index(self.table.len());
        if self.random.one_in(6) {
            return Some(ConfigEvent::Delete(self.table.swap_remove(at)));
        }
        let before = self.table[at].clone();
        let mut row = before.clone();
        match self.random.below(10) {
            0 => row.sink = SINKS[self.random.index(SINKS.len())].to_owned(),
            1 => row.source = SOURCES[self.random.index(SOURCES.len())].to_owned(),
            2 => row.keys = vec!["id".to_owned(), "name".to_owned()],
            3 => row.extend = Some("SALT_BUCKETS = 3".to_owned()),
            4 => row.columns = Vec::new(),
            5 => row.columns.push("id".to_owned()),
            _ => row.columns = self.columns(),
        }
        let same = |other: &Config| (&other.source, &other.sink) == (&row.source, &row.sink);
        if self.table.iter().enumerate().any(|(other, config)| other != at && same(config)) {
            return None;
        }
        self.table[at] = row.clone();
        Some(ConfigEvent::Put(Some(before), row))
    }

    fn insertion(&mut self) -> Option<ConfigEvent> {
        let mut row = Config::new(
            SOURCES[self.random.index(SOURCES.len())],
            SINKS[self.random.index(SINKS.len())],
            &[],
        );
        row.columns = self.columns();
        if self.random.one_in(8) {
            row.keys = vec!["id".to_owned(), "price".to_owned()];
        }
        let same = |other: &Config| (&other.source, &other.sink) == (&row.source, &row.sink);
        if self.table.iter().any(same) {
            return None;
        }
        self.table.push(row.clone());
        Some(ConfigEvent::Put(None, row))
    }

    fn columns(&mut self) -> Vec<String> {
        let mut columns = vec!["id".to_owned()];
        for column in ["name", "price", "tm_id"] {
            if self.random.below(5) < 3 {
                columns.push(column.to_owned());
            }
        }
        columns
    }
}
