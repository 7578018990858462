#!/bin/sh
# Packs the model into one file, by a program for this machine whatever processor the image is for.
# Expects the model in models/; writes model.packed.
set -eu
host="$(rustc -vV | sed -n 's/^host: //p')"
cargo run --release --locked --target "$host" --package venom-embed --bin pack-model -- \
    models/all-MiniLM-L6-v2 model.packed
