//! Secrets: which settings are, how they come in, and that they never come out.
//!
//! A secret stands in a file only as `${NAME}` and is taken from the environment; a literal one is
//! refused, because files are copied, committed and shown. What it was is never in a message or in
//! a debug text.

use std::collections::BTreeMap;

/// Parts of names whose values are not shown.
const HIDDEN: &[&str] = &["password", "secret", "sasl.jaas", "key"];
/// Parts of names whose values must come from the environment. Shorter than [`HIDDEN`]: the path of
/// a key file is no secret, and neither is the class that serializes keys.
const FROM_ENVIRONMENT: &[&str] =
    &["password", "secret", "sasl.jaas", "keystore.key", "keystore.certificate.chain", "key.pem"];

/// Whether the value of this setting is kept out of every text.
pub(super) fn is_secret(name: &str) -> bool {
    HIDDEN.iter().any(|part| name.to_lowercase().contains(part))
}

/// Whether the value of this setting may not stand in a file.
pub(super) fn must_be_variable(name: &str) -> bool {
    FROM_ENVIRONMENT.iter().any(|part| name.to_lowercase().contains(part))
}

/// Replaces every `${NAME}`. `Err` is the message.
pub(super) fn expand(text: &str, environment: &BTreeMap<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else {
            return Err("\"${\" has no \"}\"".to_owned());
        };
        let value = environment.get(name);
        out.push_str(before);
        out.push_str(value.ok_or_else(|| format!("environment variable {name} is not set"))?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let environment = [("A", "1"), ("B", "${A}")];
        let environment = environment.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let cases = [
            ("plain", Ok("plain")),
            ("${A}", Ok("1")),
            ("x${A}y${A}z", Ok("x1y1z")),
            // A value is not expanded again: it may be any text.
            ("${B}", Ok("${A}")),
            ("$A {B}", Ok("$A {B}")),
            ("${C}", Err("environment variable C is not set")),
            ("${A", Err("\"${\" has no \"}\"")),
        ];
        for (text, expected) in cases {
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(expand(text, &environment), expected, "{text}");
        }
    }

    #[test]
    fn what_is_secret() {
        let cases = [
            ("topics.properties.sasl.jaas.config", true, true),
            ("topics.properties.ssl.truststore.password", true, true),
            ("topics.properties.ssl.key.location", true, false),
            ("topics.properties.client.id", false, false),
        ];
        for (name, secret, variable) in cases {
            assert_eq!((is_secret(name), must_be_variable(name)), (secret, variable), "{name}");
        }
    }
}
