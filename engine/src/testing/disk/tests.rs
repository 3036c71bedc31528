//! What the simulated disk loses and keeps, and that it is otherwise like the real one.

use super::*;

/// A small generator, good enough to reach every branch.
fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |below| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 33) % below
    }
}

/// `d/f` with `synced` durable bytes and `rest` more.
fn disk(synced: &[u8], rest: &[u8], named: bool) -> SimDisk {
    let disk = SimDisk::new();
    disk.create_dir("d").unwrap();
    let mut file = disk.append_to("d/f").unwrap();
    file.append(synced).unwrap();
    file.sync().unwrap();
    file.append(rest).unwrap();
    if named {
        disk.sync_dir("d").unwrap();
    }
    disk
}

#[test]
fn a_crash_keeps_what_was_synced_and_any_part_of_the_rest() {
    let (mut lengths, mut torn) = (BTreeSet::new(), 0);
    for seed in 0..500 {
        let disk = disk(b"durable", &[0xaa; 5], true);
        disk.crash(&mut random(seed));
        let bytes = disk.read_at("d/f", 0, 100).unwrap();
        assert!(bytes.starts_with(b"durable"));
        lengths.insert(bytes.len());
        torn += usize::from(bytes[7..].iter().any(|byte| *byte != 0xaa));
    }
    assert_eq!(lengths, (7..=12).collect());
    assert!((100..400).contains(&torn), "{torn}");
}

#[test]
fn names_are_durable_only_after_the_directory_was_synced() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = disk(b"x", b"", false);
        disk.crash(&mut random(seed));
        lost += usize::from(disk.list("d").unwrap().is_empty());
    }
    assert!((20..80).contains(&lost), "{lost}");
}

#[test]
fn a_removed_file_may_come_back_until_the_directory_was_synced() {
    let mut back = 0;
    for seed in 0..100 {
        let disk = disk(b"x", b"", true);
        disk.remove("d/f").unwrap();
        assert_eq!(disk.list("d").unwrap(), []);
        let synced = seed % 2 == 0;
        if synced {
            disk.sync_dir("d").unwrap();
        }
        disk.crash(&mut random(seed));
        let found = !disk.list("d").unwrap().is_empty();
        assert!(!(synced && found));
        back += usize::from(found);
    }
    assert!((10..45).contains(&back), "{back}");
}

#[test]
fn what_is_written_over_may_be_as_it_was_until_it_was_synced() {
    let mut seen = BTreeSet::new();
    for seed in 0..200 {
        let disk = disk(b"before", b"", true);
        let mut file = disk.overwrite("d/f").unwrap();
        file.append(b"AB").unwrap();
        file.sync().unwrap();
        file.append(b"CD").unwrap();
        assert_eq!(disk.read_at("d/f", 0, 9).unwrap(), b"ABCDre");
        disk.crash(&mut random(seed));
        let bytes = disk.read_at("d/f", 0, 9).unwrap();
        assert!(bytes.starts_with(b"AB") && bytes.ends_with(b"re"), "{bytes:?}");
        seen.insert(bytes);
    }
    for whole in [b"ABfore", b"ABCore", b"ABCDre"] {
        assert!(seen.contains(&whole[..]), "{seen:?}");
    }
    assert!(seen.len() > 3, "and torn ones: {seen:?}");
}

#[test]
fn a_renamed_file_may_have_its_old_name_until_the_directory_was_synced() {
    let mut back = 0;
    for seed in 0..100 {
        let disk = disk(b"x", b"", true);
        disk.rename("d/f", "d/g").unwrap();
        let synced = seed % 2 == 0;
        if synced {
            disk.sync_dir("d").unwrap();
        }
        disk.crash(&mut random(seed));
        let found = disk.list("d").unwrap() == [("f".to_owned(), 1)];
        assert!(found || disk.list("d").unwrap() == [("g".to_owned(), 1)]);
        assert!(!(synced && found));
        back += usize::from(found);
    }
    assert!((10..45).contains(&back), "{back}");
}

