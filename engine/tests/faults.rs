//! Faults of the list in the specification (engine 26) that are the engine's own: disk full, failed
//! sync, idle partitions, one hot key, times far off, a job cancelled in mid commit.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::batch::build::BatchBuilder;
use engine::batch::key;
use engine::batch::row::Row;
use engine::batch::schema::{Kind, Schema};
use engine::checkpoint::disk::Disk as _;
use engine::checkpoint::layout::OUTBOX_DIR;
use engine::checkpoint::reserve::held_bytes;
use engine::checkpoint::restore::Saved;
use engine::codec::Verbatim;
use engine::control::handle::{CloseRequest, Handle, Reply};
use engine::error::exit;
use engine::graph::plan::{Asks, Feed, SinkTarget, SourceSpec, StatefulSpec};
use engine::graph::{JobBuilder, JobPlan, Route};
use engine::operator::keyed::Codec;
use engine::operator::window::{Aggregate, PARTIAL_KEY, WindowFinal, WindowPartial};
use engine::outbox::quota::Quota;
use engine::outbox::sinks::SinkWork;
use engine::random::Random;
use engine::sink::UnitPolicy;
use engine::testing::disk::Fault;
use engine::testing::records::{KEY, Record, Records, VALUE};
use engine::testing::simulate::Simulation;
use engine::testing::target::Target;
use engine::time::window::Tumbling;

const START_MS: i64 = 1_000_000;
const WINDOWS: Tumbling = Tumbling { size_ms: 100, lateness_ms: 0 };

/// Counts records per key.
#[derive(Clone)]
struct Count(Arc<Schema>);

#[derive(Default)]
struct Number(u64);

impl Codec for Number {
    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        Some(Self(u64::from_be_bytes(bytes.try_into().ok()?)))
    }
}

impl Aggregate for Count {
    type Sum = Number;

    fn group(&self, _input: usize, row: Row<'_>, group: &mut Vec<u8>) -> bool {
        key::push_bytes(group, row.bytes(KEY));
        true
    }

    fn add(&self, _input: usize, _row: Row<'_>, sum: &mut Number) {
        sum.0 += 1;
    }

    fn merge(&self, sum: &mut Number, other: &Number) {
        sum.0 += other.0;
    }

    fn schema(&self) -> &Arc<Schema> {
        &self.0
    }

    fn emit(&self, start: i64, group: &[u8], sum: &Number, row: &mut BatchBuilder) {
        let place = row.append_with(|out| {
            key::push_int(out, start);
            out.extend_from_slice(group);
        });
        row.slice(KEY, place);
        let sum = row.append(sum.0.to_string().as_bytes());
        row.slice(VALUE, sum);
    }
}

/// One job `name`: records, counted by key in windows, to the target.
fn job(name: &str, records: &Records, target: &Target, idle_timeout_ms: i64) -> Arc<JobPlan> {
    let schema = Schema::new("timed", &[("key", Kind::Slice), ("value", Kind::Slice)]);
    let mut job = JobBuilder::new(name);
    let source = job.source(
        "in",
        SourceSpec {
            idle_timeout_ms,
            future_hold_ms: 1_000,
            future_skew_ms: 10_000,
            ..records.spec()
        },
    );
    let spec = |what, outputs, make| StatefulSpec {
        what,
        make,
        outputs,
        delay_ms: 0,
        asks: Asks::default(),
    };
    let (first, second) = (Count(schema.clone()), Count(schema));
    let partial = job.stateful(
        "partial",
        &[(&source.rows, Route::Local)],
        spec("partial", 2, Arc::new(move || Box::new(WindowPartial::new(first.clone(), WINDOWS)))),
    );
    let total = job.stateful(
        "window",
        &[(&partial[0], Route::Key(vec![PARTIAL_KEY]))],
        spec("window", 1, Arc::new(move || Box::new(WindowFinal::new(second.clone(), WINDOWS)))),
    );
    let verbatim = Arc::new(Verbatim { key: KEY, value: VALUE });
    let sink = SinkTarget::Outside(Arc::new(target.clone()));
    job.sink("out", sink, &["windows"], vec![(&total[0], Feed::uncounted(0, verbatim))]);
    Arc::new(job.build().expect("a good plan"))
}

fn record(time: i64, key: &str) -> Record {
    (key.as_bytes().to_vec(), format!("{time} x").into_bytes())
}

