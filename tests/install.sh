#!/usr/bin/env bash
# Installs the build into an empty folder and uses it from there as people do: through pkg-config, through CMake,
# shared and static, from C and C++, and the command itself.
set -eu
cd "$(dirname "$0")/.."
build=${BUILD:-build}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cmake --install "$build" --prefix "$folder/prefix" >"$folder/install.log"
library=$(dirname "$(find "$folder/prefix" -name libentrol.a)")
export PKG_CONFIG_PATH=$library/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}

expect_answers() {
    "$@" >"$folder/answers"
    grep -q '^row 0: 1.3863 nats, 2.0000 bits$' "$folder/answers" # ln 4
}

version=$(sed -n 's/^#define ENTROL_VERSION "\(.*\)"/\1/p' include/entrol/base.h)
[ "$(pkg-config --modversion entrol)" = "$version" ]
# shellcheck disable=SC2046 # lists of flags
cc -o "$folder/shared" examples/entropy.c $(pkg-config --cflags --libs entrol)
expect_answers env LD_LIBRARY_PATH="$library" "$folder/shared"

if [ -e "$build/libentrol_blas.a" ]; then # a build without OpenBLAS has none
    cat >"$folder/product.c" <<'PROGRAM'
#include <entrol_blas.h>
int main(void) {
    const float a[2] = {1, 2}, b[2] = {3, 4};
    float c[4];
    entrol_gemm_operands product = {c, a, b, 2, 2, 1, 2, 1, 2, 0, 0, 0};
    entrol_blas_gemm(NULL, &product);
    return c[0] != 3 || c[1] != 4 || c[2] != 6 || c[3] != 8;
}
PROGRAM
    # shellcheck disable=SC2046 # lists of flags
    cc -o "$folder/product" "$folder/product.c" $(pkg-config --cflags --libs entrol_blas)
    LD_LIBRARY_PATH=$library "$folder/product"
fi

if [ -e "$build/libentrol_mpi.a" ]; then # a build without MPI has none
    cat >"$folder/ranks.c" <<'PROGRAM'
#include <entrol_mpi.h>
int main(int argc, char **argv) {
    entrol_mpi mpi;
    entrol_comm comm;
    MPI_Init(&argc, &argv);
    const entrol_status status = entrol_mpi_begin(&mpi, &comm, MPI_COMM_WORLD);
    const int is_alone = status == ENTROL_OK && comm.rank == 0 && comm.size == 1;
    entrol_mpi_end(&mpi);
    MPI_Finalize();
    return !is_alone;
}
PROGRAM
    # shellcheck disable=SC2046 # lists of flags
    mpicc -o "$folder/ranks" "$folder/ranks.c" $(pkg-config --cflags --libs entrol_mpi)
    OMPI_MCA_btl=self LD_LIBRARY_PATH=$library "$folder/ranks"
fi

if [ -e "$build/libentrol_llama.a" ]; then # a build without llama.cpp has none
    # shellcheck disable=SC2046 # lists of flags
    cc -o "$folder/sample" examples/llama/sample.c $(pkg-config --cflags --libs entrol_llama)
    libraries=$library:$(pkg-config --variable=libdir llama)
    ! LD_LIBRARY_PATH=$libraries "$folder/sample" none.gguf text no-rule=1 2>"$folder/refused"
    grep -q '^sample: rule 1, "no-rule=1"' "$folder/refused"
fi

mkdir "$folder/consumer"
cp examples/entropy.c "$folder/consumer/"
cat >"$folder/consumer/main.cc" <<'PROGRAM'
#include <entrol/entrol.h>
int main() { return entrol_status_string(ENTROL_OK) == nullptr; }
PROGRAM
cat >"$folder/consumer/CMakeLists.txt" <<PROJECT
cmake_minimum_required(VERSION 3.16)
project(consumer LANGUAGES C CXX)
find_package(entrol $version REQUIRED)
add_executable(with_shared entropy.c)
target_link_libraries(with_shared entrol::entrol)
add_executable(with_static entropy.c)
target_link_libraries(with_static entrol::entrol_static)
add_executable(from_cxx main.cc)
target_link_libraries(from_cxx entrol::entrol)
PROJECT
cmake -G Ninja -S "$folder/consumer" -B "$folder/consumer/build" -DCMAKE_PREFIX_PATH="$folder/prefix" >"$folder/configure.log"
cmake --build "$folder/consumer/build" >"$folder/build.log"
expect_answers "$folder/consumer/build/with_shared"
expect_answers "$folder/consumer/build/with_static"
"$folder/consumer/build/from_cxx"

"$folder/prefix/bin/entrol" version | grep -q "$version"
[ -s "$folder/prefix/share/man/man1/entrol.1" ]
