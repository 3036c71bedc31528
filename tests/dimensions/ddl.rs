//! Tables that do not come at once: rows wait for them, epochs do not, and nothing is lost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use engine::epoch::hold::HoldReason;
use engine::limit::{DDL_HOLD_MS, DDL_TIMEOUT_MS};
use engine::random::Random;
use engine::testing::simulate::seeds;
use jobs::settings::Deletes;

use super::history::{History, START_MS};
use super::shop::phases::Phases;
use super::shop::{self, Change, Config, ConfigEvent, Table};
use super::trouble::{Trouble, Troubled};
use ConfigEvent::{Delete, Put};

/// Microseconds that a step of the simulation takes, on the average.
const STEP_US: u64 = 200;

/// Long epochs, because simulated time is dear; short ones while there are rows.
fn history(seed: u64, troubles: &[(&str, Trouble)]) -> History {
    let mut history = History::new(seed, 300);
    history.simulation.settings.epoch.rows_max = Some(1 + seed % 20);
    history.sink = Arc::new(Troubled::new(history.sink.clone(), troubles));
    history
}

/// Any trouble that ends by itself, well before it is given up.
fn passing(random: &mut Random) -> Trouble {
    let slow_ms = [0, 0, 20, 1_000, 6_000][random.index(5)];
    let later = u32::try_from(random.below(4)).expect("small");
    Trouble { slow_ms, later, never: false }
}

/// Longest time that an epoch was held for tables, milliseconds.
fn longest_hold(history: &mut History) -> u64 {
    let holds: RefCell<BTreeMap<u64, (u64, u64)>> = RefCell::default();
    history.watch(&|step, status| {
        if !step.is_multiple_of(50) {
            return;
        }
        for hold in status().holds.iter().filter(|hold| hold.reason == HoldReason::Ddl) {
            holds.borrow_mut().entry(hold.epoch).or_insert((step, step)).1 = step;
        }
    });
    let longest = holds.borrow().values().map(|(first, last)| last - first).max();
    longest.unwrap_or(0) * STEP_US / 1000
}

#[test]
fn tables_that_are_late_get_every_row() {
    for seed in seeds(1, 50) {
        let mut random = Random::new(seed ^ 0xdd1);
        let sinks = ["dim_sku", "dim_spu", "dim_sku_2"];
        let troubles = sinks.map(|sink| (sink, passing(&mut random)));
        let mut history = history(seed, &troubles);
        let (changes, events) = (shop::changes(seed, 60), shop::widening(seed));
        history.add(&changes, &events);
        // While it is made, while rows wait for it in state, and at any other time.
        let within = [600, 20_000, 60_000];
        let crashes = [0, 1, 2].map(|_| within[random.index(3)]);
        history.work_off(&crashes.map(|within| 1 + random.below(within)));
        let expected = shop::outcome(&changes, &events);
        assert_eq!(history.tables(), expected, "seed {seed}: {troubles:?}");
        assert_eq!(history.side("dimensions_config_fault"), [""; 0], "seed {seed}");
        assert_eq!(history.side("dimensions_unrouted"), [""; 0], "seed {seed}");
    }
}

#[test]
fn no_epoch_is_held_longer_than_it_may() {
    for seed in seeds(100, 4) {
        let slow = Trouble { slow_ms: 8_000, ..Trouble::default() };
        let mut history = history(seed, &[("dim_a", slow), ("dim_b", slow), ("dim_c", slow)]);
        let columns = &["id", "name"];
        let rows =
            ["sku_info", "spu_info", "sku_info"].into_iter().zip(["dim_a", "dim_b", "dim_c"]);
        let rows = rows.map(|(source, sink)| Put(None, Config::new(source, sink, columns)));
        let (changes, events): (_, Vec<_>) = (shop::changes(seed, 60), rows.collect());
        history.add(&changes, &events);
        let longest = longest_hold(&mut history);
        let allowed = DDL_HOLD_MS..DDL_HOLD_MS + DDL_HOLD_MS / 5;
        assert!(allowed.contains(&longest), "seed {seed}: an epoch was held for {longest} ms");
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "seed {seed}");
    }
}