/// Sums by window start and key.
fn sums(target: &Target) -> BTreeMap<(i64, String), u64> {
    let mut sums = BTreeMap::new();
    for (_, place, sum) in target.rows() {
        let parts = key::parts(&place.expect("a key")).expect("a key of ours");
        let [key::Part::Int(start), key::Part::Bytes(group)] = &parts[..] else {
            panic!("not a window key: {parts:?}")
        };
        let group = String::from_utf8(group.clone()).expect("text");
        let sum = String::from_utf8(sum.expect("a sum")).expect("text");
        assert!(
            sums.insert((*start, group), sum.parse().expect("a number")).is_none(),
            "a window fires once, in one piece"
        );
    }
    sums
}

fn target(seed: u64) -> Target {
    Target::new(seed, UnitPolicy::EVERY_EPOCH)
}

/// Times that grow, keys a to d.
fn steady(seed: u64, count: i64) -> Vec<Record> {
    let mut random = Random::new(seed);
    let keys = ["a", "b", "c", "d"];
    (0..count).map(|n| record(START_MS - 5_000 + n * 7, keys[random.index(4)])).collect()
}

fn expected(records: &[Vec<Record>]) -> BTreeMap<(i64, String), u64> {
    let mut sums = BTreeMap::new();
    for (key, value) in records.iter().flatten() {
        let text = String::from_utf8(value.clone()).expect("text");
        let time: i64 = text.split(' ').next().expect("a time").parse().expect("a number");
        let key = String::from_utf8(key.clone()).expect("text");
        *sums.entry((WINDOWS.start_of(time), key)).or_default() += 1;
    }
    sums
}

/// Faults 10, 13: a full disk or a failed sync ends the process with code 74, nothing is retried on
/// it, and the next generation goes on from the last complete epoch.
#[test]
fn a_failing_disk_stops_the_process_and_loses_nothing() {
    let mut stops = 0;
    for seed in 1..=30 {
        let partitions = vec![steady(seed, 120), steady(seed + 100, 120)];
        let records = Records::new("in", partitions.clone(), seed);
        let target = target(seed);
        let mut simulation = Simulation::new(seed, START_MS);
        let fault = if seed % 2 == 0 { Fault::NoSpace } else { Fault::Io };
        simulation.disk.fail_after(seed % 23, fault);
        simulation.run(3, &|_, _| vec![job("j", &records, &target, 0)]);
        assert_eq!(sums(&target), expected(&partitions), "seed {seed}");
        stops += simulation.fatals.len();
        for fatal in &simulation.fatals {
            assert_eq!(fatal.code, exit::DISK, "seed {seed}: {fatal}");
        }
    }
    assert!(stops >= 10, "the disk failed only {stops} times");
}

/// Fault 10: a disk that fills up ends the process with code 74; the reserve makes room for the record
/// of every stop, also while the disk stays full, and is there again once there is space.
#[test]
fn a_full_disk_leaves_room_to_say_so() {
    let (mut stops, mut repeated) = (0, 0);
    for seed in 1..=20 {
        let partitions = vec![steady(seed, 150), steady(seed + 100, 150)];
        let records = Records::new("in", partitions.clone(), seed);
        let target = target(seed);
        let mut simulation = Simulation::new(seed, START_MS);
        let reserve = simulation.settings.reserve_bytes;
        simulation.disk.limit_bytes(reserve + 60 * seed);
        simulation.heals_after = 2;
        simulation.run(2, &|_, _| vec![job("j", &records, &target, 0)]);
        assert_eq!(sums(&target), expected(&partitions), "seed {seed}");
        for fatal in &simulation.fatals {
            assert!(fatal.code == exit::DISK && fatal.no_space, "seed {seed}: {fatal}");
        }
        assert_eq!(simulation.unrecorded, 0, "seed {seed}: {:?}", simulation.fatals);
        stops += simulation.fatals.len();
        repeated += usize::from(simulation.fatals.len() > 1);
        let held = held_bytes(&simulation.disk).expect("readable");
        let healed = simulation.fatals.len() >= simulation.heals_after;
        let whole = held == Some(reserve) || (!healed && held.is_some());
        assert!(whole, "seed {seed}: {held:?} held back after {:?}", simulation.fatals);
    }
    assert!(stops >= 10 && repeated > 3, "{stops} stops, {repeated} histories stayed full");
}

