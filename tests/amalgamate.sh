#!/usr/bin/env bash
# The library without its build system: as one file made by scripts/amalgamate, and as all of src/ at once.
# Both must give the example's answers.
set -eu
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cc=${CC:-cc}

expect_answers() {
    "$1" >"$folder/answers"
    grep -q '^row 0: 1.3863 nats, 2.0000 bits$' "$folder/answers" # ln 4
    grep -q '^row 2: 0.6931 nats, 1.0000 bits$' "$folder/answers" # ln 2
    ENTROL_CPU=scalar "$1" | cmp - "$folder/answers"
}

scripts/amalgamate "$folder/one"
"$cc" -c -O2 -ffp-contract=off -Wall -Wextra -Werror -o "$folder/entrol.o" "$folder/one/entrol.c"
mkdir "$folder/include"
ln -s "$folder/one" "$folder/include/entrol" # where the example looks for <entrol/entrol.h>
"$cc" -I"$folder/include" -o "$folder/from-one" examples/entropy.c "$folder/entrol.o" -lm -pthread
expect_answers "$folder/from-one"
"$cc" -O2 -Wall -Wextra -Werror -I"$folder/one" -o "$folder/ppo" examples/ppo.c "$folder/entrol.o" -lm -pthread
"$folder/ppo" steps=2048 | grep -q '"step": 2048'

root=$PWD
mkdir "$folder/objects"
cd "$folder/objects"
# shellcheck disable=SC2046 # a list of files
"$cc" -c -O2 -ffp-contract=off -I"$root/include" -I"$root/src" $(find "$root/src" -name '*.c')
"$cc" -I"$root/include" -o "$folder/from-all" "$root/examples/entropy.c" ./*.o -lm -pthread
expect_answers "$folder/from-all"