/// Steps until the embedded table has a row.
fn steps_until_rows(history: &mut History, tables: &[&'static str]) -> Vec<u64> {
    let found = RefCell::new(vec![None; tables.len()]);
    let store = history.store.clone();
    history.watch(&|step, _| {
        if !step.is_multiple_of(20) {
            return;
        }
        for (found, table) in found.borrow_mut().iter_mut().zip(tables) {
            let has_rows = || store.scan(table).is_ok_and(|mut rows| rows.next().is_some());
            if found.is_none() && has_rows() {
                *found = Some(step);
            }
        }
    });
    found.into_inner().into_iter().map(|step| step.expect("all tables have rows")).collect()
}

#[test]
fn a_table_that_hangs_holds_up_no_other() {
    for seed in seeds(200, 4) {
        let hangs = Trouble { slow_ms: 40_000, ..Trouble::default() };
        let mut history = history(seed, &[("dim_a", hangs)]);
        let columns = &["id", "name", "price"];
        let put = |source, sink| Put(None, Config::new(source, sink, columns));
        let events = [put("sku_info", "dim_a"), put("spu_info", "dim_b"), put("sku_info", "dim_c")];
        let changes = shop::changes(seed, 60);
        history.add(&changes, &events);
        let steps = steps_until_rows(&mut history, &["DIM_A", "DIM_B", "DIM_C"]);
        let ms: Vec<u64> = steps.iter().map(|steps| steps * STEP_US / 1000).collect();
        assert!(ms[0] > 39_000, "seed {seed}: {ms:?}");
        // Those that come after it in the same epoch wait as long as the epoch does.
        assert!(ms[1].max(ms[2]) < 2 * DDL_HOLD_MS, "seed {seed}: {ms:?}");
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "seed {seed}");
    }
}

#[test]
fn rows_that_wait_are_judged_like_any_other() {
    let mut ignored = 0;
    for seed in seeds(250, 10) {
        let slow = Trouble { slow_ms: 6_000, ..Trouble::default() };
        let mut history = history(seed, &[("dim_a", slow)]);
        history.settings.dim.delete = Deletes::Ignore;
        let mut changes = shop::changes(seed, 60);
        changes.iter_mut().step_by(7).for_each(|change| change.data.clear());
        let event = Put(None, Config::new("sku_info", "dim_a", &["id", "name"]));
        history.then(&changes, std::slice::from_ref(&event), 0);
        let mut shop = Phases::with_deletes(Deletes::Ignore);
        shop.configure(&event);
        changes.iter().for_each(|change| shop.change(change));
        assert_eq!(history.tables(), shop.tables(), "seed {seed}");
        assert_eq!(history.side("dimensions_null_pk"), [""; 0], "seed {seed}: it has no data");
        ignored += history.counter("dropped", Some(("reason", "delete_ignored")));
    }
    assert!(ignored > 0, "no deletion came by");
}

/// The records of `table` that came while nobody could take them.
fn records_of(changes: &[Change], table: &str) -> Vec<String> {
    let of_table = changes.iter().filter(|change| change.table == table);
    of_table.map(|change| String::from_utf8(change.json(START_MS / 1000)).expect("text")).collect()
}

/// What a table that cannot be made must leave: its config row refused, its rows told one by one,
/// the other tables as if it had never been asked for.
fn assert_refused(
    history: &History,
    changes: &[Change],
    event: &ConfigEvent,
    good: &[ConfigEvent],
) {
    assert_eq!(history.tables(), shop::outcome(changes, good));
    let row = String::from_utf8(event.json()).expect("text");
    assert_eq!(history.side("dimensions_config_fault"), [row]);
    assert_eq!(history.counter("config_rejected", None), 1);
    let records = records_of(changes, "spu_info");
    let unrouted = history.side("dimensions_unrouted");
    assert!(unrouted.iter().all(|record| records.contains(record)), "{unrouted:?}");
    // Each record of its source was there once: before, while it was being made, or after.
    let lost = history.counter("no_config", Some(("table", "spu_info")));
    assert_eq!(unrouted.len() as u64 + lost, records.len() as u64);
}

