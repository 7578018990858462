# Two commands are all a fresh machine needs (Rust, a C compiler, python3 with pip, make):
#   make run     get the embedding model, build, serve on 127.0.0.1:8000
#   make test    get what the tests need and run all of them
# ARGS are passed on to venom: make run ARGS="--port 9000 --data ~/memories"

PYTHON ?= python3
ARGS ?=

.PHONY: help run build model test lint clean

help:
	@sed -n 's/^#   //p' Makefile

model:
	@$(PYTHON) scripts/get-model.py

build: model
	cargo build --release -p venom

run: model
	cargo run --release -p venom -- serve $(ARGS)

test: model
	cargo test --workspace --all-features
	$(PYTHON) -m unittest discover --start-directory scripts

lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --quiet

clean:
	cargo clean
