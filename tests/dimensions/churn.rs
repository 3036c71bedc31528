//! Configuration that changes its mind: rows that narrow, move, change their key and go.

use super::history::History;
use super::shop::churn::Churn;
use super::shop::phases::Phases;
use engine::testing::simulate::seeds;

#[test]
fn every_phase_of_a_changing_configuration_leaves_the_tables_it_must() {
    let mut rejected = 0;
    for seed in seeds(500, 50) {
        let mut history = History::new(seed, 1 + seed % 40);
        let mut shop = Phases::default();
        ten_phases(&mut history, &mut shop, seed);
        let faults = history.side("dimensions_config_fault").len();
        assert_eq!(faults as u64, shop.rejected, "seed {seed}");
        rejected += shop.rejected;
    }
    assert!(rejected > 20, "only {rejected} rows were refused");
}

/// Goes through ten phases of a configuration that changes, with a crash in every third; the tables are
/// after each what they must.
pub(super) fn ten_phases(history: &mut History, shop: &mut Phases, seed: u64) {
    let mut churn = Churn::new(seed);
    for phase in 0..10_u64 {
        let next = churn.next(shop);
        let events: Vec<_> = next.event.iter().cloned().collect();
        history.then(&next.changes, &events, u32::from((seed + phase).is_multiple_of(3)));
        let how = || format!("seed {seed}, phase {phase}: {:#?}", next.event);
        assert_eq!(history.tables(), shop.tables(), "{}", how());
        assert_eq!(history.counter("config_rejected", None), shop.rejected, "{}", how());
    }
}
