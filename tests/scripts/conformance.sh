#!/usr/bin/env bash
# libpopoto against the real Popoto: the same operations with both, and both on one database; see
# tests/conformance/conformance.py. Popoto comes from the Python package index, into build/; where that
# cannot be reached, this is left out.
#
#     tests/scripts/conformance.sh                        what ./run test runs: a good part of them
#     tests/scripts/conformance.sh --sequences 300        all of them; other arguments: see there
#     tests/scripts/conformance.sh --only same --sequences 1 --seed 17
#
# Closes with `N passed, N failed`.

set -u -o pipefail

version=1.10.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=${POPOTO_BUILD_DIR:-$root/build/test}
folder=$root/build/conformance
python=$folder/venv/bin/python
driver=$build/tests/conformance/conformance

left_out() {
    echo "Left out: $1"
    echo "0 passed, 0 failed"
    exit 0
}

failed() {
    echo "FAIL  $1"
    echo "0 passed, 1 failed"
    exit 1
}

make_environment() {
    rm -rf "$folder/venv"
    python3 -m venv "$folder/venv"
}

install_popoto() {
    "$python" -m pip install --disable-pip-version-check --no-input --timeout 15 --retries 1 \
        "popoto==$version" ulid-py && touch "$folder/venv/popoto-$version"
}

build_driver() {
    mkdir -p "$build"
    (
        if command -v flock >/dev/null; then flock 9; fi
        if [ ! -f "$build/CMakeCache.txt" ]; then
            cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPOPOTO_TESTS=ON || exit 1
        fi
        cmake --build "$build" --target tests_conformance_conformance
    ) 9>"$build/lock"
}

command -v python3 >/dev/null || left_out "there is no python3 to run Popoto with"
mkdir -p "$folder"

# Two at a time would install over each other: the second waits.
exec 8>"$folder/lock"
if command -v flock >/dev/null; then flock 8; fi
if [ ! -f "$folder/venv/popoto-$version" ]; then
    make_environment >"$folder/pip.log" 2>&1 ||
        left_out "python3 makes no virtual environment for Popoto (Debian: python3-venv)"
    if ! install_popoto >"$folder/pip.log" 2>&1; then
        tail -n 3 "$folder/pip.log" | sed 's/^/      /'
        left_out "Popoto $version cannot be installed from the Python package index (log: build/conformance/pip.log)"
    fi
fi
exec 8>&-

if ! build_driver >"$folder/build.log" 2>&1; then
    tail -n 20 "$folder/build.log"
    failed "the driver does not build"
fi

[ $# -gt 0 ] || set -- --sequences 300 --across 100
exec "$python" "$root/tests/conformance/conformance.py" "$driver" "$@"
