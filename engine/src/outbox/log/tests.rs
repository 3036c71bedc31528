//! Tests of the log: a model under crashes, and the refusals one by one.

mod model;

use proptest::prelude::*;

use super::*;
use crate::error::DiskError as _;
use crate::outbox::block::Block;
use crate::testing::disk::{Fault, SimDisk};

const DIR: &str = "outbox";
const FAMILY: u64 = 0xfa;
const SMALL: LogOptions = LogOptions { file_bytes: 400, compress: true, recycle: false };
const RECYCLING: LogOptions = LogOptions { recycle: true, ..SMALL };

fn open(disk: &SimDisk, mark: Option<Mark>) -> Result<BlockLog, LogError> {
    open_with(disk, mark, SMALL)
}

fn open_with(
    disk: &SimDisk,
    mark: Option<Mark>,
    options: LogOptions,
) -> Result<BlockLog, LogError> {
    BlockLog::open(Arc::new(disk.clone()), DIR, FAMILY, options, mark)
}

fn header(log: &BlockLog, rows: u32) -> BlockHeader {
    BlockHeader { rows, epoch: 3, sink: 9, shard: 1, base: log.next_base() }
}

fn close(group: &str, epoch: u64) -> CloseMark {
    CloseMark { group: group.to_owned(), epoch, complete_before: epoch.checked_sub(1) }
}

fn commit(log: &mut BlockLog) -> Mark {
    log.sync().unwrap();
    log.mark()
}

fn read_all(disk: &SimDisk, mark: Mark, from: u64) -> Result<Vec<Block>, LogError> {
    let mut reader = LogReader::open(Arc::new(disk.clone()), DIR, mark, from);
    std::iter::from_fn(|| reader.read().transpose()).collect()
}

/// Appends `count` blocks of `rows` rows with `bytes` bytes each.
fn fill(log: &mut BlockLog, count: u8, rows: u32, bytes: usize) -> Vec<BlockRef> {
    // Without repetition inside a block, so that nothing is saved by compressing.
    let body =
        |n: u8| (0..bytes).map(|at| n ^ u8::try_from(at * 37 % 251).unwrap()).collect::<Vec<u8>>();
    (0..count).map(|n| log.append(header(log, rows), &body(n)).unwrap()).collect()
}

fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 33) % below
    }
}

#[test]
fn golden_file() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    log.append(header(&log, 2), b"ab").unwrap();
    log.append_close(close("g", 1)).unwrap();
    let bytes = disk.read_at("outbox/00000000000000000000.log", 0, 1000).unwrap();
    // Each part has its own golden bytes; this one fixes their order and place.
    let base = |base| BlockHeader { rows: 2, epoch: 3, sink: 9, shard: 1, base };
    let mut golden = file::encode_header(FAMILY, 0);
    golden.extend(Frame::rows(base(0), b"ab", true).bytes());
    golden.extend(Frame::close(&close("g", 1), 2, false).bytes());
    assert_eq!(bytes, golden);
}

#[test]
fn a_mark_covers_only_what_was_synced() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    assert_eq!(log.mark(), Mark::default());
    fill(&mut log, 1, 2, 10);
    assert_eq!(log.mark(), Mark::default());
    let writes = disk.writes();
    let mark = commit(&mut log);
    assert_eq!(mark, Mark { file: 0, length: log.bytes(), next_base: 2 });
    // The file and its name.
    assert_eq!(disk.writes() - writes, 2);
    log.sync().unwrap();
    assert_eq!(disk.writes() - writes, 2, "nothing to sync, nothing written");
}

