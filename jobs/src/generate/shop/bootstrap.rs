//! The bootstrap: every dimension table read once, a marker before and after its rows.
//!
//! ```text
//! {"database":"gmall2022","table":"base_region","type":"bootstrap-start","ts":1651280000,"data":{}}
//! {"database":"gmall2022","table":"base_region","type":"bootstrap-insert","ts":1651280000,"data":{"id":"1",...}}
//! {"database":"gmall2022","table":"base_region","type":"bootstrap-complete","ts":1651280000,"data":{}}
//! ```

use super::dimension::{self, KINDS};
use super::envelope::write_bootstrap;
use super::row::Row;
use super::{Settings, Shop};

/// What the bootstrap reads.
#[derive(Clone, Debug)]
pub(super) struct Bootstrap {
    /// Kinds by their index, with the number of rows and of the first record.
    tables: Vec<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    kind: usize,
    rows: u64,
    first: u64,
}

impl Bootstrap {
    /// The bootstrap of a shop with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        let mut first = 0;
        let base = KINDS.iter().enumerate().filter(|(_, kind)| kind.is_base);
        let tables = base.map(|(index, kind)| {
            let rows = (kind.rows)(settings).expect("base rows can be counted");
            let table = Table { kind: index, rows, first };
            first += rows + 2;
            table
        });
        Self { tables: tables.collect() }
    }

    /// How many records it has.
    pub(super) fn records(&self) -> u64 {
        self.tables.last().map_or(0, |table| table.first + table.rows + 2)
    }

    /// Appends record `number`; its table.
    pub(super) fn write(
        &self,
        shop: &Shop,
        number: u64,
        seconds: i64,
        out: &mut Vec<u8>,
    ) -> &'static str {
        let at = self.tables.partition_point(|table| table.first <= number) - 1;
        let Table { kind, rows, first } = self.tables[at];
        let name = KINDS[kind].table;
        match number - first {
            0 => write_bootstrap(name, "bootstrap-start", &Row::new(), seconds, out),
            row if row <= rows => {
                let row = dimension::base_row(shop, kind, row - 1);
                write_bootstrap(name, "bootstrap-insert", &row, seconds, out);
            }
            _ => write_bootstrap(name, "bootstrap-complete", &Row::new(), seconds, out),
        }
        name
    }
}
