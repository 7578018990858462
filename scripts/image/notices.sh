#!/bin/sh
# Prints the licence texts of everything that is linked into the binary, each text once, with the names
# of the crates it came with. Reads the sources that cargo has fetched; the output depends on nothing
# but Cargo.lock and the C library of the build image.
set -eu
sources="$(echo "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*)"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cargo tree --locked --package venom --edges normal,no-proc-macro --prefix none --format '{p}|{l}' |
    sed 's/ (\*)//' | grep -v "($PWD" | sort -u >"$work/crates"
while IFS='|' read -r package licence; do
    name="${package% v*}" version="${package##* v}"
    echo "$name $version, $licence" >>"$work/list"
    for file in "$sources/$name-$version"/[Ll][Ii][Cc][Ee][Nn][CcSs][Ee]* "$sources/$name-$version"/COPYING* \
        "$sources/$name-$version"/NOTICE* "$sources/$name-$version"/UNLICENSE*; do
        [ -f "$file" ] || continue
        text="$(sha256sum <"$file" | cut -c 1-64)"
        cp "$file" "$work/text-$text"
        echo "$name $version" >>"$work/users-$text"
    done
done <"$work/crates"
cat <<'HEAD'
Venom is built from the Rust crates below, the Rust standard library (MIT or Apache-2.0), SQLite
(public domain) and the GNU C library (LGPL-2.1-or-later, linked statically; the Dockerfile in the
source of this image builds it anew with another one). After the list come their licence texts, each
once, with the crates it came with.

HEAD
cat "$work/list"
for users in "$work"/users-*; do
    printf '\n%s\n\n' "--------------------------------------------------------------------------------"
    sort -u "$users"
    echo
    cat "$work/text-${users##*/users-}"
done
for text in /usr/share/common-licenses/LGPL-2.1; do
    printf '\n%s\n\nGNU C library\n\n' "--------------------------------------------------------------------------------"
    cat "$text"
done