#[test]
fn rolls_and_reads_across_files() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    let refs = fill(&mut log, 9, 3, 100);
    let mark = commit(&mut log);
    let files = disk.list(DIR).unwrap();
    assert_eq!(files.len(), 3, "{files:?}");
    assert_eq!(files[1].0, "00000000000000000009.log");
    assert_eq!(log.bytes(), files.iter().map(|(_, bytes)| bytes).sum::<u64>());
    let blocks = read_all(&disk, mark, 0).unwrap();
    assert_eq!(
        blocks.iter().map(|b| b.header.base).collect::<Vec<_>>(),
        [0, 3, 6, 9, 12, 15, 18, 21, 24]
    );
    for (reference, block) in refs.iter().zip(&blocks) {
        assert_eq!(&read_ref(&disk, DIR, reference).unwrap(), block);
    }
    for from in 0..27 {
        let blocks = read_all(&disk, mark, from).unwrap();
        assert_eq!(blocks[0].header.base, from / 3 * 3);
    }
    assert_eq!(read_all(&disk, mark, 27).unwrap(), []);
    let report = verify(&disk, DIR, mark, Holes::Damage).unwrap();
    assert_eq!(report, VerifyReport { files: 3, blocks: 9, rows: 27, bytes: log.bytes() });
}

#[test]
fn a_reader_follows_the_mark_and_sees_nothing_behind_it() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    let mut reader = LogReader::open(Arc::new(disk.clone()), DIR, Mark::default(), 0);
    let mut seen = 0;
    for _ in 0..20 {
        assert_eq!(reader.read().unwrap(), None);
        fill(&mut log, 2, 1, 90);
        log.append_close(close("g", 1)).unwrap();
        reader.advance_to(log.mark());
        assert_eq!(reader.read().unwrap(), None, "appended, but not yet synced");
        reader.advance_to(commit(&mut log));
        fill(&mut log, 1, 1, 90);
        while reader.read().unwrap().is_some() {
            seen += 1;
        }
        let mark = commit(&mut log);
        reader.advance_to(mark);
        assert!(reader.read().unwrap().is_some());
        seen += 1;
    }
    assert_eq!(seen, 60);
}

#[test]
fn a_block_larger_than_the_window_and_the_file() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    let refs = fill(&mut log, 3, 1, 3 << 20);
    fill(&mut log, 3, 1, 30);
    let blocks = read_all(&disk, commit(&mut log), 0).unwrap();
    assert_eq!(
        blocks.iter().map(|b| b.bytes.len()).collect::<Vec<_>>()[2..],
        [3 << 20, 30, 30, 30]
    );
    assert_eq!(read_ref(&disk, DIR, &refs[2]).unwrap(), blocks[2]);
}

#[test]
fn removes_whole_files_that_nobody_needs() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    // Files begin at 0, 9, 18 and 27.
    let refs = fill(&mut log, 10, 3, 100);
    let mark = commit(&mut log);
    let whole = log.bytes();
    assert_eq!(log.remove_unused(&[0, 9, 18].into()).unwrap(), 0, "all are needed, or current");
    // The second goes while the first is needed.
    let freed = log.remove_unused(&[0, 18].into()).unwrap();
    assert!(freed > 300);
    assert_eq!((log.files(), log.bytes()), (3, whole - freed));
    assert!(read_ref(&disk, DIR, &refs[1]).is_ok() && read_ref(&disk, DIR, &refs[7]).is_ok());
    assert_eq!(verify(&disk, DIR, mark, Holes::Removed).unwrap().files, 3);
    assert!(matches!(verify(&disk, DIR, mark, Holes::Damage), Err(LogError::Short { .. })));
    let mut log = open(&disk, Some(mark)).unwrap();
    assert_eq!((log.next_base(), log.files()), (30, 3));
    assert!(log.remove_unused(&BTreeSet::new()).unwrap() > 0);
    assert_eq!((log.first_base(), log.files()), (27, 1), "the current file stays");
    assert_eq!(log.remove_unused(&BTreeSet::new()).unwrap(), 0);
    // A reader that comes too late is given the first block left.
    assert_eq!(read_all(&disk, mark, 0).unwrap()[0].header.base, 27);
    assert_eq!(verify(&disk, DIR, mark, Holes::Removed).unwrap().files, 1);
}

/// Names and lengths in the directory, without what names have in common.
fn listed(disk: &SimDisk) -> Vec<(String, u64)> {
    let files = disk.list(DIR).unwrap().into_iter();
    files.map(|(name, bytes)| (name.trim_start_matches('0').to_owned(), bytes)).collect()
}