/// Fault 12: a bit flip in a block that waits in the outbox stops the process, which names the file;
/// nothing of the unit arrives.
#[test]
fn a_damaged_block_is_never_delivered() {
    for seed in 1..=20 {
        let records = Records::new("in", vec![steady(seed, 150)], seed).endless();
        let target = target(seed);
        let mut simulation = Simulation::new(seed, START_MS);
        let make = |_: &_, _| vec![job("j", &records, &target, 0)];
        let backend = simulation.backend.clone();
        // What is there already is skipped at the next start, and then not read.
        let waiting = || {
            let last = target.delivered("j.out", 0).unwrap_or(0);
            let outbox = Saved::read(&backend).expect("a checkpoint of ours").outbox;
            let mut blocks = outbox.into_values().flatten();
            blocks.find(|((epoch, _), _)| *epoch > last).map(|(_, block)| block)
        };
        assert!(simulation.run_until(100_000, &make, &|| waiting().is_some()), "seed {seed}");
        let (block, before) = (waiting().expect("just found"), target.rows());
        let file = format!("state/outbox/{:020}.log", block.file);
        simulation.disk.flip_bit(&file, block.offset + u64::from(block.length) - 1);
        let fatal = simulation.run_to_stop(&make);
        assert_eq!(fatal.code, exit::DISK, "seed {seed}: {fatal}");
        assert!(fatal.message.contains(&file), "seed {seed}: {fatal}");
        assert_eq!(target.rows(), before, "seed {seed}: nothing of the unit has arrived");
    }
}

/// State that outgrows its limit stops the process with its name, before and after a restart, and the
/// rows that had been delivered stay.
#[test]
fn state_beyond_its_limit_stops_the_process_by_name() {
    let records = Records::new("in", vec![steady(7, 200)], 7).endless();
    let target = target(7);
    let mut simulation = Simulation::new(7, START_MS);
    let make = |_: &_, _| vec![job("j", &records, &target, 0)];
    simulation.settings.state_bytes_max = 300;
    for _ in 0..2 {
        let fatal = simulation.run_to_stop(&make);
        assert_eq!(fatal.code, exit::CONFIGURATION, "{fatal}");
        let named = ["more than state.memory_max", "entries, is that of j."];
        assert!(named.iter().all(|part| fatal.message.contains(part)), "{fatal}");
    }
    // With room it goes on.
    simulation.settings.state_bytes_max = 1 << 20;
    let before = target.rows().len();
    assert!(simulation.run_until(100_000, &make, &|| target.rows().len() > before));
}

/// A target that is gone stops its own group once its quota is full, and neither memory, nor disk, nor
/// other groups. `status` names it. It goes on by itself when the target is back.
#[test]
fn a_target_that_is_gone_stops_its_own_group_only() {
    for seed in 1..=10 {
        let partitions = vec![steady(seed, 1_500)];
        let all = expected(&partitions);
        let records = |salt| Records::new("in", partitions.clone(), seed + salt);
        let (of_gone, of_there) = (records(0), records(1));
        let (gone, there) = (target(seed), target(seed + 1));
        gone.set_gone(true);
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.settings.quota = Quota { units: 3, bytes: u64::MAX };
        simulation.settings.log.file_bytes = 1_000;
        let seen = Rc::new(OnceCell::new());
        let given = seen.clone();
        simulation.act_after(1, move |handle| drop(given.set(handle.clone())));
        let make =
            |_: &_, _| vec![job("gone", &of_gone, &gone, 0), job("there", &of_there, &there, 0)];
        let (disk, found) = (simulation.disk.clone(), Cell::new(None));
        let arrived = simulation.run_until(1_000_000, &make, &|| {
            let status = seen.get().map(Handle::status).unwrap_or_default();
            let group = status.groups.iter().find(|group| &*group.name == "gone");
            let full = group.and_then(|group| group.full_sink.as_ref());
            if let Some(full) = full.filter(|_| found.get().is_none() && sums(&there) == all) {
                let files = disk.list(OUTBOX_DIR).expect("it is there").len();
                let sink = status.sinks.iter().find(|sink| &*sink.job == "gone").expect("it runs");
                let named = sink.fault.as_deref() == Some("the target is gone");
                assert!(named && sink.work == SinkWork::Retrying, "seed {seed}: {sink:?}");
                assert!(sink.waiting_ms > 100, "seed {seed}: {sink:?}");
                found.set(Some((full.units, files)));
                gone.set_gone(false);
            }
            sums(&gone) == all
        });
        assert!(arrived, "seed {seed}: it did not go on");
        let (units, files) =
            found.get().expect("the other job went through, and the quota was full");
        // Closed before the quota was full: what was in flight.
        assert!((4..=4 + 3).contains(&units), "seed {seed}: {units} units");
        assert!(files <= units + 6, "seed {seed}: {files} files for {units} units");
    }
}

