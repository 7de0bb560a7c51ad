#!/usr/bin/env bash
# docs/specification.md is whole: it quotes the page that it is about to the last word (a digest of the
# page tells), no cell of its table is empty, each test that it names exists and is run, and
# tests/server/test_specification.c has no test without a statement, in the order of the page.
# $POPOTO_SPECIFICATION may name a file with the page's text, to compare with that itself.
# Closes with `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
table=$root/docs/specification.md
program=$root/tests/server/test_specification.c
# Of the page without its first line (a link, "Skip to content") and without white space.
digest=df40f6be21d57d686552b5c8d624a301cfe7d25f4b1746460c1ad5394e9ba7eb
statements=62
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
        sed 's/^/      /' "$work/log"
    fi
}

# The rows of the table: number|statement|in C|test|difference, without the spaces around them.
rows() {
    sed -n 's/^| *\([0-9][0-9]*\) *| *\(.*\) *|$/\1|\2/p' "$table" | sed 's/ *| */|/g'
}

# All that is quoted, headings included, as one line without white space and Markdown.
quoted() {
    awk -F ' *[|] *' '
        /^## /        { print substr($0, 4) }
        /^\| *[0-9]+/ { print $3 }' "$table" |
        sed -e 's/<br>//g' -e 's/`//g' | tr -d '[:space:]'
}

page() {
    tail -n +2 "$POPOTO_SPECIFICATION" | tr -d '[:space:]'
}

quotes_every_word() {
    local found
    found=$(quoted | sha256sum | cut -d ' ' -f 1)
    echo "the digest of what is quoted is $found, that of the page $digest"
    [ "$found" = "$digest" ]
}

equals_the_page() {
    cmp <(page) <(quoted)
}

has_every_row() {
    local found
    found=$(rows | cut -d '|' -f 1 | tr '\n' ' ')
    echo "the rows are numbered $found"
    [ "$found" = "$(seq -s ' ' 1 "$statements") " ]
}

has_no_empty_cell() {
    rows | awk -F '|' '
        NF != 5 { print "row " $1 " has " NF " cells, not 5"; bad = 1 }
        { for (i = 1; i <= NF; i++) if ($i == "") { print "row " $1 " has an empty cell"; bad = 1 } }
        END { exit bad }'
}

# The tests that the table names, FILE:TEST, in its order.
named() {
    rows | cut -d '|' -f 4 | grep -o '[a-z_]*\.c:test_[a-z0-9_]*'
}

# tests_in FILE: those that are run, in order
tests_in() {
    sed -n 's/^ *\(server_test\|cmocka_unit_test[a-z_]*\)(\(test_[a-z0-9_]*\).*/\2/p' "$1"
}

names_a_test_in_each_row() {
    rows | awk -F '|' '
        $4 !~ /`[a-z_]+\.c:test_[a-z0-9_]+`/ { print "row " $1 " names no test"; bad = 1 }
        END { exit bad }'
}

# exists FILE:TEST: it is defined, and it is run
exists() {
    local file test=${1#*:}
    file=$(find "$root/tests" -name "${1%%:*}")
    [ -f "$file" ] || { echo "there is no ${1%%:*}"; return 1; }
    grep -q "^static void $test(void \*\*state)" "$file" || { echo "it is not defined"; return 1; }
    tests_in "$file" | grep -qx "$test" || { echo "it is not run"; return 1; }
}

leaves_no_test_out() {
    diff <(tests_in "$program") <(named | sed -n 's/^test_specification\.c://p') ||
        { echo "(<: only in the program; >: only in the table, or in another order)"; return 1; }
}

defines_in_order() {
    diff <(tests_in "$program") \
        <(sed -n 's/^static void \(test_[a-z0-9_]*\)(.*/\1/p' "$program")
}

if [ ! -f "$table" ]; then
    check "there is docs/specification.md" false
else
    check "every word of the page is quoted, in its order" quotes_every_word
    if [ -n "${POPOTO_SPECIFICATION:-}" ]; then
        check "the page itself says the same" equals_the_page
    fi
    check "there are $statements statements" has_every_row
    check "no cell is empty" has_no_empty_cell
    check "every statement has a test" names_a_test_in_each_row
    check "every test has a statement, in the same order" leaves_no_test_out
    check "the program defines its tests in the order of the page" defines_in_order
    while read -r test; do
        check "$test" exists "$test"
    done < <(named | awk '!seen[$0]++')
fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