#[test]
fn a_file_that_nobody_needs_is_written_over() {
    let disk = SimDisk::new();
    let mut log = open_with(&disk, None, RECYCLING).unwrap();
    // Files begin at 0, 9 and 18; a full one has some 435 bytes.
    fill(&mut log, 9, 3, 100);
    commit(&mut log);
    let full = log.files[&0];
    assert_eq!(log.remove_unused(&BTreeSet::new()).unwrap(), 2 * full);
    let current = (String::from("18.log"), full);
    assert_eq!(listed(&disk), [current.clone(), ("spare".to_owned(), full)], "one is laid by");
    fill(&mut log, 1, 1, 30);
    let refs = fill(&mut log, 1, 1, 30);
    let mark = commit(&mut log);
    assert_eq!(listed(&disk), [current.clone(), ("27.log".to_owned(), full)]);
    assert!(mark.length < full, "old blocks stand behind the new ones");
    assert_eq!(read_all(&disk, mark, 18).unwrap().len(), 5);
    assert_eq!(verify(&disk, DIR, mark, Holes::Damage).unwrap().blocks, 5);
    assert!(read_ref(&disk, DIR, &refs[0]).is_ok());
    // The next file begins where this one ends: it was cut.
    fill(&mut log, 4, 1, 100);
    let mark = commit(&mut log);
    assert_eq!(log.bytes(), listed(&disk).iter().map(|(_, bytes)| bytes).sum::<u64>());
    // What is laid by is nothing to the next process.
    drop(log);
    disk.append_to("outbox/spare").unwrap();
    let log = open_with(&disk, Some(mark), RECYCLING).unwrap();
    assert!(listed(&disk).iter().all(|(name, _)| name != "spare"));
    assert_eq!(log.bytes(), listed(&disk).iter().map(|(_, bytes)| bytes).sum::<u64>());
}

#[test]
fn a_removed_file_is_never_one_a_durable_mark_ends_in() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    fill(&mut log, 5, 1, 100);
    let durable = commit(&mut log);
    // The next file begins exactly at the mark, and is not part of any checkpoint yet.
    fill(&mut log, 1, 1, 300);
    while log.files.keys().next_back() == Some(&durable.file) {
        fill(&mut log, 1, 1, 300);
    }
    log.remove_unused(&BTreeSet::new()).unwrap();
    drop(log);
    assert_eq!(open(&disk, Some(durable)).unwrap().next_base(), durable.next_base);
}

#[test]
fn close_marks_survive_the_files_they_were_written_to() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    log.append_close(close("quiet", 1)).unwrap();
    for epoch in 1..30 {
        fill(&mut log, 1, 1, 100);
        log.append_close(close("busy", epoch)).unwrap();
    }
    let mark = commit(&mut log);
    log.remove_unused(&BTreeSet::new()).unwrap();
    assert!(log.first_base() > 50);
    let expected = BTreeMap::from([
        ("busy".to_owned(), close("busy", 29)),
        ("quiet".to_owned(), close("quiet", 1)),
    ]);
    assert_eq!(last_close_marks(&disk, DIR).unwrap(), expected);
    // The knowledge also survives a restart and further files.
    let mut log = open(&disk, Some(mark)).unwrap();
    fill(&mut log, 9, 1, 100);
    commit(&mut log);
    log.remove_unused(&BTreeSet::new()).unwrap();
    assert_eq!(last_close_marks(&disk, DIR).unwrap(), expected);
    assert_eq!(last_close_marks(&SimDisk::new(), DIR).unwrap(), BTreeMap::new());
}

#[test]
fn only_close_marks_fill_files_too() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    for epoch in 0..200 {
        log.append_close(close("g", epoch)).unwrap();
    }
    let mark = commit(&mut log);
    assert!(disk.list(DIR).unwrap().len() > 10);
    assert_eq!(mark.next_base, 200);
    assert_eq!(read_all(&disk, mark, 0).unwrap(), []);
    assert_eq!(verify(&disk, DIR, mark, Holes::Damage).unwrap().rows, 0);
}

