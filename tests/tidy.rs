//! The layering of the workspace, checked from its manifests, and the soundness of docker-compose.yml.
//!
//! Cargo refuses arrows that make a cycle by itself; the sideways ones (`sql` to `connectors`, `jobs` to
//! `store`) it accepts, and a heavy dependency slips in with one line. So the two tables of style rules
//! 3.1 and 3.5 stand here, and each manifest is held against them. A new arrow or a new owner is a
//! change of these tables, to be made on purpose, with a line in `docs/decisions/`.

#[path = "tidy/compose.rs"]
mod compose;

use std::path::Path;

use toml::{Table, Value};

/// Which of our crates a crate may use (style rule 3.1). The root package is `watershed`.
const ARROWS: &[(&str, &[&str])] = &[
    ("engine", &[]),
    ("connectors", &["engine"]),
    ("sql", &["engine"]),
    ("console", &["engine"]),
    ("store", &["engine", "connectors", "sql"]),
    ("jobs", &["engine", "connectors"]),
    ("xtask", &[]),
    // Benches start a real broker, so they use xtask beside what they measure.
    ("benches", &["engine", "connectors", "jobs", "store", "xtask"]),
    ("watershed", &["engine", "connectors", "sql", "console", "store", "jobs"]),
];

/// Who may link a heavy dependency (style rule 3.5); a name that ends in `*` means all that begin so.
/// Dev-dependencies are free. What is not listed is nobody's.
const OWNERS: &[(&str, &[&str])] = &[
    ("timely*", &["engine"]),
    ("differential-dataflow", &["engine"]),
    ("arrow*", &["engine", "sql", "store", "connectors"]),
    ("fjall", &["engine", "store"]),
    // The bench measures the bare client as the floor of the Kafka job.
    ("rdkafka*", &["connectors", "benches"]),
    ("mysql_async", &["connectors"]),
    ("mysql_common", &["connectors", "store"]),
    ("reqwest", &["connectors"]),
    ("ureq", &["connectors"]),
    ("prost*", &["connectors"]),
    ("serde_json", &["connectors", "sql", "store", "console", "watershed"]),
    ("datafusion*", &["sql", "store"]),
    ("sqlparser", &["sql"]),
    ("axum*", &["store", "console"]),
    ("hyper*", &["store", "console"]),
    ("tokio*", &["connectors", "sql", "store", "console"]),
    ("clap*", &["watershed", "xtask"]),
    ("toml*", &["watershed", "xtask"]),
    ("anyhow", &["watershed", "xtask", "benches"]),
    ("tikv-jemalloc*", &["watershed", "xtask", "benches"]),
    ("ratatui", &["watershed"]),
    ("crossterm", &["watershed"]),
    ("indicatif", &["watershed"]),
];

/// The sections that name dependencies; the flag says whether they end up in the product.
const SECTIONS: &[(&str, bool)] =
    &[("dependencies", true), ("build-dependencies", true), ("dev-dependencies", false)];

/// One line of a manifest that asks for another crate.
struct Dependency<'a> {
    name: &'a str,
    value: &'a Value,
    linked: bool,
}

/// Everything in `manifest` that breaks a rule of the house; empty when it is in order.
fn faults(manifest: &str) -> Vec<String> {
    let manifest: Table = match manifest.parse() {
        Ok(table) => table,
        Err(error) => return vec![format!("not TOML: {error}")],
    };
    let name = at(&manifest, &["package", "name"]).and_then(Value::as_str).unwrap_or_default();
    let mut faults = Vec::new();
    if at(&manifest, &["lints", "workspace"]) != Some(&Value::Boolean(true)) {
        faults.push(format!("{name} does not inherit the lints of the workspace"));
    }
    let Some((_, arrows)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        faults.push(format!("{name:?} has no row in the table of arrows"));
        return faults;
    };
    for dependency in dependencies(&manifest) {
        faults.extend(arrow_fault(name, arrows, &dependency));
        faults.extend(owner_fault(name, &dependency));
        faults.extend(version_fault(name, &dependency));
    }
    faults
}

/// An arrow between our crates that the table does not have. Tests may use themselves with other
/// features, and the chores.
fn arrow_fault(name: &str, arrows: &[&str], dependency: &Dependency<'_>) -> Option<String> {
    let ours = ARROWS.iter().any(|(from, _)| *from == dependency.name);
    let free = !dependency.linked && (dependency.name == name || dependency.name == "xtask");
    (ours && !free && !arrows.contains(&dependency.name))
        .then(|| format!("{name} may not use {}", dependency.name))
}

/// A heavy dependency with an owner that is not this crate.
fn owner_fault(name: &str, dependency: &Dependency<'_>) -> Option<String> {
    let (_, owners) = OWNERS.iter().find(|(pattern, _)| matches(pattern, dependency.name))?;
    (dependency.linked && !owners.contains(&name))
        .then(|| format!("{} belongs to {}, not to {name}", dependency.name, owners.join(", ")))
}

/// A version, or anything else than the workspace's entry: versions are pinned in one place (rule 3.10).
fn version_fault(name: &str, dependency: &Dependency<'_>) -> Option<String> {
    let table = dependency.value.as_table();
    let inherited = table.and_then(|table| table.get("workspace")) == Some(&Value::Boolean(true));
    let own_path = dependency.name == name && table.is_some_and(|table| table.contains_key("path"));
    (!inherited && !own_path)
        .then(|| format!("{name} does not take {} from the workspace", dependency.name))
}

