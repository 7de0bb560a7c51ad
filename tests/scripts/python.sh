#!/usr/bin/env bash
# The Python package: its wheel is built, put into an environment of its own in build/python-tests, and
# tests/python run with it; beside it, in build/popoto-1.10.1, the real Popoto that it is compared with. What
# comes from the Python package index and cannot be reached is left out, with a line that says so.
#
#     tests/scripts/python.sh                                    what ./run test runs
#     tests/scripts/python.sh test_behaviour.Behaviour           some of it, by unittest's names
#
# Closes with `N passed, N failed`.

set -u -o pipefail

version=1.10.1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
folder=$root/build/python-tests
real=$root/build/popoto-$version
python=$folder/venv/bin/python
pip_options=(--quiet --disable-pip-version-check --no-input --timeout 15 --retries 1)

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

# install ENVIRONMENT PACKAGE...: once
install() {
    local environment=$1
    shift
    [ ! -f "$environment/tested-with-$*" ] || return 0
    [ -x "$environment/bin/python" ] || python3 -m venv "$environment" || return 1
    "$environment/bin/python" -m pip install "${pip_options[@]}" "$@" && touch "$environment/tested-with-$*"
}

# The wheel, again only when something that goes into it has changed.
build_wheel() {
    local inputs=("$root/pyproject.toml" "$root/setup.py" "$root/python" "$root/src" "$root/include") newer
    [ -x "$python" ] || python3 -m venv "$folder/venv" || return 1
    newer=$(find "${inputs[@]}" -type f -newer "$folder/built" -not -name '*.pyc' 2>/dev/null | head -n 1)
    [ ! -f "$folder/built" ] || [ -n "$newer" ] || return 0
    rm -rf "$folder/wheel" "$folder/built"
    touch "$folder/building"
    "$python" -m pip wheel "${pip_options[@]}" --no-deps -w "$folder/wheel" "$root" &&
        "$python" -m pip install "${pip_options[@]}" --no-deps --force-reinstall "$folder"/wheel/*.whl &&
        mv "$folder/building" "$folder/built"
}

command -v python3 >/dev/null || left_out "there is no python3"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 9))' || left_out "python3 is older than 3.9"
python3 -c 'import ensurepip, venv' 2>/dev/null ||
    left_out "python3 makes no virtual environments (Debian: python3-venv)"
mkdir -p "$folder"

# Two at a time would install over each other, and over what the other one tests: the second waits until
# the first has ended (its tests inherit the lock).
exec 8>"$folder/lock"
if command -v flock >/dev/null; then flock 8; fi
if ! build_wheel >"$folder/wheel.log" 2>&1; then
    tail -n 30 "$folder/wheel.log" | sed 's/^/      /'
    failed "the package is not built"
fi
if install "$real" "popoto==$version" ulid-py >"$folder/popoto.log" 2>&1; then
    export POPOTO_REAL_PYTHON=$real/bin/python
else
    echo "Popoto $version cannot be installed: what compares with it is left out (log: build/python-tests/popoto.log)"
fi
install "$folder/venv" mypy redis >"$folder/mypy.log" 2>&1 ||
    echo "mypy and redis cannot be installed: the types are not checked, nor get_redis (log: build/python-tests/mypy.log)"

wheels=("$folder"/wheel/*.whl)
[ ${#wheels[@]} -eq 1 ] || failed "one wheel was to be built, not ${#wheels[@]}"
export POPOTO_WHEEL=${wheels[0]} POPOTO_MYPY_CACHE=$folder/mypy PYTHONDONTWRITEBYTECODE=1
unset REDIS_URL POPOTO_DIALECT

cd "$root/tests/python" || exit 1
exec "$python" run_tests.py "$@"
