//! Whether docker-compose.yml is sound, as far as can be told without Docker.
//!
//! It is YAML with no member twice, and every service keeps the promises of its header: a pinned image, a
//! health check, ports on loopback, data in named volumes. That the images start is not shown here.

use yaml_rust2::{Yaml, YamlLoader};

/// Everything in the text that breaks a promise.
fn faults(text: &str) -> Vec<String> {
    let documents = match YamlLoader::load_from_str(text) {
        Ok(documents) => documents,
        Err(error) => return vec![format!("not YAML: {error}")],
    };
    let [document] = &documents[..] else {
        return vec![format!("{} documents instead of one", documents.len())];
    };
    let Some(services) = document["services"].as_hash() else {
        return vec!["no services".to_owned()];
    };
    let mut faults = Vec::new();
    for (name, service) in services {
        let name = name.as_str().unwrap_or("?");
        let found = [
            image_fault(&service["image"]),
            health_fault(&service["healthcheck"]),
            port_fault(&service["ports"]),
            volume_fault(&service["volumes"], &document["volumes"]),
        ];
        faults.extend(found.into_iter().flatten().map(|fault| format!("{name}: {fault}")));
    }
    faults
}

/// An image without a tag, or with one that moves.
fn image_fault(image: &Yaml) -> Option<String> {
    let image = image.as_str().unwrap_or_default();
    let tag = image.rsplit_once(':').map(|(_, tag)| tag);
    tag.is_none_or(|tag| tag.is_empty() || tag == "latest")
        .then(|| format!("image {image:?} is not pinned"))
}

fn health_fault(health: &Yaml) -> Option<String> {
    let command = health["test"].as_vec().map(Vec::as_slice).unwrap_or_default();
    let good = command.len() > 1 && command.iter().all(|word| word.as_str().is_some());
    (!good).then(|| "no health check".to_owned())
}

/// A port that others can reach, or that YAML took for something else than text (`22:22` is a number in
/// base 60 to older readers).
fn port_fault(ports: &Yaml) -> Option<String> {
    let ports = ports.as_vec()?;
    ports
        .iter()
        .find(|port| !port.as_str().is_some_and(|port| port.starts_with("127.0.0.1:")))
        .map(|port| format!("port {port:?} is not on loopback"))
}

/// A volume that is a folder of the host or is not declared.
fn volume_fault(volumes: &Yaml, declared: &Yaml) -> Option<String> {
    let names = volumes.as_vec()?.iter().map(|volume| volume.as_str().unwrap_or("?"));
    let names = names.map(|volume| volume.split(':').next().unwrap_or(volume));
    let known = |name: &str| {
        declared.as_hash().is_some_and(|all| all.contains_key(&Yaml::String(name.to_owned())))
    };
    names
        .into_iter()
        .find(|name| !known(name))
        .map(|name| format!("volume {name:?} is not declared"))
}

#[test]
fn docker_compose_is_sound() {
    let text = super::read("docker-compose.yml");
    assert_eq!(faults(&text), Vec::<String>::new());
    let document = YamlLoader::load_from_str(&text).expect("it has just been read").remove(0);
    for service in ["kafka", "mysql", "phoenix", "doris"] {
        assert!(!document["services"][service].is_badvalue(), "no {service}");
    }
}

/// One sound service, in which each case breaks one thing.
const SOUND: &str = "services:
  a:
    image: a/b:1
    ports: [\"127.0.0.1:1:1\"]
    volumes: [\"data:/data\"]
    healthcheck:
      test: [CMD, \"true\"]
volumes:
  data:
";

#[test]
fn planted_faults_are_found() {
    assert_eq!(faults(SOUND), Vec::<String>::new());
    let cases = [
        ("image: a/b:1", "image: a/b", "a: image \"a/b\" is not pinned"),
        ("image: a/b:1", "image: a/b:latest", "a: image \"a/b:latest\" is not pinned"),
        ("127.0.0.1:1:1", "1:1", "a: port String(\"1:1\") is not on loopback"),
        ("data:/data", "./data:/data", "a: volume \"./data\" is not declared"),
        ("test: [CMD, \"true\"]", "interval: 5s", "a: no health check"),
        ("services", "service", "no services"),
    ];
    for (good, bad, expected) in cases {
        assert_eq!(faults(&SOUND.replace(good, bad)), [expected]);
    }
    for broken in ["services: [", "services:\n  a: 1\n  a: 2\n", "a: b: c"] {
        let found = faults(broken);
        assert!(
            found.first().is_some_and(|fault| fault.starts_with("not YAML")),
            "{broken}: {found:?}"
        );
    }
}