#[test]
fn a_torn_beginning_of_the_last_file_leaves_the_close_marks_of_the_one_before() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    for group in ["a", "b"] {
        log.append_close(close(group, 5)).unwrap();
    }
    fill(&mut log, 3, 1, 100);
    let mark = commit(&mut log);
    fill(&mut log, 1, 1, 100);
    assert_eq!(disk.list(DIR).unwrap().len(), 2, "the last block is in a file of its own");
    let path = file::path(DIR, mark.next_base);
    let whole = disk.list(DIR).unwrap().last().unwrap().1;
    for length in (0..whole).rev() {
        disk.truncate(&path, length).unwrap();
        let marks = last_close_marks(&disk, DIR).unwrap();
        assert_eq!(marks.keys().collect::<Vec<_>>(), ["a", "b"], "{length} bytes");
    }
    assert_eq!(open(&disk, Some(mark)).unwrap().next_base(), mark.next_base);
}

#[test]
fn refusals_name_what_is_wrong() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    let refs = fill(&mut log, 9, 3, 100);
    let mark = commit(&mut log);
    let refused = |mark: Mark| open(&disk, Some(mark)).err().unwrap().to_string();

    let foreign = BlockLog::open(Arc::new(disk.clone()), DIR, 7, SMALL, None).err().unwrap();
    assert_eq!(
        foreign.to_string(),
        "cannot use \"outbox/00000000000000000000.log\": it belongs to state family \
         00000000000000fa, not to 0000000000000007; state and logs of different data directories \
         were mixed"
    );
    let long = mark.length + 1;
    assert_eq!(
        refused(Mark { length: long, ..mark }),
        format!(
            "cannot use \"outbox/00000000000000000018.log\": {long} bytes are needed, {} are there",
            mark.length
        )
    );
    assert_eq!(
        refused(Mark { file: 99, ..mark }),
        format!(
            "cannot use \"outbox/00000000000000000099.log\": {} bytes are needed, 0 are there",
            mark.length
        )
    );
    assert_eq!(disk.list(DIR).unwrap().len(), 3, "nothing was cut before the refusal");

    let wrong = BlockRef { crc: 1, ..refs[0] };
    let error = read_ref(&disk, DIR, &wrong).unwrap_err().to_string();
    assert!(error.ends_with("at byte 26: block is not the one referred to"), "{error}");
    let gone = BlockRef { file: 77, ..refs[0] };
    assert!(matches!(read_ref(&disk, DIR, &gone), Err(LogError::Short { found: 0, .. })));
    let far = BlockRef { offset: 1 << 40, ..refs[0] };
    assert!(matches!(read_ref(&disk, DIR, &far), Err(LogError::Short { .. })));
    let empty = BlockRef { length: 0, ..refs[0] };
    assert!(matches!(read_ref(&disk, DIR, &empty), Err(LogError::Corrupt { .. })));
}

#[test]
fn a_mark_inside_a_block_or_with_a_wrong_number_is_refused() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    fill(&mut log, 2, 1, 100);
    let mark = commit(&mut log);
    let wrong = Mark { next_base: 3, ..mark };
    assert!(matches!(open(&disk, Some(wrong)), Err(LogError::Corrupt { .. })));
    assert!(matches!(verify(&disk, DIR, wrong, Holes::Damage), Err(LogError::Corrupt { .. })));
    let inside = Mark { length: mark.length - 1, ..mark };
    assert!(matches!(open(&disk, Some(inside)), Err(LogError::Corrupt { .. })));
}

#[test]
fn after_an_error_the_log_takes_no_further_call() {
    for (after, fault) in (0..8).flat_map(|n| [(n, Fault::Io), (n, Fault::NoSpace)]) {
        let disk = SimDisk::new();
        let mut log = open(&disk, None).unwrap();
        fill(&mut log, 2, 1, 100);
        let mark = commit(&mut log);
        disk.fail_after(after, fault);
        let error = loop {
            let wrote = log.append(header(&log, 1), &[1; 90]).and_then(|_| log.sync());
            if let Err(error) = wrote {
                break error;
            }
        };
        assert_eq!(error.is_no_space(), fault == Fault::NoSpace);
        disk.heal();
        assert!(matches!(log.sync(), Err(LogError::Failed { .. })));
        assert!(matches!(log.append_close(close("g", 1)), Err(LogError::Failed { .. })));
        assert!(matches!(log.remove_unused(&BTreeSet::new()), Err(LogError::Failed { .. })));
        disk.crash(&mut random(after));
        assert_eq!(open(&disk, Some(mark)).unwrap().next_base(), 2);
    }
}