#[test]
fn faults_begin_when_told_and_stay() {
    let disk = disk(b"", b"", true);
    let mut file = disk.append_to("d/f").unwrap();
    let before = disk.writes();
    disk.fail_after(2, Fault::NoSpace);
    file.append(b"abcd").unwrap();
    file.sync().unwrap();
    for _ in 0..2 {
        assert_eq!(file.sync().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
    disk.fail_after(0, Fault::Io);
    assert_eq!(file.append(b"efgh").unwrap_err().kind(), io::ErrorKind::Other);
    assert_eq!(disk.read_at("d/f", 0, 10).unwrap(), b"abcdef");
    disk.heal();
    file.sync().unwrap();
    assert_eq!(disk.writes() - before, 6);
}

#[test]
fn a_full_disk_takes_what_fits() {
    let disk = disk(b"", b"", true);
    disk.limit_bytes(5);
    let mut file = disk.append_to("d/f").unwrap();
    file.append(b"abc").unwrap();
    assert_eq!(file.append(b"defg").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!((disk.bytes(), file.length()), (5, 3));
    assert_eq!(disk.replace("d/g", b"1").unwrap_err().kind(), io::ErrorKind::StorageFull);
}

#[test]
fn handles_die_with_their_process() {
    let disk = disk(b"", b"", true);
    let mut file = disk.append_to("d/f").unwrap();
    disk.crash(&mut random(1));
    assert!(file.append(b"ghost").is_err());
    assert!(file.sync().is_err());
    assert_eq!(disk.bytes(), 0);
}

#[test]
fn behaves_as_the_real_disk_while_nothing_goes_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let real = crate::checkpoint::disk::real::RealDisk::open(dir.path()).unwrap();
    assert_eq!(trace(&SimDisk::new()), trace(&real));
}

/// What a disk answers to a fixed list of calls.
fn trace(disk: &dyn Disk) -> Vec<String> {
    let mut said = Vec::new();
    let mut say = |answer: io::Result<String>| {
        said.push(answer.unwrap_or_else(|error| format!("{:?}", error.kind())));
    };
    let text = |unit: io::Result<()>| unit.map(|()| "done".to_owned());
    say(disk.append_to("a/b/f").map(|file| file.length().to_string()));
    say(text(disk.create_dir("a/b")));
    say(text(disk.create_dir("a/b")));
    say(disk.append_to("a/b/f").and_then(|mut file| {
        file.append(b"123456")?;
        file.sync()?;
        Ok(file.length().to_string())
    }));
    say(disk.append_to("a/b/f").map(|file| file.length().to_string()));
    say(text(disk.truncate("a/b/f", 4)));
    say(text(disk.truncate("a/b/f", 9)));
    say(text(disk.truncate("a/b/none", 0)));
    say(disk.read_at("a/b/f", 1, 9).map(|bytes| format!("{bytes:?}")));
    say(disk.read_at("a/b/f", 9, 9).map(|bytes| format!("{bytes:?}")));
    say(disk.read_at("a/b/none", 0, 9).map(|bytes| format!("{bytes:?}")));
    say(text(disk.replace("a/b/e", b"xy")));
    say(disk.list("a/b").map(|files| format!("{files:?}")));
    say(disk.list("a").map(|files| format!("{files:?}")));
    say(disk.list("none").map(|files| format!("{files:?}")));
    say(disk.list_dirs("a").map(|dirs| format!("{dirs:?}")));
    say(disk.list_dirs("a/b").map(|dirs| format!("{dirs:?}")));
    say(text(disk.allocate("a/b/r", 100)));
    say(text(disk.allocate("a/b/f", 2)));
    say(disk.list("a/b").map(|files| format!("{files:?}")));
    say(text(disk.rename("a/b/none", "a/b/x")));
    say(disk.overwrite("a/b/none").map(|file| file.length().to_string()));
    say(text(disk.sync_dir("a/b")));
    say(text(disk.rename("a/b/f", "a/b/x")));
    say(disk.overwrite("a/b/x").and_then(|mut file| {
        file.append(b"ab")?;
        file.sync()?;
        Ok(file.length().to_string())
    }));
    say(disk.read_at("a/b/x", 0, 9).map(|bytes| format!("{bytes:?}")));
    say(disk.list("a/b").map(|files| format!("{files:?}")));
    say(text(disk.truncate("a/b/x", 3)));
    say(disk.append_to("a/b/x").and_then(|mut file| {
        file.append(b"z")?;
        Ok(file.length().to_string())
    }));
    say(disk.read_at("a/b/x", 0, 9).map(|bytes| format!("{bytes:?}")));
    say(text(disk.remove("a/b/e")));
    say(text(disk.remove("a/b/e")));
    say(text(disk.sync_dir("a/b")));
    said
}
