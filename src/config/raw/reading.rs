//! From the entries of a file and of the environment to the settings they name.
//!
//! What names no setting is a fault with the nearest one that exists; the environment goes before the
//! file.

use std::collections::BTreeMap;

use super::{Given, Raw, RawJob, SECTIONS, Section, SectionValues};
use crate::config::document::{Document, Entry, Value, read};
use crate::config::fault::{ConfigFault, Place};
use crate::config::later::LATER_KEYS;
use crate::config::nearest::{hint, nearest};

impl Raw {
    /// Reads `text`, which messages call `file`, and lets `environment` override it.
    pub(in crate::config) fn read(
        file: &str,
        text: &str,
        environment: &BTreeMap<String, String>,
    ) -> (Self, Vec<ConfigFault>) {
        let known: Vec<&str> = SECTIONS.iter().map(|section| section.path).collect();
        let Document { entries, jobs, sections, mut faults } = read(file, text, &known);
        let mut raw = Self { sections, ..Self::default() };
        for entry in entries {
            let place = entry.place.clone();
            let outcome = raw.section(&entry.section).map(|values| put(values, entry));
            if let Some(Err(message)) = outcome {
                faults.push(ConfigFault { place, message });
            }
        }
        for (place, entries) in jobs {
            let mut job = RawJob::default();
            for entry in entries {
                let place = entry.place.clone();
                if let Err(message) = put(&mut job, entry) {
                    faults.push(ConfigFault { place, message });
                }
            }
            raw.jobs.push((place, job));
        }
        raw.override_by(environment, &mut faults);
        (raw, faults)
    }

    fn section(&mut self, path: &str) -> Option<&mut dyn SectionValues> {
        Some(match path {
            "watershed" => &mut self.watershed,
            "engine" => &mut self.engine,
            "switch" => &mut self.switch,
            "source.ods_log" => &mut self.ods_log,
            "source.ods_db" => &mut self.ods_db,
            "source.table_process" => &mut self.table_process,
            "source.table_process_dwd" => &mut self.table_process_dwd,
            "topics" => &mut self.topics,
            "store.dim" => &mut self.dim,
            "store.dws" => &mut self.dws,
            _ => return None,
        })
    }

    /// Variables named `WATERSHED__<SECTION>__<KEY>`, dots as two underscores, dashes as one.
    fn override_by(
        &mut self,
        environment: &BTreeMap<String, String>,
        faults: &mut Vec<ConfigFault>,
    ) {
        for (name, value) in environment {
            let Some(tail) = name.strip_prefix("WATERSHED__") else { continue };
            let place = Place::Environment(name.clone());
            let Some((section, key)) = setting_of(tail) else {
                let names: Vec<String> = all_settings().map(|(s, k)| variable(s, k)).collect();
                let near = hint(tail, names.iter().map(String::as_str));
                faults.push(ConfigFault { place, message: format!("names no setting{near}") });
                continue;
            };
            let given = Given {
                name: format!("{section}.{key}"),
                value: Value::Text(value.clone()),
                place,
            };
            self.sections.insert(section.to_owned());
            let values = self.section(section).expect("a section that has variables");
            if let Some(property) = key.strip_prefix("properties.") {
                values.properties().insert(property.to_owned(), given);
            } else if let Some(slot) = values.slot(&key) {
                *slot = Some(given);
            }
        }
    }
}

/// Puts a setting into its place, or says why there is none.
fn put(values: &mut dyn SectionValues, entry: Entry) -> Result<(), String> {
    let Entry { section, key, value, place } = entry;
    let given = Given { name: format!("{section}.{key}"), value, place };
    let open = section_of(&section).is_some_and(|section| section.open);
    if let (true, Some(property)) = (open, key.strip_prefix("properties.")) {
        return match values.properties().insert(property.to_owned(), given) {
            None => Ok(()),
            Some(first) => Err(twice(&first)),
        };
    }
    match values.slot(&key) {
        Some(slot @ None) => {
            *slot = Some(given);
            Ok(())
        }
        Some(Some(first)) => Err(twice(first)),
        None => Err(unknown(&section, &key)),
    }
}

/// Only `"a.b"` beside `a.b` comes here; the TOML parser sees the rest.
fn twice(first: &Given) -> String {
    format!("\"{}\" is given twice, first at {}", first.name, first.place)
}

/// Why `key` is not in `section`: it is in another one, comes with a later version, or is a typo.
fn unknown(section: &str, key: &str) -> String {
    if let Some((_, _, what)) =
        LATER_KEYS.iter().find(|(path, name, _)| *path == section && *name == key)
    {
        return format!("\"{key}\" is not available yet: it belongs to {what}");
    }
    let keys = section_of(section).map_or(&[][..], |section| section.keys);
    let elsewhere = || all_settings().find(|(_, name)| *name == key);
    let near = match nearest(key, keys.iter().map(|key| key.name)) {
        Some(near) => format!("; did you mean \"{near}\"?"),
        None => elsewhere()
            .map_or_else(String::new, |(path, _)| format!("; it belongs in section [{path}]")),
    };
    format!("unknown key \"{key}\" in [{section}]{near}")
}

