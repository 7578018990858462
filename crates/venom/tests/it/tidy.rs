//! The rules of the workspace that no compiler checks.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Our crates and what each depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut metadata = Command::new(env!("CARGO"));
    metadata.args(["metadata", "--format-version=1", "--no-deps", "--offline"]);
    let output = metadata
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            let listed = package["dependencies"].as_array().unwrap().iter();
            let used = listed.filter(|dependency| dependency["kind"] != "dev");
            (
                text(&package["name"]),
                used.map(|it| text(&it["name"])).collect(),
            )
        })
        .collect()
}

/// No runtime, web, database or JSON crate: everything in this list is plain computation.
#[test]
fn the_core_is_pure() {
    let plain = [
        "jiff",
        "snowball_stemmers_rs",
        "thiserror",
        "unicode-normalization",
    ]
    .map(str::to_owned);
    let found = &dependencies()["venom-core"];
    let extra: Vec<_> = found.difference(&BTreeSet::from(plain)).cloned().collect();
    assert!(
        extra.is_empty(),
        "venom-core depends on {extra:?}: keep it free of I/O"
    );
}

#[test]
fn layers_point_one_way() {
    let found = dependencies();
    let ours = |name: &str| -> Vec<&str> {
        let all = found[name].iter().map(String::as_str);
        all.filter(|name| found.contains_key(*name)).collect()
    };
    assert_eq!(ours("venom-core"), [""; 0]);
    assert_eq!(ours("venom-embed"), ["venom-core"]);
    assert_eq!(ours("venom-store"), ["venom-core"]);
    assert_eq!(ours("venom-access"), ["venom-core"]);
    assert_eq!(
        ours("venom"),
        ["venom-access", "venom-core", "venom-embed", "venom-store"]
    );
    assert!(
        found.values().all(|used| !used.contains("venom")),
        "nothing depends on the binary"
    );
}
