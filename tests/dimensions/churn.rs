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
        let (mut churn, mut shop) = (Churn::new(seed), Phases::default());
        for phase in 0..10_u64 {
            let next = churn.next(&mut shop);
            let events: Vec<_> = next.event.iter().cloned().collect();
            history.then(&next.changes, &events, u32::from((seed + phase).is_multiple_of(3)));
            let how = || format!("seed {seed}, phase {phase}: {:#?}", next.event);
            assert_eq!(history.tables(), shop.tables(), "{}", how());
            assert_eq!(history.counter("config_rejected", None), shop.rejected, "{}", how());
        }
        let faults = history.side("dimensions_config_fault").len();
        assert_eq!(faults as u64, shop.rejected, "seed {seed}");
        rejected += shop.rejected;
    }
    assert!(rejected > 20, "only {rejected} rows were refused");
}
