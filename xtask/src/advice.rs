//! Advice on the tail where mess begins: long files, long functions, files without a header.
//!
//! Counts and the worst ten, for a conversation in review; nothing here can fail a build.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// A file longer than this is worth a remark (style rule 6).
const FILE_LINES: usize = 500;

/// A function longer than this is.
const FUNCTION_LINES: usize = 70;

/// How many of each kind are printed.
const WORST: usize = 10;

/// Something long, and where.
type Finding = (usize, String);

/// What was found.
#[derive(Debug, Default, PartialEq)]
struct Advice {
    files: Vec<Finding>,
    functions: Vec<Finding>,
    without_header: Vec<String>,
}

/// Looks at every Rust file git knows and prints what is worth a remark.
pub(crate) fn print() -> Result<()> {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut advice = Advice::default();
    for file in rust_files(root)? {
        // A file that was deleted and not yet committed is still listed.
        if let Ok(text) = std::fs::read_to_string(root.join(&file)) {
            advice.look(&file, &text);
        }
    }
    advice.show();
    Ok(())
}

impl Advice {
    fn look(&mut self, file: &str, text: &str) {
        let lines = text.lines().count();
        if lines > FILE_LINES {
            self.files.push((lines, file.to_owned()));
        }
        if !text.starts_with("//!") {
            self.without_header.push(file.to_owned());
        }
        for (length, line, name) in functions(text) {
            if length > FUNCTION_LINES {
                self.functions.push((length, format!("{file}:{line} {name}")));
            }
        }
    }

    fn show(&mut self) {
        show(&format!("files over {FILE_LINES} lines"), &mut self.files);
        show(&format!("functions over {FUNCTION_LINES} lines"), &mut self.functions);
        println!("files without `//!` in line 1: {}", self.without_header.len());
        for file in self.without_header.iter().take(WORST) {
            println!("      {file}");
        }
    }
}

fn show(title: &str, findings: &mut [Finding]) {
    findings.sort_by(|a, b| b.cmp(a));
    println!("{title}: {}", findings.len());
    for (length, place) in findings.iter().take(WORST) {
        println!("{length:5} {place}");
    }
}

fn rust_files(root: &Path) -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "*.rs"])
        .current_dir(root)
        .output()
        .context("could not start git")?;
    if !output.status.success() {
        bail!("git ls-files gave {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// Length, first line and name of each function, as rustfmt lays it out: the body ends at the first `}`
/// that stands as deep as the `fn` line. (Text in a raw string can fool it; this is advice.)
fn functions(text: &str) -> Vec<(usize, usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let depth = line.len() - line.trim_start().len();
        let end = lines.iter().skip(at).position(|other| closes(other, depth));
        if let Some(length) = end {
            found.push((length + 1, at + 1, name));
        }
    }
    found
}

/// Ends what began at `depth`: the body, or a declaration without one.
fn closes(line: &str, depth: usize) -> bool {
    let inner = line.trim_start();
    line.len() - inner.len() == depth
        && (inner == "}" || inner.ends_with(';') || inner.ends_with("{}"))
}

/// The name in a line that begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    loop {
        match words.next()? {
            "fn" => return words.next()?.split(['(', '<']).next(),
            "pub" | "const" | "async" | "unsafe" | "extern" | "default" => {}
            word if word.starts_with("pub(") || word.starts_with('"') => {}
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_measured_to_their_own_brace() {
        let text = "impl A {\n    pub(crate) const fn b<T>(\n        c: T,\n    ) {\n        if c {\n            d();\n        }\n    }\n}\nfn e() {}\ntrait F {\n    fn g();\n}\n// fn h() {\n";
        assert_eq!(functions(text), [(7, 2, "b"), (1, 10, "e"), (1, 12, "g")]);
    }

    #[test]
    fn long_ones_are_found() {
        let body = "    a();\n".repeat(FUNCTION_LINES);
        let text = format!("//! x\nfn long() {{\n{body}}}\n");
        let mut advice = Advice::default();
        advice.look("a.rs", &text);
        assert_eq!(advice.functions, [(FUNCTION_LINES + 2, "a.rs:2 long".to_owned())]);
        assert!(advice.files.is_empty() && advice.without_header.is_empty());

        advice.look("b.rs", &"\n".repeat(FILE_LINES + 1));
        assert_eq!(advice.files, [(FILE_LINES + 1, "b.rs".to_owned())]);
        assert_eq!(advice.without_header, ["b.rs"]);
    }
}
