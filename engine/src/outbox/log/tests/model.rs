//! A naive model of the log, and random histories with crashes that both must survive.

use super::*;

/// One step of a history.
#[derive(Debug, Clone)]
enum Step {
    Append {
        rows: u32,
        bytes: Vec<u8>,
    },
    Close {
        busy: bool,
    },
    Sync,
    Commit,
    /// What is delivered: of these rows, by their numbers.
    Deliver {
        of: u64,
        rest: u64,
    },
    Trim {
        keep: u64,
        percent: u64,
    },
    Crash {
        seed: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(0u8..2, 100..500),
    ];
    prop_oneof![
        8 => (1u32..5, body).prop_map(|(rows, bytes)| Step::Append { rows, bytes }),
        3 => any::<bool>().prop_map(|busy| Step::Close { busy }),
        1 => Just(Step::Sync),
        3 => Just(Step::Commit),
        1 => (1u64..5, 0u64..5).prop_map(|(of, rest)| Step::Deliver { of, rest }),
        1 => (0u64..2000, 0u64..=120).prop_map(|(keep, percent)| Step::Trim { keep, percent }),
        2 => any::<u64>().prop_map(|seed| Step::Crash { seed }),
    ]
}

/// What must be true of the log, kept naively.
struct Model {
    disk: SimDisk,
    options: LogOptions,
    log: BlockLog,
    mark: Option<Mark>,
    durable: Vec<(BlockRef, Block)>,
    pending: Vec<(BlockRef, Block)>,
    epoch: u64,
    closed: BTreeMap<String, CloseMark>,
    closed_durable: BTreeMap<String, CloseMark>,
    /// Whether files in the middle may be gone.
    holes: Holes,
}

impl Model {
    fn new(options: LogOptions) -> Model {
        let disk = SimDisk::new();
        Model {
            log: open_with(&disk, None, options).unwrap(),
            disk,
            options,
            mark: None,
            durable: Vec::new(),
            pending: Vec::new(),
            epoch: 0,
            closed: BTreeMap::new(),
            closed_durable: BTreeMap::new(),
            holes: Holes::Damage,
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Append { rows, bytes } => {
                let header = header(&self.log, rows);
                let reference = self.log.append(header, &bytes).unwrap();
                self.pending.push((reference, Block { header, bytes: bytes.into() }));
            }
            Step::Close { busy } => {
                self.epoch += 1;
                let mark = close(if busy { "busy" } else { "quiet" }, self.epoch);
                self.closed.insert(mark.group.clone(), mark.clone());
                self.log.append_close(mark).unwrap();
            }
            Step::Sync => self.log.sync().unwrap(),
            Step::Commit => {
                self.mark = Some(commit(&mut self.log));
                self.durable.append(&mut self.pending);
                self.closed_durable = self.closed.clone();
            }
            Step::Deliver { of, rest } => {
                // Called with what was synced committed.
                self.step(Step::Commit);
                let needed =
                    self.durable.iter().filter(|(_, block)| block.header.base % of != rest);
                let used: BTreeSet<u64> = needed.map(|(reference, _)| reference.file).collect();
                let current = self.mark.unwrap_or_default().file;
                let bytes = self.log.bytes();
                let freed = self.log.remove_unused(&used).unwrap();
                assert_eq!(self.log.bytes(), bytes - freed);
                self.durable
                    .retain(|(block, _)| used.contains(&block.file) || block.file >= current);
                self.holes = Holes::Removed;
            }
            Step::Trim { keep, percent } => {
                // To be called with what was synced committed.
                self.step(Step::Commit);
                let floor = self.mark.unwrap_or_default().next_base * percent / 100;
                let (first, bytes) = (self.log.first_base(), self.log.bytes());
                let freed = self.log.remove_surplus(keep, floor).unwrap();
                assert_eq!(self.log.bytes(), bytes - freed);
                assert!(freed == 0 || bytes - freed >= keep, "{freed} of {bytes}");
                assert!(self.log.first_base() <= floor.max(first));
                let first = self.log.first_base();
                self.durable.retain(|(_, block)| block.header.base >= first);
            }
            Step::Crash { seed } => self.crash(seed),
        }
        self.check();
    }

    fn crash(&mut self, seed: u64) {
        self.disk.crash(&mut random(seed));
        self.check_close_marks();
        self.log = open_with(&self.disk, self.mark, self.options).unwrap();
        self.pending.clear();
        self.closed = self.closed_durable.clone();
        assert_eq!(self.log.next_base(), self.mark.unwrap_or_default().next_base);
        assert_eq!(self.log.mark(), self.mark.unwrap_or_default());
        let marks = last_close_marks(&self.disk, DIR).unwrap();
        assert_eq!(marks, self.closed_durable, "what was cut says nothing any more");
    }

    /// Between crash and open: at least the durable ones, and nothing that was never said.
    fn check_close_marks(&self) {
        let found = last_close_marks(&self.disk, DIR).unwrap();
        for (group, durable) in &self.closed_durable {
            let found = found.get(group).unwrap_or_else(|| panic!("{group} is lost"));
            assert!((durable.epoch..=self.epoch).contains(&found.epoch));
        }
        for (group, found) in found {
            assert_eq!(found, close(&group, found.epoch));
        }
    }

    fn check(&self) {
        let mark = self.mark.unwrap_or_default();
        let blocks = self.durable.iter().map(|(_, block)| block);
        if self.holes == Holes::Damage {
            let read = read_all(&self.disk, mark, 0).unwrap();
            assert!(read.iter().eq(blocks.clone()));
        }
        for (reference, block) in self.durable.iter().chain(&self.pending) {
            assert_eq!(&read_ref(&self.disk, DIR, reference).unwrap(), block);
        }
        let rows: u64 = blocks.map(|block| u64::from(block.header.rows)).sum();
        assert_eq!(verify(&self.disk, DIR, mark, self.holes).unwrap().rows, rows);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn histories_with_crashes(
        recycle in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut model = Model::new(if recycle { RECYCLING } else { SMALL });
        steps.into_iter().for_each(|step| model.step(step));
        model.crash(1);
        model.check();
    }
}
