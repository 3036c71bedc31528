//! Who is in quarantine, on disk: so that a supervisor that was killed with its machine does not let the
//! job fail three times more under the next one.
//!
//! `<data>/state/quarantine` has a line for each operator, as `job.uid`. A stop that was asked for, and
//! an end of all input, removes it: starting again is how somebody says that the job is to be tried.

use std::fs;
use std::io;
use std::path::Path;

/// Operators that were in quarantine when the last supervisor died.
pub(super) fn remembered(path: &Path) -> Vec<String> {
    // A file that cannot be read costs three failures, no more.
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

/// Remembers these operators.
pub(super) fn remember(path: &Path, operators: &[String]) -> io::Result<()> {
    let mut temporary = path.to_owned();
    temporary.set_extension("tmp");
    let lines: String = operators.iter().map(|operator| format!("{operator}\n")).collect();
    fs::write(&temporary, lines)?;
    fs::rename(&temporary, path)
}

/// Forgets them.
pub(super) fn forget(path: &Path) {
    // It is not there unless there was trouble.
    let _absent = fs::remove_file(path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_there_until_it_is_forgotten() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("quarantine");
        assert_eq!(remembered(&path), [""; 0]);
        for operators in [vec!["a.x".to_owned()], vec!["a.x".to_owned(), "b.y".to_owned()]] {
            remember(&path, &operators).expect("written");
            assert_eq!(remembered(&path), operators);
        }
        forget(&path);
        forget(&path);
        assert_eq!(remembered(&path), [""; 0]);
        assert!(remember(&dir.path().join("none/q"), &[]).is_err());
    }
}