#[test]
fn a_table_that_is_refused_at_once_takes_no_row() {
    for seed in seeds(300, 10) {
        let never = Trouble { never: true, ..Trouble::default() };
        let mut history = history(seed, &[("dim_spu", never)]);
        let changes = shop::changes(seed, 60);
        let good = [Put(None, Config::new("sku_info", "dim_sku", &["id", "name"]))];
        let refused = Put(None, Config::new("spu_info", "dim_spu", &["id", "name"]));
        history.then(&changes, &[refused.clone(), good[0].clone()], 3);
        assert_refused(&history, &changes, &refused, &good);
        assert_eq!(history.side("dimensions_unrouted"), [""; 0], "nothing waited");
    }
}

#[test]
fn rows_that_waited_for_a_table_that_is_refused_are_told() {
    let mut told = 0;
    for seed in seeds(400, 8) {
        // Slow enough that rows wait in state, and for half of the seeds too slow for good.
        let slow_ms = if seed.is_multiple_of(2) { 2 * DDL_HOLD_MS } else { 2 * DDL_TIMEOUT_MS };
        let mut history = history(seed, &[("dim_spu", Trouble { slow_ms, later: 0, never: true })]);
        let changes = shop::changes(seed, 60);
        let good = [Put(None, Config::new("sku_info", "dim_sku", &["id", "name"]))];
        let refused = Put(None, Config::new("spu_info", "dim_spu", &["id", "name"]));
        history.add(&changes, &[refused.clone(), good[0].clone()]);
        let crashes = [300 + seed, 30_000];
        history.work_off(if seed.is_multiple_of(3) { &crashes } else { &[] });
        assert_refused(&history, &changes, &refused, &good);
        told += history.side("dimensions_unrouted").len();
    }
    assert!(told > 0, "no row ever waited");
}

#[test]
fn a_config_row_that_changes_while_its_table_is_made_means_what_it_says_last() {
    let first = Config::new("sku_info", "dim_a", &["id", "name"]);
    let wide = first.with(&["id", "name", "price"]);
    let moved = Config { sink: "dim_b".to_owned(), ..first.clone() };
    let put = Put(None, first.clone());
    let cases = [
        (Delete(first.clone()), vec![put.clone(), Delete(first.clone())]),
        (Put(Some(first.clone()), wide.clone()), vec![Put(None, wide)]),
        (Put(Some(first.clone()), moved.clone()), vec![Put(None, moved)]),
    ];
    for seed in seeds(450, 9) {
        let (event, outcome) = &cases[usize::try_from(seed % 3).expect("small")];
        let slow = Trouble { slow_ms: 12_000, ..Trouble::default() };
        let mut history = history(seed, &[("dim_a", slow)]);
        let changes = shop::changes(seed, 60);
        history.add(&changes, std::slice::from_ref(&put));
        // By now it is pending in state, and its rows wait.
        history.die_after((DDL_HOLD_MS + 1_000) * 1000 / STEP_US);
        history.add(&[], std::slice::from_ref(event));
        history.work_off(&[]);
        let (mut tables, mut expected) = (history.tables(), shop::outcome(&changes, outcome));
        if !matches!(event, Put(_, row) if row.sink == "dim_a") {
            // It was asked for, so it may have been made; nobody fills it.
            expected.remove("dim_a");
            assert_eq!(tables.remove("dim_a").unwrap_or_default(), Table::new(), "seed {seed}");
        }
        assert_eq!(tables, expected, "seed {seed}");
    }
}
