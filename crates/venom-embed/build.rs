//! Finds the packed model that is compiled into the program with the feature `bundled-model`.

use std::env;
use std::path::PathBuf;

/// Names the file.
const NAMED: &str = "VENOM_PACKED_MODEL";

fn main() {
    println!("cargo::rerun-if-env-changed={NAMED}");
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_BUNDLED_MODEL").is_none() {
        return;
    }
    // A debug build takes a model only if one is named: the tests, which are run with all features, want
    // the same program whether or not a model was packed on this machine.
    let is_release = env::var_os("PROFILE").is_some_and(|profile| profile == "release");
    let named = env::var_os(NAMED).map(PathBuf::from);
    match named.or_else(|| default_path().filter(|_| is_release)) {
        Some(path) if path.is_file() => {
            println!("cargo::rerun-if-changed={}", path.display());
            println!("cargo::rustc-env=VENOM_BUNDLED_MODEL={}", path.display());
        }
        Some(path) => println!(
            "cargo::error=no model to compile in: {} is not there; run `make packed-model`",
            path.display()
        ),
        None => {
            let out = env::var_os("OUT_DIR").expect("cargo sets it");
            let empty = PathBuf::from(out).join("no-model");
            std::fs::write(&empty, b"").expect("cargo's folder takes files");
            println!("cargo::rustc-env=VENOM_BUNDLED_MODEL={}", empty.display());
        }
    }
}

/// Where `make packed-model` puts it.
fn default_path() -> Option<PathBuf> {
    println!("cargo::rerun-if-env-changed=VENOM_MODEL_DIR");
    let folder = |name: &str| {
        env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let cached = || {
        let cache = folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
        Some(cache?.join("venom/models"))
    };
    let models = folder("VENOM_MODEL_DIR").or_else(cached)?;
    Some(models.join("all-MiniLM-L6-v2/model.packed"))
}
