# Venom in a container: one static binary with the model inside, and the personas; nothing else.
#   docker build -t venom .
# Every choice and its reason: docs/container.md.

# Bases are arguments, pinned by tag; docs/container.md says how to pin them by digest.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm

# The model: fetched and checked against its hashes. The same for every processor.
FROM --platform=$BUILDPLATFORM ${PYTHON_IMAGE} AS model-builder
COPY scripts/get-model.py /build/get-model.py
RUN python3 /build/get-model.py --quiet --dest /out/models

# The binary. What it depends on is built before our own code comes in, so that a change of our code
# builds none of it again. Another processor than this one's is reached by cross compiling.
FROM --platform=$BUILDPLATFORM ${RUST_IMAGE} AS builder
ARG TARGETARCH
WORKDIR /build
ENV CARGO_TERM_COLOR=never \
    CARGO_INCREMENTAL=0 \
    RUSTFLAGS="-C target-feature=+crt-static -C strip=symbols --remap-path-prefix=/build=/ --remap-path-prefix=/usr/local/cargo=/cargo"
COPY scripts/image/target.sh scripts/image/seeds.sh ./
RUN sh target.sh && sh seeds.sh
ENV RUSTC_WRAPPER=/build/rustc.sh
COPY scripts/image/dependencies.sh scripts/image/notices.sh Cargo.toml Cargo.lock ./
COPY crates/venom/Cargo.toml crates/venom/
COPY crates/venom-access/Cargo.toml crates/venom-access/
COPY crates/venom-core/Cargo.toml crates/venom-core/
COPY crates/venom-embed/Cargo.toml crates/venom-embed/
COPY crates/venom-fuzz/Cargo.toml crates/venom-fuzz/
COPY crates/venom-import/Cargo.toml crates/venom-import/
COPY crates/venom-store/Cargo.toml crates/venom-store/
COPY crates/venom-testing/Cargo.toml crates/venom-testing/
COPY xtask/Cargo.toml xtask/
RUN sh dependencies.sh && sh notices.sh >THIRD-PARTY.txt
# The model in the form that the binary has inside: a layer that only the encoder's code makes anew.
COPY scripts/image/pack.sh ./
COPY --from=model-builder /out/models models
COPY crates/venom-core/src crates/venom-core/src
COPY crates/venom-embed/build.rs crates/venom-embed/
COPY crates/venom-embed/src crates/venom-embed/src
# Newer than the empty sources that the dependencies were built beside.
RUN touch crates/*/src/lib.rs && sh pack.sh
COPY personalities personalities
COPY crates/venom-import/src crates/venom-import/src
COPY crates/venom-store/src crates/venom-store/src
COPY crates/venom-access/src crates/venom-access/src
COPY crates/venom/src crates/venom/src
RUN touch crates/*/src/lib.rs crates/*/src/main.rs \
    && VENOM_PACKED_MODEL=/build/model.packed \
       cargo build --release --locked --package venom --features bundled-model \
    && mkdir -p /out/licences /out/data /out/backups \
    && cp target/*/release/venom /out/venom \
    && cp THIRD-PARTY.txt /out/licences/

# What runs. No shell, no package manager, no C library but what is in the binary.
FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="Venom" \
      org.opencontainers.image.description="One private, lasting memory and one personality for every AI assistant" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.licenses="(MIT OR Apache-2.0) AND Apache-2.0 AND LGPL-2.1-or-later"
WORKDIR /app
COPY LICENSE-MIT LICENSE-APACHE /app/licences/
COPY --from=builder /out/licences /app/licences
COPY personalities /app/personalities
COPY --from=builder --chown=65532:65532 /out/data /app/data
COPY --from=builder --chown=65532:65532 /out/backups /app/backups
COPY --from=builder /out/venom /app/venom
ENV HOST=0.0.0.0 \
    PORT=8000
USER 65532:65532
EXPOSE 8000
VOLUME ["/app/data"]
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=6s --start-period=5s --retries=3 CMD ["/app/venom", "healthcheck"]
ENTRYPOINT ["/app/venom"]
CMD ["serve"]
