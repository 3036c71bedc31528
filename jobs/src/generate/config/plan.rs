//! Timetables of config changes: that of the demo, and seeded ones of any length for tests.
//!
//! The places depend on the shop's seed. A plan keeps what the config table holds, so `before` is
//! always the row that was there, also where the router rejected it.

use std::collections::BTreeMap;

use super::{Change, Layout, Row, Settings};
use crate::generate::random::Random;
use crate::generate::shop;

/// Tables that the demo configures late.
const LATE: [&str; 2] = ["coupon_range", "base_dic"];

impl Settings {
    /// The rows of the course, which never change.
    pub fn of_course(layout: Layout) -> Self {
        Self { layout, snapshot: layout.rows(), changes: Vec::new(), start_ms: 0 }
    }

    /// What the demo shows: tables that are configured late, widened, narrowed, removed and added
    /// again, moved. About every `every` records of the shop, from its bootstrap on, one change; a
    /// dozen at most.
    pub fn demo(layout: Layout, shop: &shop::Generator, every: u64) -> Self {
        let mut plan = Plan::new(layout, shop, every);
        plan.held.retain(|table, _| !LATE.contains(&table.as_str()));
        let snapshot = plan.held.values().cloned().collect();
        let course: BTreeMap<String, Row> = by_source(layout.rows());
        plan.put(course["coupon_range"].clone());
        plan.put(course["base_trademark"].with_column("logo_url"));
        plan.remove("activity_sku");
        plan.put(Row::dictionary());
        plan.put(course["user_info"].with_column("nick_name").with_column("email"));
        plan.put(course["activity_sku"].clone());
        plan.put(course["coupon_info"].without_column("range_desc"));
        let moved = "dim_sku_cost".to_owned();
        plan.put(Row { sink_table: moved, ..course["financial_sku_cost"].clone() });
        plan.settings(snapshot)
    }

    /// `count` seeded changes, one about every `every` records of the shop, from the rows of the course
    /// on: rows come and go, get wider and narrower, and move. With `faulty`, one of six is a row that
    /// a router must reject, which the next change repairs.
    pub fn churn(
        layout: Layout,
        shop: &shop::Generator,
        every: u64,
        count: usize,
        faulty: bool,
    ) -> Self {
        let mut plan = Plan::new(layout, shop, every);
        let snapshot = layout.rows();
        let mut churn = Churn { course: by_source(layout.rows()), broken: None, faulty };
        for number in 0..u64::try_from(count).unwrap_or(u64::MAX) {
            let mut random = Random::of(&[shop.settings().seed, 31, number]);
            churn.step(&mut plan, &mut random);
        }
        plan.settings(snapshot)
    }
}

/// A plan that is being made.
struct Plan<'a> {
    layout: Layout,
    shop: &'a shop::Generator,
    every: u64,
    /// What the config table holds.
    held: BTreeMap<String, Row>,
    changes: Vec<Change>,
}

impl<'a> Plan<'a> {
    fn new(layout: Layout, shop: &'a shop::Generator, every: u64) -> Self {
        Self { layout, shop, every, held: by_source(layout.rows()), changes: Vec::new() }
    }

    /// Inserts or updates a row.
    fn put(&mut self, row: Row) {
        let before = self.held.insert(row.source_table.clone(), row.clone());
        self.push(before, Some(row));
    }

    /// Deletes the row of a source table.
    fn remove(&mut self, source: &str) {
        let before = self.held.remove(source);
        self.push(before, None);
    }

    fn push(&mut self, before: Option<Row>, after: Option<Row>) {
        let turn = super::count(&self.changes) + 1;
        let mut random = Random::of(&[self.shop.settings().seed, 30, turn]);
        let jitter = random.bits() % (self.every / 2).max(1);
        let due = self.shop.bootstrap_records() + turn * self.every + jitter;
        let at_ms = self.shop.arrival_ms(due);
        self.changes.push(Change { due, at_ms, before, after });
    }

    fn settings(self, snapshot: Vec<Row>) -> Settings {
        let start_ms = self.shop.arrival_ms(0);
        Settings { layout: self.layout, snapshot, changes: self.changes, start_ms }
    }
}

/// A plan that goes on as the dice fall.
struct Churn {
    /// What may be configured.
    course: BTreeMap<String, Row>,
    /// The row as it was before it was spoilt.
    broken: Option<Row>,
    faulty: bool,
}

impl Churn {
    fn step(&mut self, plan: &mut Plan<'_>, random: &mut Random) {
        if let Some(repaired) = self.broken.take() {
            return plan.put(repaired);
        }
        let sources: Vec<&String> = self.course.keys().collect();
        let source = random.pick(&sources).clone();
        let Some(row) = plan.held.get(&source).cloned() else {
            return plan.put(self.course[&source].clone());
        };
        match random.below(if self.faulty { 6 } else { 5 }) {
            0 => plan.remove(&source),
            1 => plan.put(moved(&row)),
            2 => plan.put(narrowed(&row, random).unwrap_or_else(|| moved(&row))),
            3 | 4 => plan.put(widened(&row, plan.shop).unwrap_or_else(|| moved(&row))),
            _ => {
                plan.put(spoilt(&row, random));
                self.broken = Some(row);
            }
        }
    }
}

/// The row with another dimension table, each time a new one.
fn moved(row: &Row) -> Row {
    let (name, number) = row.sink_table.split_once("_v").unwrap_or((&row.sink_table, "1"));
    let number = number.parse::<u64>().unwrap_or(1) + 1;
    Row { sink_table: format!("{name}_v{number}"), ..row.clone() }
}

/// The row without one of its columns; not if there is only the key.
fn narrowed(row: &Row, random: &mut Random) -> Option<Row> {
    let key = row.sink_pk.as_deref().unwrap_or("id");
    let others: Vec<&str> = row.columns().filter(|column| *column != key).collect();
    (others.len() > 1).then(|| row.without_column(random.pick(&others)))
}

/// The row with the first column that it does not have yet.
fn widened(row: &Row, shop: &shop::Generator) -> Option<Row> {
    let columns = shop.columns(&row.source_table)?;
    let missing = columns.into_iter().find(|column| row.columns().all(|has| has != *column))?;
    Some(row.with_column(missing))
}

/// A row that a router must reject, whatever the layout (warehouse 4.5).
fn spoilt(row: &Row, random: &mut Random) -> Row {
    match random.below(3) {
        0 => Row { sink_columns: String::new(), ..row.clone() },
        1 => row.with_column("id").with_column("id"),
        _ => row.with_columns(row.columns().chain([""])),
    }
}

fn by_source(rows: Vec<Row>) -> BTreeMap<String, Row> {
    rows.into_iter().map(|row| (row.source_table.clone(), row)).collect()
}
