//! The rules of the workspace that no compiler checks.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What cargo says, with these words behind.
fn cargo(words: &[&str]) -> Vec<u8> {
    let mut cargo = Command::new(env!("CARGO"));
    let cargo = cargo.args(words).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = cargo.output().unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{cargo:?}: {log}");
    output.stdout
}

fn metadata(words: &[&str]) -> Value {
    let asked = ["metadata", "--format-version=1", "--offline", "--locked"];
    serde_json::from_slice(&cargo(&[&asked, words].concat())).unwrap()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

/// Our crates and what each depends on outside of tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = metadata(&["--no-deps"]);
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
    assert_eq!(ours("venom-access"), ["venom-core"]);
    assert_eq!(ours("venom-embed"), ["venom-core"]);
    assert_eq!(ours("venom-import"), ["venom-core"]);
    assert_eq!(ours("venom-store"), ["venom-core"]);
    assert_eq!(
        ours("venom"),
        [
            "venom-access",
            "venom-core",
            "venom-embed",
            "venom-import",
            "venom-store"
        ]
    );
    assert!(
        found.values().all(|used| !used.contains("venom")),
        "nothing depends on the binary"
    );
}

/// Our crates that are not shipped.
const TOOLS: [&str; 2] = ["venom-testing", "xtask"];

/// What the shipped crates use themselves on this machine, and where its sources lie.
fn direct_dependencies() -> BTreeMap<String, PathBuf> {
    let version = String::from_utf8(cargo(&["-vV"])).unwrap();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let found = metadata(&["--all-features", "--filter-platform", host.unwrap()]);
    let packages = found["packages"].as_array().unwrap().iter();
    let packages: BTreeMap<&str, &Value> = packages
        .map(|it| (it["id"].as_str().unwrap(), it))
        .collect();
    let package = |id: &Value| packages[id.as_str().unwrap()];
    let ours = found["workspace_members"].as_array().unwrap();
    let is_shipped =
        |id: &Value| ours.contains(id) && !TOOLS.contains(&package(id)["name"].as_str().unwrap());
    let nodes = found["resolve"]["nodes"].as_array().unwrap().iter();
    let edges = nodes
        .filter(|node| is_shipped(&node["id"]))
        .flat_map(|node| node["deps"].as_array().unwrap());
    edges
        .filter(|edge| !ours.contains(&edge["pkg"]))
        .filter(|edge| {
            let mut kinds = edge["dep_kinds"].as_array().unwrap().iter();
            kinds.any(|it| it["kind"].is_null())
        })
        .map(|edge| {
            let package = package(&edge["pkg"]);
            let mut targets = package["targets"].as_array().unwrap().iter();
            let library = targets.find(|it| {
                let kinds = it["kind"].as_array().unwrap();
                kinds
                    .iter()
                    .any(|kind| kind == "lib" || kind == "proc-macro")
            });
            let root = PathBuf::from(text(&library.unwrap()["src_path"]));
            (text(&package["name"]), root.parent().unwrap().to_owned())
        })
        .collect()
}

/// Whether a line of Rust begins something that the compiler takes on trust.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let behind = &code[at + word.len()..];
        // An attribute has its bracket right behind; with a space it is prose.
        let is_attribute = behind.starts_with('(');
        let behind = behind.trim_start();
        let begins = ["{", "fn ", "impl", "trait ", "extern "];
        before.is_none_or(|c| !c.is_alphanumeric() && c != '_')
            && (is_attribute
                || behind.is_empty()
                || begins.iter().any(|next| behind.starts_with(next)))
    })
}

fn has_unsafe_code(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return has_unsafe_code(&path);
        }
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        is_rust
            && String::from_utf8_lossy(&std::fs::read(path).unwrap())
                .lines()
                .any(is_unsafe)
    })
}

#[test]
fn unsafe_code_is_seen() {
    for line in [
        "unsafe { read(at) }",
        "    let x = unsafe{ y };",
        "pub unsafe fn get(&self)",
        "unsafe impl Send for X {}",
        "pub(crate) unsafe",
        "#[unsafe(no_mangle)]",
    ] {
        assert!(is_unsafe(line), "{line}");
    }
    for line in [
        "#![forbid(unsafe_code)]",
        "// unsafe { }",
        "let x = 1; // SAFETY: not unsafe {}",
        "fn not_unsafe(x: u8) {",
        "the unsafe way",
    ] {
        assert!(!is_unsafe(line), "{line}");
    }
}

/// Crates with unsafe code are chosen knowingly: each has a line with its reason.
#[test]
fn unsafe_code_is_listed() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dependencies.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.filter_map(|row| row.strip_suffix(" |")?.split_once(" | "));
    let listed: BTreeMap<&str, &str> = rows.skip(1).collect();
    assert!(
        listed.values().all(|reason| reason.len() > 20),
        "{listed:?}"
    );

    let used = direct_dependencies();
    for (name, sources) in &used {
        assert_eq!(
            has_unsafe_code(sources),
            listed.contains_key(name.as_str()),
            "{name} in {}: docs/dependencies.md lists the crates that have unsafe code, and no others",
            sources.display()
        );
    }
    // Some may be for other platforms.
    let named: BTreeSet<String> = dependencies().into_values().flatten().collect();
    let gone: Vec<_> = listed
        .keys()
        .filter(|name| !named.contains(**name))
        .collect();
    assert!(
        gone.is_empty(),
        "{gone:?} are listed in docs/dependencies.md and not used"
    );
}
