#!/bin/sh
# Builds what Venom depends on from the manifests alone, with nothing of our own in it: a layer of the
# image that only a change of the manifests makes anew.
set -eu
for manifest in crates/*/Cargo.toml xtask/Cargo.toml; do
    mkdir -p "${manifest%/Cargo.toml}/src"
    : >"${manifest%/Cargo.toml}/src/lib.rs"
done
for program in crates/venom xtask; do
    rm "$program/src/lib.rs"
    echo 'fn main() {}' >"$program/src/main.rs"
done
cargo build --release --locked --package venom
