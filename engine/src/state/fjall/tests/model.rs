//! The store against one in memory: random commits, folds, crashes in them, views that are held.

use proptest::prelude::*;

use super::folds::die_folding;
use super::*;
use crate::state::backend::StateWrite;
use crate::state::memory::MemoryBackend;

/// Spaces: two that go by delta, and one that does not.
const SPACES: [&str; 3] = ["state/one", "state/two", "else"];

#[derive(Debug, Clone)]
enum Action {
    /// Space, key, value.
    Commit(Vec<(usize, Vec<u8>, Option<u8>)>, bool),
    Fold,
    /// A fold that dies when this many spaces have their tables; then the store is opened again.
    DieFolding(usize),
    Drop(usize),
    HoldView,
    /// Opened again: whether spaces go by delta, and from how many bytes on they are folded.
    Open(bool, u64),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..3_u8, 1..4)
}

fn action() -> impl Strategy<Value = Action> {
    let write = (0..SPACES.len(), key(), any::<Option<u8>>());
    let writes = prop::collection::vec(write, 1..8);
    let fold_bytes = prop_oneof![Just(0_u64), Just(150), Just(u64::MAX)];
    prop_oneof![
        8 => (writes, any::<bool>()).prop_map(|(writes, synced)| Action::Commit(writes, synced)),
        3 => Just(Action::Fold),
        2 => (0..=2_usize).prop_map(Action::DieFolding),
        1 => (0..SPACES.len()).prop_map(Action::Drop),
        2 => Just(Action::HoldView),
        2 => (prop::bool::weighted(0.8), fold_bytes)
            .prop_map(|(by_delta, bytes)| Action::Open(by_delta, bytes)),
    ]
}

/// The store and its model.
struct Pair {
    dir: tempfile::TempDir,
    options: FjallOptions,
    store: Option<FjallBackend>,
    model: MemoryBackend,
    views: Vec<[Box<dyn StateView>; 2]>,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = FjallOptions { fold_bytes: u64::MAX, ..FjallOptions::default() };
        let mut new =
            Self { dir, options, store: None, model: MemoryBackend::new(), views: Vec::new() };
        new.open();
        new
    }

    fn store(&self) -> &FjallBackend {
        self.store.as_ref().expect("open")
    }

    fn open(&mut self) {
        // A view keeps the database.
        self.views.clear();
        self.store = None;
        self.store = Some(FjallBackend::open(self.dir.path(), self.options).unwrap());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Commit(writes, synced) => {
                let durability = if synced { Durability::Synced } else { Durability::Lazy };
                let mut batch = StateBatch::default();
                for (space, key, value) in writes {
                    let (space, value) = (SPACES[space].into(), value.map(|value| vec![value]));
                    batch.writes.push(StateWrite { space, key, value });
                }
                self.store().commit(batch.clone(), durability).unwrap();
                self.model.commit(batch, durability).unwrap();
            }
            Action::Fold => self.store().store.fold().unwrap(),
            Action::DieFolding(spaces) => {
                die_folding(self.store(), spaces);
                self.open();
            }
            Action::Drop(space) => {
                self.store().drop_space(SPACES[space]).unwrap();
                self.model.drop_space(SPACES[space]).unwrap();
            }
            Action::HoldView => {
                self.views.push([self.store().view().unwrap(), self.model.view().unwrap()]);
            }
            Action::Open(by_delta, fold_bytes) => {
                let by_delta = by_delta.then_some("state/");
                self.options = FjallOptions { by_delta, fold_bytes, ..FjallOptions::default() };
                self.open();
            }
        }
    }

    fn check(&self) {
        assert_eq!(self.store().spaces().unwrap(), self.model.spaces().unwrap());
        let now = [self.store().view().unwrap(), self.model.view().unwrap()];
        self.views.iter().chain([&now]).for_each(same);
    }
}

/// Both views show the same, however they are asked.
fn same([store, model]: &[Box<dyn StateView>; 2]) {
    for space in SPACES {
        let all = model.scan(space, b"", b"", 99).unwrap();
        assert_eq!(store.scan(space, b"", b"", 99).unwrap(), all, "{space}");
        for key in (0..3).flat_map(|one| (0..3).map(move |other| [one, other])) {
            assert_eq!(store.get(space, &key).unwrap(), model.get(space, &key).unwrap());
            for (prefix, after) in [(&key[..1], &key[..]), (&key[..], b""), (b"", &key)] {
                for limit in [0, 1, 3, 99] {
                    let found = store.scan(space, prefix, after, limit).unwrap();
                    let expected = model.scan(space, prefix, after, limit).unwrap();
                    assert_eq!(found, expected, "{space}: {prefix:?} {after:?} {limit}");
                    let found = store.last(space, prefix, limit).unwrap();
                    assert_eq!(found, model.last(space, prefix, limit).unwrap());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn the_store_is_what_its_model_is(actions in prop::collection::vec(action(), 1..30)) {
        let mut pair = Pair::new();
        for action in actions {
            pair.act(action);
            pair.check();
        }
        pair.act(Action::Fold);
        pair.check();
        pair.open();
        pair.check();
    }
}
