#!/usr/bin/env bash
# Every public header compiles alone, as C11 and as C++17, without a warning; and a C++ program links.
set -eu
cd "$(dirname "$0")/.."
cc=${CC:-cc}
cxx=${CXX:-c++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
flags=(-Wall -Wextra -Wpedantic -Wshadow -Wundef -Werror -Iinclude -Iadapters/llama -Iadapters/blas)

# mpi.h is the system's: its own warnings are not ours, nor are MPI's old C++ classes.
for word in -DOMPI_SKIP_MPICXX $(command -v mpicc >/dev/null && mpicc -show -c none.c); do
    case $word in -I*) flags+=(-isystem "${word#-I}") ;; -D*) flags+=("$word") ;; esac
done

headers=(include/entrol/*.h adapters/*/entrol_*.h)
for header in "${headers[@]}"; do
    name=${header#include/}
    # Twice: a header guards itself.
    printf '#include "%s"\n#include "%s"\n' "$name" "$name" >"$folder/alone.c"
    cp "$folder/alone.c" "$folder/alone.cpp"
    "$cc" -std=c11 "${flags[@]}" -Wstrict-prototypes -I. -fsyntax-only "$folder/alone.c"
    "$cxx" -std=c++17 "${flags[@]}" -I. -fsyntax-only "$folder/alone.cpp"
done

library=${BUILD:-build}/libentrol.so
if ! [ -e "$library" ]; then
    echo "headers: there is no $library"
    exit 1
fi
cat >"$folder/program.cpp" <<'END'
#include <entrol/entrol.h>
#include <cmath>
#include <cstdio>

int main() {
    entrol_context_options options = ENTROL_CONTEXT_OPTIONS_INIT;
    entrol_context *context = nullptr;
    if (entrol_context_create(&context, &options) != ENTROL_OK)
        return 1;
    const double fair[2] = {0.5, 0.5};
    const entrol_matrix matrix = {fair, ENTROL_F64, 1, 2, 2};
    double entropy = 0;
    entrol_entropy_of_distributions(context, &entropy, nullptr, &matrix, ENTROL_PROBABILITIES, 1e-6);
    entrol_context_destroy(context);
    return std::fabs(entropy - std::log(2.0)) > 1e-15;
}
END
"$cxx" -std=c++17 "${flags[@]}" "$folder/program.cpp" -o "$folder/program" "$library" -Wl,-rpath,"$(realpath "$(dirname "$library")")"
"$folder/program"