/// All dependencies of a manifest, also those for some platforms only. A renamed one counts by the name
/// of its package.
fn dependencies(manifest: &Table) -> Vec<Dependency<'_>> {
    let platforms = manifest.get("target").and_then(Value::as_table).into_iter();
    let tables = platforms.flat_map(|targets| targets.values()).filter_map(Value::as_table);
    let mut found = Vec::new();
    for table in std::iter::once(manifest).chain(tables) {
        for (section, linked) in SECTIONS {
            for (key, value) in table.get(*section).and_then(Value::as_table).into_iter().flatten()
            {
                let name = value.get("package").and_then(Value::as_str).unwrap_or(key);
                found.push(Dependency { name, value, linked: *linked });
            }
        }
    }
    found
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

fn at<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    rest.iter().try_fold(table.get(*first)?, |value, key| value.get(key))
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The folders of the workspace's members, from the root manifest.
fn members() -> Vec<String> {
    let root: Table = read("Cargo.toml").parse().expect("cargo has read it before us");
    let members = at(&root, &["workspace", "members"]).and_then(Value::as_array);
    let names = members.expect("the root is a workspace").iter().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

#[test]
fn manifests_keep_the_layers() {
    let members = members();
    assert!(members.len() > 5 && members.contains(&".".to_owned()), "{members:?}");
    let faults: Vec<String> =
        members.iter().flat_map(|folder| faults(&read(&format!("{folder}/Cargo.toml")))).collect();
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// Rule 2.2: a member is named as its folder, so the table of arrows reads like the top of the repository.
#[test]
fn members_are_named_as_their_folders() {
    for folder in members().iter().filter(|folder| *folder != ".") {
        let manifest: Table =
            read(&format!("{folder}/Cargo.toml")).parse().expect("cargo has read it");
        let name = at(&manifest, &["package", "name"]).and_then(Value::as_str);
        assert_eq!(name, Some(folder.as_str()));
    }
}

/// Rule 2.3: a plain `cargo test` in the root skips what is not a default member. Only the benches may be.
#[test]
fn plain_cargo_test_tests_all() {
    let root: Table = read("Cargo.toml").parse().expect("cargo has read it before us");
    let defaults = at(&root, &["workspace", "default-members"]).and_then(Value::as_array);
    let defaults: Vec<&str> =
        defaults.expect("the root names them").iter().filter_map(Value::as_str).collect();
    for member in members().iter().filter(|member| *member != "benches") {
        assert!(defaults.contains(&member.as_str()), "{member} is not a default member");
    }
}

/// A manifest of `name` with the lints and these further lines.
fn manifest(name: &str, lines: &str) -> String {
    format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{lines}\n")
}

/// Planted faults: each must be found, and nothing else.
#[test]
fn planted_faults_are_found() {
    let cases = [
        ("sql", "[dependencies]\nconnectors.workspace = true", "sql may not use connectors"),
        ("jobs", "[dependencies]\nstore.workspace = true", "jobs may not use store"),
        (
            "connectors",
            "[dev-dependencies]\nstore.workspace = true",
            "connectors may not use store",
        ),
        ("engine", "[build-dependencies]\nxtask.workspace = true", "engine may not use xtask"),
        (
            "engine",
            "[target.'cfg(unix)'.dependencies]\nconnectors.workspace = true",
            "engine may not use connectors",
        ),
        (
            "jobs",
            "[dependencies]\nserde_json.workspace = true",
            "serde_json belongs to connectors, sql, store, console, watershed, not to jobs",
        ),
        (
            "engine",
            "[dependencies]\ntokio-util.workspace = true",
            "tokio-util belongs to connectors, sql, store, console, not to engine",
        ),
        (
            "jobs",
            "[dependencies]\nkafka = { workspace = true, package = \"rdkafka\" }",
            "rdkafka belongs to connectors, benches, not to jobs",
        ),
        (
            "engine",
            "[dependencies]\ncrc32c = \"0.6\"",
            "engine does not take crc32c from the workspace",
        ),
        (
            "store",
            "[dependencies]\nengine = { path = \"../engine\" }",
            "store does not take engine from the workspace",
        ),
        ("common", "", "\"common\" has no row in the table of arrows"),
    ];
    for (name, lines, expected) in cases {
        assert_eq!(faults(&manifest(name, lines)), [expected], "{lines}");
    }
    let lines = "[package]\nname = \"engine\"\n[lints.rust]\nunsafe_code = \"allow\"";
    assert_eq!(faults(lines), ["engine does not inherit the lints of the workspace"]);
}

#[test]
fn what_is_allowed_is_not_a_fault() {
    let cases = [
        ("engine", "[dev-dependencies]\nengine = { path = \".\", features = [\"testing\"] }"),
        ("jobs", "[dev-dependencies]\nserde_json.workspace = true"),
        ("watershed", "[dev-dependencies]\nxtask.workspace = true"),
        ("store", "[dependencies]\nconnectors.workspace = true\ndatafusion.workspace = true"),
        ("engine", "[dependencies]\ntimely = { workspace = true, features = [\"a\"] }"),
    ];
    for (name, lines) in cases {
        assert_eq!(faults(&manifest(name, lines)), Vec::<String>::new(), "{lines}");
    }
}