fn section_of(path: &str) -> Option<&'static Section> {
    SECTIONS.iter().find(|section| section.path == path)
}

/// Settings that stand once in a file: all but those of jobs.
fn all_settings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let single = SECTIONS.iter().filter(|section| section.path != "job");
    single.flat_map(|section| section.keys.iter().map(|key| (section.path, key.name)))
}

/// The variable of a setting, without the prefix.
fn variable(section: &str, key: &str) -> String {
    format!("{section}.{key}").replace('.', "__").replace('-', "_").to_uppercase()
}

/// The setting of a variable whose prefix is off.
fn setting_of(tail: &str) -> Option<(&'static str, String)> {
    let known = all_settings().find(|(section, key)| variable(section, key) == tail);
    if let Some((section, key)) = known {
        return Some((section, key.to_owned()));
    }
    let open = SECTIONS.iter().filter(|section| section.open);
    open.filter_map(|section| {
        let name = tail.strip_prefix(&variable(section.path, "properties."))?;
        let name = name.to_lowercase().replace("__", ".");
        (!name.is_empty()).then(|| (section.path, format!("properties.{name}")))
    })
    .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
        let environment =
            environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        Raw::read("f", text, &environment).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unknown_keys_are_refused_with_the_nearest() {
        let cases = [
            (
                "[watershed]\nworker = 2",
                "f:2: unknown key \"worker\" in [watershed]; did you mean \"workers\"?",
            ),
            (
                "[switch]\n\nlog_split.shpe = \"flat\"",
                "f:3: unknown key \"log_split.shpe\" in [switch]; did you mean \"log_split.shape\"?",
            ),
            ("[switch]\ncolour = 1", "f:2: unknown key \"colour\" in [switch]"),
            (
                "[engine]\nuser_jump.within = \"1s\"",
                "f:2: unknown key \"user_jump.within\" in [engine]; it belongs in section [switch]",
            ),
            (
                "[switch]\n\"dwd.ts_type\" = \"string\"",
                "f:2: \"dwd.ts_type\" is not available yet: it belongs to the fact jobs on the \
                 business database",
            ),
            ("[switch]\nproperties.a = \"b\"", "f:2: unknown key \"properties.a\" in [switch]"),
            (
                "[[job]]\nnam = \"log_split\"",
                "f:2: unknown key \"nam\" in [job]; did you mean \"name\"?",
            ),
            (
                "[topics]\nproperties.a = \"x\"\n\"properties.a\" = \"y\"",
                "f:3: \"topics.properties.a\" is given twice, first at f:2",
            ),
            (
                "[switch]\ndws.window = \"x\"\n\"dws.window\" = \"y\"",
                "f:3: \"switch.dws.window\" is given twice, first at f:2",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(faults(text, &[]), [expected], "{text}");
        }
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let text = "[switch]\nuser_jump.within = \"1s\"\n";
        let variables = [
            ("WATERSHED__SWITCH__USER_JUMP__WITHIN", "7s"),
            ("WATERSHED__SOURCE__ODS_LOG__SCAN__STARTUP__TIMESTAMP_MILLIS", "12"),
            ("WATERSHED__TOPICS__PROPERTIES__BOOTSTRAP__SERVERS", "b:1"),
            ("OTHER", "x"),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let (raw, faults) = Raw::read("f", text, &environment);
        assert_eq!(faults, []);
        let text = |given: &Option<Given>| given.as_ref().map(|given| given.value.clone());
        assert_eq!(text(&raw.switch.user_jump_within), Some(Value::Text("7s".into())));
        let millis = text(&raw.ods_log.scan_startup_timestamp_millis);
        assert_eq!(millis, Some(Value::Text("12".into())));
        assert!(raw.topics.properties.contains_key("bootstrap.servers"));
    }

    #[test]
    fn a_variable_that_names_nothing_is_refused() {
        let found = faults("", &[("WATERSHED__SWITCH__USER_JUMP__WITHN", "7s")]);
        let expected = "environment variable WATERSHED__SWITCH__USER_JUMP__WITHN: names no \
                        setting; did you mean \"SWITCH__USER_JUMP__WITHIN\"?";
        assert_eq!(found, [expected]);
    }

    /// Else the macro could list a section that [`Raw::section`] does not know.
    #[test]
    fn every_setting_has_a_place() {
        let mut raw = Raw::default();
        for (section, key) in all_settings() {
            let values = raw.section(section).expect("listed");
            assert!(values.slot(key).is_some(), "{section} {key}");
            assert_eq!(setting_of(&variable(section, key)), Some((section, key.to_owned())));
        }
        for (section, key, _) in LATER_KEYS {
            assert!(all_settings().all(|known| known != (*section, *key)), "{section} {key}");
        }
    }
}
