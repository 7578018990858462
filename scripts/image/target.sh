#!/bin/sh
# Prepares cargo for the processor that the image is for, which need not be the one that builds it.
# Expects TARGETARCH (amd64 or arm64, as container engines name them); without it, this machine's.
set -eu
version="$(rustc -vV)"
host="$(echo "$version" | sed -n 's/^host: //p')"
case "${TARGETARCH:-}" in
    "") target="$host" ;;
    amd64) target=x86_64-unknown-linux-gnu gcc=x86_64-linux-gnu-gcc package=gcc-x86-64-linux-gnu ;;
    arm64) target=aarch64-unknown-linux-gnu gcc=aarch64-linux-gnu-gcc package=gcc-aarch64-linux-gnu ;;
    *) echo "target.sh: TARGETARCH is \"$TARGETARCH\": expected amd64 or arm64" >&2 && exit 2 ;;
esac
mkdir -p .cargo
printf '[build]\ntarget = "%s"\n' "$target" >.cargo/config.toml
if [ "$target" != "$host" ]; then
    printf '[target.%s]\nlinker = "%s"\n' "$target" "$gcc" >>.cargo/config.toml
    command -v "$gcc" >/dev/null || {
        apt-get update -q
        case "$TARGETARCH" in
            amd64) libraries=libc6-dev-amd64-cross ;;
            arm64) libraries=libc6-dev-arm64-cross ;;
        esac
        apt-get install -y -q --no-install-recommends "$package" "$libraries"
    }
    if command -v rustup >/dev/null; then rustup target add "$target"; fi
fi