#[test]
fn surplus_goes_as_far_as_nobody_reads_it() {
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    // Files begin at 0, 9, 18 and 27; each but the last has some 435 bytes.
    fill(&mut log, 10, 3, 100);
    let mark = commit(&mut log);
    let bytes = log.bytes();
    assert_eq!(log.remove_surplus(0, 8).unwrap(), 0, "8 is still read, in the first file");
    assert_eq!(log.remove_surplus(bytes, u64::MAX).unwrap(), 0, "it is as large as it may be");
    let freed = log.remove_surplus(bytes - 10, u64::MAX).unwrap();
    assert_eq!(freed, 0, "without the first file it would be smaller than it may be");
    assert!(log.remove_surplus(0, 9).unwrap() > 400);
    assert_eq!(log.first_base(), 9);
    log.remove_surplus(0, u64::MAX).unwrap();
    assert_eq!(log.first_base(), 27, "the last file stays");
    assert_eq!(read_all(&disk, mark, 0).unwrap()[0].header.base, 27);
    assert_eq!(open(&disk, Some(mark)).unwrap().first_base(), 27);
}

#[test]
fn a_reader_goes_on_where_its_file_was_removed() {
    for (reads, then) in [(0, 9), (1, 9), (3, 9), (4, 12)] {
        let disk = SimDisk::new();
        let mut log = open(&disk, None).unwrap();
        fill(&mut log, 7, 3, 100);
        let mark = commit(&mut log);
        let mut reader = LogReader::open(Arc::new(disk.clone()), DIR, mark, 0);
        for _ in 0..reads {
            reader.read().unwrap().expect("there are seven");
        }
        log.remove_surplus(0, 9).unwrap();
        // What it has in its window may still be given.
        let next = reader.read().unwrap().expect("there are more").header.base;
        assert!(next == then || next == reads * 3, "after {reads}: {next}");
        let rest = std::iter::from_fn(|| reader.read().unwrap()).map(|block| block.header.base);
        assert_eq!(rest.last(), Some(18), "after {reads}");
    }
    // A hole further on is damage.
    let disk = SimDisk::new();
    let mut log = open(&disk, None).unwrap();
    fill(&mut log, 7, 3, 100);
    let mark = commit(&mut log);
    disk.remove("outbox/00000000000000000009.log").unwrap();
    assert!(matches!(read_all(&disk, mark, 0), Err(LogError::Short { found: 0, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_flipped_bit_below_the_mark_is_found(
        sizes in proptest::collection::vec((0usize..200, any::<bool>()), 1..12),
        at in any::<proptest::sample::Index>(),
    ) {
        let disk = SimDisk::new();
        let mut log = open(&disk, None).unwrap();
        let mut refs = Vec::new();
        for (size, closes) in sizes {
            refs.extend(fill(&mut log, 1, 2, size));
            if closes {
                log.append_close(close("g", 1)).unwrap();
            }
        }
        let mark = commit(&mut log);
        let total = usize::try_from(disk.bytes()).unwrap();
        let mut at = at.index(total) as u64;
        for (name, bytes) in disk.list(DIR).unwrap() {
            if at < bytes {
                disk.flip_bit(&format!("{DIR}/{name}"), at);
                break;
            }
            at -= bytes;
        }
        prop_assert!(verify(&disk, DIR, mark, Holes::Damage).is_err());
        // A reader may pass over a damaged file header only in the sense of stopping there.
        let read = read_all(&disk, mark, 0);
        let by_ref = refs.iter().filter(|r| read_ref(&disk, DIR, r).is_err()).count();
        prop_assert!(by_ref <= 1);
        if by_ref == 1 {
            prop_assert!(read.is_err());
        }
    }
}
