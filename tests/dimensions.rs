//! Dimensions under a seed: changes and config rows in any interleaving, crashes at any point; the
//! tables must be those of a batch that knew the configuration from the start.
//!
//! `WATERSHED_SEED=n cargo test --test dimensions` repeats a failure.

#[path = "dimensions/churn.rs"]
mod churn;
#[path = "dimensions/config.rs"]
mod config;
#[path = "dimensions/ddl.rs"]
mod ddl;
#[path = "dimensions/fixed.rs"]
mod fixed;
#[path = "dimensions/history.rs"]
mod history;
#[path = "dimensions/keyless.rs"]
mod keyless;
#[path = "dimensions/lookup.rs"]
mod lookup;
#[path = "support/shop.rs"]
mod shop;
#[path = "dimensions/switches.rs"]
mod switches;
#[path = "dimensions/trouble.rs"]
mod trouble;

use engine::testing::simulate::seeds;
use history::History;

fn check(seed: u64, changes: u64, crashes: u32, interval_ms: u64) -> u32 {
    let changes = shop::changes(seed, changes);
    let events = shop::widening(seed);
    let mut history = History::new(seed, interval_ms);
    history.then(&changes, &events, crashes);
    let expected = shop::outcome(&changes, &events);
    let counters = || history.simulation.counters();
    assert_eq!(history.tables(), expected, "seed {seed}: {:#?}", counters());
    history.simulation.generations
}

#[test]
fn crashes_and_config_churn_do_not_change_the_tables() {
    let seeds = seeds(1, 50);
    let generations: u32 = seeds.iter().map(|&seed| check(seed, 150, 5, 5 + seed % 40)).sum();
    assert!(seeds.len() == 1 || generations > 100, "only {generations} generations");
}

/// Old records of many epochs under live ones: updates, deletes and new keys while they are read.
#[test]
fn a_long_back_fill_loses_to_live_rows_alone() {
    for seed in seeds(3_000, 24) {
        let workers: &[usize] = if seed.is_multiple_of(2) { &[1] } else { &[2, 1, 3] };
        let mut history = History::new(seed, 1 + seed % 10).with_workers(workers, false);
        let (changes, events) = (shop::changes(seed, 600), shop::widening(seed));
        let events = shop::spaced(seed, &events);
        let (old, live) = changes.split_at(300);
        history.then(old, &[], 0);
        history.then(live, &events, u32::try_from(seed % 4).expect("small"));
        let read_again = history.counter("backfill_rows", None);
        assert!(read_again > 300, "seed {seed}: only {read_again} rows came again");
        assert_eq!(history.tables(), shop::outcome(&changes, &events), "seed {seed}");
    }
}

/// Ten thousand interleavings, on as many processors as there are for tests.
fn any_interleaving(first: u64) {
    for seed in seeds(first, 2_500) {
        check(seed, 40, 0, 3 + seed % 50);
    }
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_1() {
    any_interleaving(10_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_2() {
    any_interleaving(20_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_3() {
    any_interleaving(30_000);
}

#[test]
fn the_tables_do_not_depend_on_the_interleaving_4() {
    any_interleaving(40_000);
}
