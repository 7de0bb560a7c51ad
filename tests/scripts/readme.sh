#!/usr/bin/env bash
# The README keeps its word: its first ```c block with a main() compiles as it stands, without a
# warning, and prints what the next ```text (or bare ```) block says.
# Needs POPOTO_BUILD_DIR, where the library was built. Closes with `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=${POPOTO_BUILD_DIR:-$root/build/test}
readme=$root/README.md
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check NAME COMMAND...: one test, its output shown only if it fails
check() {
    local name=$1
    shift
    if "$@" >"$work/log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 25 "$work/log" | sed 's/^/      /'
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# Writes program.c and expected.txt.
extract() {
    [ -f "$readme" ] || { echo "there is no README.md"; return 1; }
    awk -v work="$work" '
        /^```/ && !inside { inside = 1; kind = substr($0, 4); text = ""; next }
        /^```/ {
            inside = 0
            if (!program && kind == "c" && text ~ /int main/) {
                program = 1
                printf "%s", text >(work "/program.c")
            } else if (program && (kind == "text" || kind == "")) {
                printf "%s", text >(work "/expected.txt")
                exit
            }
            next
        }
        inside { text = text $0 "\n" }' "$readme"
    [ -s "$work/program.c" ] || { echo "README.md has no \`\`\`c block with an int main"; return 1; }
    [ -s "$work/expected.txt" ] || { echo "README.md does not show what its program prints"; return 1; }
}

compile() {
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror -I "$root/include" "$work/program.c" \
        -o "$work/program" -L "$build" -lpopoto "-Wl,-rpath,$build"
}

run_and_compare() {
    local status=0
    timeout 60 "$work/program" >"$work/printed.txt" || status=$?
    [ "$status" -eq 0 ] || { echo "ended with status $status"; return 1; }
    diff -u --label 'as in README.md' "$work/expected.txt" --label 'as printed' "$work/printed.txt"
}

check 'README.md has a program and its output' extract
[ "$failed" -eq 0 ] || finish
check 'the program compiles without a warning' compile
[ "$failed" -eq 0 ] || finish
check 'the program prints what README.md says' run_and_compare
finish