/// With no other group there is no commit meanwhile: what is delivered counts nevertheless.
#[test]
fn a_full_outbox_is_left_when_the_target_is_back() {
    for seed in 1..=10 {
        let partitions = vec![steady(seed, 1_500)];
        let records = Records::new("in", partitions.clone(), seed);
        let target = target(seed);
        target.set_gone(true);
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.settings.quota = Quota { units: usize::MAX, bytes: 500 };
        let seen = Rc::new(OnceCell::new());
        let given = seen.clone();
        simulation.act_after(1, move |handle| drop(given.set(handle.clone())));
        let make = |_: &_, _| vec![job("j", &records, &target, 0)];
        let is_full = || {
            let status = seen.get().map(Handle::status).unwrap_or_default();
            status.groups.iter().any(|group| group.full_sink.is_some() && group.epoch_age_ms == 0)
        };
        assert!(simulation.run_until(100_000, &make, &|| {
            if is_full() {
                target.set_gone(false);
            }
            sums(&target) == expected(&partitions)
        }));
    }
}

/// Fault 40: a silent partition is flagged idle after its time-out and no longer holds the watermark;
/// without a time-out it does.
#[test]
fn a_silent_partition_is_left_out_after_its_time_out() {
    for (idle_timeout_ms, fires) in [(10, true), (0, false)] {
        let records = Records::new("in", vec![steady(1, 900), Vec::new()], 1).endless();
        let target = target(1);
        let mut simulation = Simulation::new(1, START_MS);
        let make = |_: &_, _| vec![job("j", &records, &target, idle_timeout_ms)];
        let fired = simulation.run_until(400_000, &make, &|| !target.rows().is_empty());
        assert_eq!(fired, fires, "idle time-out {idle_timeout_ms} ms");
    }
}

/// Fault 59: nearly all records on one key cost one partial row per epoch and worker.
#[test]
fn one_hot_key_is_summed_before_it_travels() {
    let mut hot: Vec<Record> =
        (0..2_000).map(|n| record(START_MS - 5_000 + n / 10, "hot")).collect();
    hot.push(record(START_MS - 4_700, "cold"));
    let partitions = vec![hot];
    let records = Records::new("in", partitions.clone(), 4);
    let target = target(4);
    let mut simulation = Simulation::new(4, START_MS);
    simulation.run(2, &|_, _| vec![job("j", &records, &target, 0)]);
    assert_eq!(sums(&target), expected(&partitions));
}

/// Fault 60: a record a year late is refused, one far in the future is set aside, one some time ahead
/// counts but does not move the watermark: the windows of all others are whole.
#[test]
fn times_far_off_do_not_poison_the_watermark() {
    let year = 365 * 86_400_000;
    let mut records = steady(9, 100);
    let good = vec![records.clone()];
    records.insert(40, record(START_MS - year, "late"));
    records.insert(50, record(START_MS + year, "future"));
    records.insert(60, record(START_MS + 5_000, "ahead"));
    let records = Records::new("in", vec![records], 9);
    let target = target(9);
    let mut simulation = Simulation::new(9, START_MS);
    simulation.run(0, &|_, _| vec![job("j", &records, &target, 0)]);
    let mut expected = expected(&good);
    expected.insert((WINDOWS.start_of(START_MS + 5_000), "ahead".to_owned()), 1);
    assert_eq!(sums(&target), expected);
    let count = |name: &str| {
        let counters = simulation.counters();
        counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
    };
    assert_eq!((count("late"), count("future"), count("future_time")), (1, 1, 1));
}

/// Fault 63: a job cancelled while epochs are being committed ends at a complete epoch, everything up
/// to it is delivered once, and the other group does not notice.
#[test]
fn a_cancelled_job_ends_whole_and_alone() {
    for seed in 1..=20 {
        let partitions = vec![steady(seed, 150)];
        let stays = Records::new("in", partitions.clone(), seed);
        let goes = Records::new("in", partitions.clone(), seed + 1).endless();
        let (kept, cancelled) = (target(seed), target(seed + 1));
        let mut simulation = Simulation::new(seed, START_MS);
        simulation.act_after(200 + seed * 40, |handle| {
            drop(handle.cancel("goes").expect("nothing else asks"));
        });
        simulation.run(0, &|_, _| {
            vec![job("stays", &stays, &kept, 0), job("goes", &goes, &cancelled, 0)]
        });
        let all = expected(&partitions);
        assert_eq!(sums(&kept), all, "seed {seed}");
        for (window, sum) in sums(&cancelled) {
            assert_eq!(Some(&sum), all.get(&window), "seed {seed}: a part of window {window:?}");
        }
        let saved = simulation.saved();
        assert!(saved.outbox.keys().all(|sink| &*sink.job != "goes"), "seed {seed}: undelivered");
    }
}

