#!/usr/bin/env bash
# The shared library exports what src/entrol.symbols lists, and nothing else: a new line there is a promise to keep,
# a line less breaks programs. BUILD is the build's folder.
set -eu
cd "$(dirname "$0")/.."
library=${BUILD:-build}/libentrol.so
exported=$(mktemp)
trap 'rm -f "$exported"' EXIT

if ! [ -e "$library" ]; then
    echo "symbols: there is no $library"
    exit 1
fi
# Column 2 is the type: A is the name of the version itself, which is no symbol.
nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | LC_ALL=C sort >"$exported"
if ! LC_ALL=C sort -c src/entrol.symbols || ! diff -u src/entrol.symbols "$exported"; then
    echo "symbols: $library and src/entrol.symbols differ"
    exit 1
fi

# What the headers declare and what is exported are the same, so that no declaration is without its function.
grep -ohE '\bentrol_[a-z0-9_]+\(' include/entrol/*.h | tr -d '(' | LC_ALL=C sort -u >"$exported"
if ! diff -u "$exported" src/entrol.symbols; then
    echo "symbols: include/entrol and src/entrol.symbols differ"
    exit 1
fi