/// A job that is left out is delivered as far as it was complete, once, while another one runs on;
/// then the outbox holds nothing of it.
#[test]
fn a_job_left_out_is_delivered_as_far_as_it_was_complete() {
    let mut waiting = 0;
    for seed in 1..=20 {
        let partitions = vec![steady(seed, 150)];
        let of_a = Records::new("in", partitions.clone(), seed).endless();
        let of_b = Records::new("in", partitions.clone(), seed + 1).endless();
        let (a, b) = (target(seed), target(seed + 1));
        let mut simulation = Simulation::new(seed, START_MS);
        let make = |_: &_, _| vec![job("a", &of_a, &a, 0), job("b", &of_b, &b, 0)];
        simulation.run_until(300 + seed * 20, &make, &|| false);
        let backend = simulation.backend.clone();
        let undelivered = || {
            let saved = Saved::read(&backend).expect("a checkpoint of ours");
            saved.units.into_keys().filter(|sink| &*sink.job == "b").count()
        };
        waiting += u32::from(undelivered() > 0);
        simulation.options.quarantine = vec!["b.window".to_owned()];
        let delivered = simulation.run_until(100_000, &make, &|| undelivered() == 0);
        assert!(delivered, "seed {seed}: {} units wait", undelivered());
        let all = expected(&partitions);
        for (window, sum) in sums(&b) {
            assert_eq!(Some(&sum), all.get(&window), "seed {seed}: a part of window {window:?}");
        }
    }
    assert!(waiting > 3, "only {waiting} of 20 histories had something undelivered");
}

/// Whoever asks for the end of an epoch waits for a turn: never are more under way than may be. All
/// are answered in the end, in order, those that still wait at a stop by the stop.
#[test]
fn asked_for_closes_wait_their_turn() {
    for seed in 1..=20 {
        let records = |name| Records::new(name, vec![steady(seed, 120)], seed).endless();
        let (one, two) = (records("one"), records("two"));
        let target = target(seed);
        let mut simulation = Simulation::new(seed, START_MS);
        // Of their own accord groups close apart, so there is one then: what is under way is counted
        // by the numbers of epochs.
        let alone = seed % 2 == 0;
        simulation.settings.epoch.interval_ms = alone.then_some(20);
        simulation.settings.epoch.inflight_max = 1 + seed % 3;
        let limit = simulation.settings.epoch.inflight_max;
        let asked: Rc<RefCell<Option<(Handle, Vec<Reply<u64>>)>>> = Rc::default();
        let asking = asked.clone();
        simulation.act_after(200, move |handle| {
            let close = || handle.close(CloseRequest::default()).expect("not busy");
            *asking.borrow_mut() = Some((handle.clone(), (0..30).map(|_| close()).collect()));
        });
        let (epochs, waited) = (RefCell::new(Vec::new()), Cell::new(0));
        let stopped = Cell::new(false);
        let plans = || {
            let mut plans = vec![job("one", &one, &target, 0), job("two", &two, &target, 0)];
            plans.truncate(if alone { 1 } else { 2 });
            plans
        };
        let answered = simulation.run_until(100_000, &|_, _| plans(), &|| {
            let asked = asked.borrow();
            let Some((handle, replies)) = &*asked else { return false };
            for group in handle.status().groups {
                let under_way = group.closed.saturating_sub(group.complete);
                // A stop does not wait: nothing comes after it.
                let allowed = limit + u64::from(stopped.get());
                assert!(under_way <= allowed, "seed {seed}: {under_way} epochs under way");
                waited.set(waited.get() + u64::from(under_way == limit));
            }
            epochs.borrow_mut().extend(replies.iter().filter_map(Reply::take));
            if epochs.borrow().len() >= 25 && !stopped.replace(true) {
                handle.stop().expect("not busy");
            }
            epochs.borrow().len() == 30
        });
        assert!(answered, "seed {seed}: {:?}", epochs.borrow());
        let epochs = epochs.into_inner();
        assert!(epochs.is_sorted(), "seed {seed}: {epochs:?}");
        assert!(waited.get() > 0, "seed {seed}: nobody ever waited");
    }
}
