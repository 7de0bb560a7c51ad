#!/usr/bin/env bash
# The `popoto` command, as people use it: every command against a private server with real content, plain
# and as JSON, piped, with wrong words, with and without --yes; its manual page and its completion.
#
# Needs POPOTO_BUILD_DIR, where the command and tests/cli/fill were built. Closes with
# `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317
# Keys begin with a dollar.
# shellcheck disable=SC2016

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=${POPOTO_BUILD_DIR:-$root/build/test}
popoto=$build/cli/popoto
fill=$build/tests/cli/fill
passed=0 failed=0
unset POPOTO_URL POPOTO_PASSWORD POPOTO_GRANT_PASSWORD NO_COLOR

if [ ! -x "$popoto" ] || [ ! -x "$fill" ]; then
    echo "left out: the command was not built (libsmartcols, jansson)"
    echo "0 passed, 0 failed"
    exit 0
fi

work=$(mktemp -d) || exit 1
servers=()
# shellcheck disable=SC2329 # called by the trap
clean_up() {
    local server
    for server in "${servers[@]}"; do
        kill "$server" 2>/dev/null
    done
    wait
    rm -rf "$work"
}
trap clean_up EXIT
export XDG_DATA_HOME=$work/data

server=$(command -v redis-server || command -v valkey-server)
shell=$(command -v redis-cli || command -v valkey-cli)

# start NAME [ARGUMENTS]: a server at $work/NAME.sock
start() {
    local name=$1 i
    shift
    "$server" --port 0 --unixsocket "$work/$name.sock" --dir "$work" --save '' "$@" >"$work/$name.log" 2>&1 &
    servers+=($!)
    for ((i = 0; i < 100; i++)); do
        [ "$("$shell" -s "$work/$name.sock" ping 2>/dev/null)" != PONG ] || return 0
        sleep 0.1
    done
    cat "$work/$name.log"
    return 1
}

raw() {
    "$shell" -s "$work/$1.sock" "${@:2}"
}

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

# run ARGUMENTS: the command on server a; leaves its output, its errors and its status
run() {
    status=0
    timeout 60 "$popoto" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

# ends STATUS ARGUMENTS: it ends so, without an escape code in what is printed, and says why if it fails
ends() {
    run "${@:2}"
    cat "$work/out" "$work/err"
    [ "$status" -eq "$1" ] || { echo "ended with $status, not $1"; return 1; }
    ! grep -q $'\e' "$work/out" "$work/err" || { echo "there are escape codes"; return 1; }
    [ "$1" -ne 2 ] || grep -q '^popoto: ' "$work/err" || { echo "it does not say why"; return 1; }
}

# prints STATUS PATTERN ARGUMENTS: ... and prints a line like that
prints() {
    ends "$1" "${@:3}" || return 1
    grep -qE -e "$2" "$work/out" || { echo "nothing like $2"; return 1; }
}

# complains STATUS PATTERN ARGUMENTS
complains() {
    ends "$1" "${@:3}" || return 1
    grep -qE -e "$2" "$work/err" || { echo "no complaint like $2"; return 1; }
}

# holds EXPRESSION ARGUMENTS: --json is JSON, of which the Python expression over `it` is true
holds() {
    run "${@:2}" --json
    cat "$work/err"
    [ "$status" -le 1 ] || { echo "ended with $status"; return 1; }
    python3 - "$work/out" "$1" <<'PYTHON'
import json, sys
it = json.load(open(sys.argv[1], encoding="utf-8"))
if not eval("(" + sys.argv[2] + ")"):
    print(json.dumps(it, indent=1)[:4000], "\nis not:", sys.argv[2])
    sys.exit(1)
PYTHON
}

# ----- Help, usage, page, completion ---------------------------------------------------------------

commands='tenants audit show query export import erase migrate grant revoke models info'

each_command_helps() {
    local command
    prints 0 '^Usage: popoto ' --help || return 1
    for command in $commands; do
        grep -q "^  $command " "$work/out" || { echo "the help does not name $command"; return 1; }
    done
    for command in $commands; do
        prints 0 "^Usage: popoto $command" "$command" --help || return 1
        prints 0 '^Example: popoto ' help "$command" || return 1
        [ "$(wc -L <"$work/out")" -le 80 ] || { echo "$command: lines of more than 80"; return 1; }
        ! grep -qE -e '--[a-z-]+( [A-Z,]+)? [a-z]' <(grep '^  .*  --' "$work/out") || { echo "$command: no gap"; return 1; }
    done
}

page_is_clean() {
    if command -v man >/dev/null; then
        [ -z "$(LC_ALL=C.UTF-8 MANROFFSEQ='' man --warnings -E UTF-8 -l "$root/cli/popoto.1" 2>&1 >/dev/null)" ] ||
            { echo "man warns"; return 1; }
    fi
    if command -v mandoc >/dev/null; then
        mandoc -Tlint "$root/cli/popoto.1" | grep -v 'mandoc.db' && return 1
    fi
    local command word
    for command in $commands; do
        grep -qE "^\.It Ic $command" "$root/cli/popoto.1" || { echo "no $command"; return 1; }
        "$popoto" "$command" --help | grep -o -e '--[a-z-]*' | sort -u >"$work/words"
        while read -r word; do
            grep -qE "Fl Fl ${word#--}( |$)" "$root/cli/popoto.1" || { echo "no $word"; return 1; }
        done <"$work/words"
    done
}

# completes EXPECTED LINE: the last word of `popoto LINE` is completed to these, where bash breaks words at
# : and = too
completes() {
    local expected=$1 answer
    answer=$(
        # shellcheck source=/dev/null
        . "$root/cli/popoto.bash"
        # shellcheck disable=SC2034 # read by the completion
        COMP_LINE="$popoto $2" COMP_POINT=$((${#popoto} + 1 + ${#2}))
        mapfile -t COMP_WORDS < <(printf '%s\n' "$popoto"; printf '%s' "$2" | grep -oE '[^ :=]+|[:=]+')
        case $2 in
        '' | *' ') COMP_WORDS+=('') ;;
        esac
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _popoto
        printf '%s\n' "${COMPREPLY[@]}" | sort | paste -s -d ' '
    )
    [ "$answer" = "$expected" ] || { echo "$2: '$answer', not '$expected'"; return 1; }
}

# Completion offers for each command the options that its help lists.
completion_knows_the_options() {
    local command listed offered
    # shellcheck source=/dev/null
    . "$root/cli/popoto.bash"
    for command in $commands; do
        listed=$("$popoto" "$command" --help | grep -oE '^ +(-[a-z], )?--[a-z-]+' | grep -oE -e '--[a-z-]+' | sort)
        offered=$(_popoto_options "$command" | tr ' ' '\n' | sort)
        [ "$listed" = "$offered" ] || { echo "$command:"; diff <(echo "$listed") <(echo "$offered"); return 1; }
    done
}

check 'every command helps, within 80 columns' each_command_helps
check 'the version is said' prints 0 "^popoto [0-9.]+$" --version
check 'no command: 2' complains 2 'a command is missing'
check 'an unknown command: 2' complains 2 "no command 'frobnicate'" frobnicate
check 'an unknown option: 2' complains 2 "no option '--frobnicate'" tenants --frobnicate
check 'an option without its value: 2' complains 2 "'--limit' needs a value" tenants --limit
check 'a number that is none: 2' complains 2 'takes a number' query Episode --limit -3
check 'a dialect that is none: 2' complains 2 'documented, popoto' info --dialect klingon
check 'too few words: 2' complains 2 'usage: popoto show KEY' show
check 'too many words: 2' complains 2 'usage: popoto revoke USER' revoke a b
check 'a column that is none: 2' complains 2 'takes tenant, records' tenants --sort colour
check 'a URL that is none: 2' complains 2 'popoto: .' info --url gopher://x
check 'no server: 1' complains 1 'popoto: .' info --url "unix:$work/nobody.sock"
check 'a password in an argument: 2' complains 2 'POPOTO_PASSWORD' info --url redis://:secret@localhost
check 'the manual page is clean, and names every command and option' page_is_clean
check 'completion knows every option' completion_knows_the_options
check 'completion: commands' completes 'export' ex
check 'completion: values' completes 'documented popoto' 'info --dialect '
check 'completion: migrate' completes 'confidence strict' 'migrate '
check 'completion: help' completes 'erase export' 'help e'
check 'completion: orders of tenants' completes 'records' 'tenants --sort=re'
check 'completion: addresses' completes 'unix:/' 'tenants -u u'
check 'completion: options behind an address' completes '--repair' 'audit --url redis://localhost:6379 --r'

# ----- Reading -------------------------------------------------------------------------------------

: >"$work/users.acl"
check 'two servers start' eval 'start a --aclfile "$work/users.acl" && start b'
url=unix:$work/a.sock
export POPOTO_URL=$url

check 'an empty database has no models, and says so' complains 1 'no models are known' tenants
check 'an empty database: info' holds 'it["models"] == []' info
check 'a database is filled' "$fill" "$url"

check 'info' prints 0 '^Episode +project_id +124$' info
check 'info, JSON' holds 'it["models_from"] == "published" and it["models"][0] ==
    {"model": "Episode", "tenant_field": "project_id", "records": 124, "left_behind": 0}' info
check 'models' prints 0 '^certainty +confidence +float +by project$' models Memory
check 'models, one of them' ends 0 models Memory
check 'a model that is none: 2, with those that are' complains 2 'there are: .*Episode.*Sample' models Nobody
check 'completion: models' completes 'Episode' 'query Ep'
check 'completion: fields' completes 'name=' 'query Episode na'
check 'completion: fields, behind a colon' completes 'key=' "-u $url query Memory k"
check 'completion: fields, all' completes 'certainty= content= key= project=' 'query Memory '
check 'completion: lookups' completes 'score__gt= score__gte=' 'query Episode score__g'
check 'completion: models, behind an address' completes 'Memory' "-u $url audit Me"
check 'completion: models, of an address with =' completes 'Memory' "--url=$url audit Me"
check 'completion: orders downwards' completes '-score' 'query Episode -o -sc'
check 'completion: fields of a list' completes 'name,score' 'query Episode -f name,sc'
check 'completion: fields that name tenants' completes 'team' 'tenants -t t'
check 'completion: tenants' completes 'project-a project-b' 'erase pro'
check 'completion: tenants of an audit' completes 'project-a project-b' 'audit --tenant pro'
check 'completion: the first field of a move' completes 'certainty' 'migrate confidence Fact ce'

models_travel() {
    "$popoto" models --json >"$work/models.json" || return 1
    prints 0 '^Episode +project_id +124$' info --models "$work/models.json" &&
        holds 'it["models_from"] == "file"' info --models "$work/models.json" || return 1
    "$popoto" models --json --models "$work/models.json" | cmp - "$work/models.json"
}
check 'models --json is what --models takes' models_travel
check 'a models file that is not there: 2' complains 2 'cannot be taken' info --models "$work/nothing"
echo '{' >"$work/broken.json"
check 'a models file that is no JSON: 2' complains 2 'line [12]\)' info --models "$work/broken.json"
echo '[{"name": 3}]' >"$work/broken.json"
check 'a models file of no models: 2' complains 2 'broken.json' info --models "$work/broken.json"

check 'tenants' prints 0 '^-dash +26 ' tenants Episode --sort tenant
check 'tenants: a header' prints 0 '^TENANT +RECORDS +ENTRIES +SIZE +CONFIDENCE +IDLE$' tenants Episode
check 'tenants: hostile names are shown harmlessly' prints 0 '^\\x1b\[31mred +23 ' tenants Episode
check 'tenants: those left out are named' complains 0 'left out.*Note' tenants
check 'tenants: the sum' prints 0 '^8 tenants, 124 records, .*; the first 2 are shown' tenants Episode --limit 2
check 'tenants, JSON' holds '[t["records"] for t in it] == sorted([5 + 3 * i for i in range(8)], reverse=True)' \
    tenants Episode --sort -records
check 'tenants, JSON: exact names' holds '{"\x1b[31mred", "{braces}", "stars*?[x]", "émile:x"} < {t["tenant"] for t in it}' \
    tenants Episode
check 'tenants, JSON: the models of each' holds 'next(t for t in it if t["tenant"] == "project-a")["models"]["Sample"]["records"] == 2' tenants
check 'tenants: an ordinary model, by its field' holds '{t["tenant"]: t["records"] for t in it} == {"red": 15, "blue": 15}' \
    tenants Note --tenant-field team
check 'tenants: mean confidence' holds 'all(0 < t["mean_confidence"] < 1 for t in it)' tenants Memory

check 'show' prints 0 '^moment +sorted +time +2026-01-02T05:04:05.123456\+02:00$' show '{project-a}:Sample:all'
check 'show: confidence' prints 0 '^certainty .* 0\.7000 \(1 signal: 1 for, 0 against\)$' show '{project-a}:Episode:e000'
check 'show, JSON' holds 'it["model"] == "Episode" and it["fields"]["title"] == "Meeting 1, \"first\nsecond\"" and
    it["confidence"]["certainty"] == {"confidence": 0.5, "evidence_count": 0, "corroborations": 0, "contradictions": 0}' \
    show '{project-a}:Episode:e001'
check 'show: a record that is not there: 1' complains 1 'there is no record' show '{project-a}:Episode:e999'
check 'show: a key that is none: 1' complains 1 'no record.s key' show nonsense

exact='it == [{"_key": "{project-a}:Sample:all", "project_id": "project-a", "name": "all", "truth": True, "whole": 4503599627370496,
    "real": 0.1 + 0.2, "perhaps": None, "bytes": {"$bytes": "AP8bWzFt"},
    "moment": {"$time": "2026-01-02T05:04:05.123456+02:00"}, "day": {"$day": "2026-01-31"},
    "clock": {"$clock": "12:30:00.000005"}, "price": {"$decimal": "12.50"},
    "any": {"$map": [["list", [1, "two", 3.5]], [7, {"$tuple": [1, "two"]}]]}}]'
check 'query: every type is exact in JSON' holds "$exact" query Sample project_id=project-a name=all
check 'query: moments' holds 'len(it) == 1' query Sample project_id=project-a 'moment__gt=2026-01-02T03:04:05Z'
check 'query: numbers, in order' holds '[r["name"] for r in it] == ["e004", "e003", "e002"]' \
    query Episode project_id=project-a score__gte=0.2 --order -score
check 'query: lists' holds '{r["name"] for r in it} == {"e001", "e002"}' \
    query Episode project_id=project-a name__in=e001,e002
check 'query: between' holds '[r["number"] for r in it] == [25, 23, 21]' query Note team=red rank__between=75,80
check 'query: null' holds 'len(it) == 1 and it[0]["title"] is None' \
    query Episode project_id=project-a title__isnull=true --scan
check 'query: chosen fields' prints 0 '^ *e004 +0\.4$' query Episode project_id=project-a -f name,score
check 'query: limit and offset' holds 'len(it) == 2' query Episode project_id=project-a --limit 2 --offset 1
check 'query: count' prints 0 '^5$' query Episode project_id=project-a --count
check 'query: count, JSON' holds 'it == {"count": 124}' query Episode --all-tenants --count
check 'query: no rows' holds 'it == []' query Episode project_id=nobody
check 'query: whole where it is piped' prints 0 'for a long while now ' query Memory project=atlas
check 'query: the present confidence' holds 'it[0]["certainty"] == 0.25' query Memory key=Memory-000
check 'query: a strict model needs a tenant: 2' complains 2 '\-\-all-tenants' query Episode
check 'query: a scan needs to be asked for: 2' complains 2 '\-\-scan' query Memory content__contains=sky
check 'query: a scan' holds 'len(it) == 40' query Memory content__contains=sky --scan
check 'query: a value of another type: 2' complains 2 'takes a whole number' query Note team=red rank=high
check 'query: a field that is none: 2' complains 2 "no field 'nope'" query Note nope=3
check 'query: no condition: 2' complains 2 'a condition is LOOKUP=VALUE' query Note team
check 'query: a column that is none: 2' complains 2 "no field 'x'" query Note team=red -f x

# ----- Mistakes ------------------------------------------------------------------------------------

without_a_url() {
    local command
    for command in 'tenants' 'erase a --yes' 'import a /dev/null' 'migrate strict Note team --yes' 'audit'; do
        # shellcheck disable=SC2086 # words
        POPOTO_URL='' complains 2 'which database' $command || return 1
    done
    [ ! -e "$XDG_DATA_HOME/popoto" ]
}
check 'no database is named: 2, and no server is started' without_a_url
secrets_stay_secret() {
    complains 2 "no option '--grant-password';" grant project-a ann --grant-password sesame || return 1
    ! grep -q sesame "$work/out" "$work/err" || return 1
    complains 2 "no option '--grant-password';" grant project-a ann --grant-password=sesame || return 1
    ! grep -q sesame "$work/out" "$work/err"
}
check 'an option that is none, behind others: 2' complains 2 "no option '-Q'" tenants Episode -jQc
check 'an option without its value, behind others: 2' complains 2 "'-l' needs a value" tenants Episode -jl
check 'a value for a flag: 2' complains 2 "'--json' takes no value" tenants Episode --json=5
check 'options are not abbreviated: 2' complains 2 "no option '--lim'" tenants --lim 3
check 'what stands behind one that is none is not repeated' secrets_stay_secret
check 'help of a command that is none: 2' complains 2 "no command 'nope'" help nope
check 'a password file that is not there: 2' complains 2 'cannot be read' info --password-file "$work/nothing"
check 'a value that is no JSON: 2' complains 2 "any takes JSON, not '.a'" query Sample project_id=project-a 'any=[a' --scan
check 'a word for a field of any type' ends 0 query Sample project_id=project-a any=word --scan
check 'a model named twice is counted once' holds 'sum(t["records"] for t in it) == 124' tenants Episode Episode --model Episode
twice() {
    "$popoto" models --json Memory | python3 -c 'import json, sys; print(json.dumps(json.load(sys.stdin) * 2))' >"$work/twice.json"
    complains 2 'has Memory twice' info --models "$work/twice.json"
}
check 'a models file with a model twice: 2' twice
check 'a field that no model has: 2' complains 2 "no key of these models has a field 'typo'" tenants -t typo
check 'a field for each model' holds '{t["tenant"] for t in it} == {"atlas", "borealis", "red", "blue"}' \
    tenants Memory Note -t Note.team -t Memory.project
check 'sentences are about the command line: scopes' complains 2 'one project_id exactly; --all-tenants' query Episode
check 'sentences are about the command line: figures' complains 2 'its figure can be shown' query Memory certainty=1
check 'sentences are about the command line: all tenants' complains 2 'TENANT: --all-tenants is' query Note team=red --all-tenants
check 'keys are described as they are' complains 1 '[{]TENANT}:Episode:' show --model Episode nonsense
passwords() {
    start e && raw e config set requirepass sesame || return 1
    complains 1 'POPOTO_PASSWORD' info --url "unix:$work/e.sock" || return 1
    ! grep -q 'user:password' "$work/err" || return 1
    POPOTO_PASSWORD=wrong complains 1 "popoto: unix:$work/e.sock: " info --url "unix:$work/e.sock" || return 1
    POPOTO_URL="unix://:sesame@$work/e.sock" prints 0 '^url +unix://:\*\*\*@' info || return 1
    POPOTO_PASSWORD=sesame complains 1 "known in unix:$work/e.sock: .*--dialect popoto" tenants --url "unix:$work/e.sock"
}
check 'passwords: where to put them, and never shown' passwords

# ----- Terminals -----------------------------------------------------------------------------------

# on_a_terminal ARGUMENTS: of 80 columns; its output, both kinds, to $work/out
on_a_terminal() {
    status=0
    TERM=xterm script -qec "stty cols ${columns:-80} rows 24; timeout 60 '$popoto' $*" /dev/null >"$work/out" </dev/null || status=$?
}

colours() {
    on_a_terminal tenants Episode
    grep -q $'\e\[1m' "$work/out" || { echo "no colours"; return 1; }
    NO_COLOR=1 on_a_terminal tenants Episode
    ! grep -qE $'\e\\[[0-9;]*m' "$work/out" || { echo "colours with NO_COLOR"; return 1; }
}

narrow() {
    NO_COLOR=1 on_a_terminal query Memory project=atlas
    cat "$work/out"
    [ "$(tr -d '\r' <"$work/out" | wc -L)" -le 80 ] || { echo "lines of more than 80"; return 1; }
    grep -q '\.\.\. ' "$work/out" || { echo "nothing is cut"; return 1; }
    NO_COLOR=1 on_a_terminal query Sample project_id=project-a name=all
    grep -q '^price  *12.50' "$work/out" || { echo "no block"; return 1; }
    NO_COLOR=1 on_a_terminal query Sample project_id=project-a
    cat "$work/out"
    [ "$(tr -d '\r' <"$work/out" | wc -l)" -le 24 ] || { echo "more lines than the screen has"; return 1; }
    tr -d '\r' <"$work/out" | grep -q '^no room for .*price, any; --fields A,B chooses others, show$' || return 1
    NO_COLOR=1 columns=40 on_a_terminal tenants Episode
    [ "$(tr -d '\r' <"$work/out" | grep -v '^\[K' | wc -L)" -le 40 ] || { echo "more than 40 columns"; return 1; }
    grep -q 'no room for CONFIDENCE, IDLE' "$work/out" || return 1
    NO_COLOR=1 columns=50 on_a_terminal show "'{project-a}:Sample:all'"
    cat "$work/out"
    grep -q '^  *\[7, {"$tuple": \[1, "two"\]}\]\]}' "$work/out" || { echo "words are broken"; return 1; }
}
# Only what a terminal shows is cut.
limited() {
    prints 0 '^2 rows; there are more \(--limit N, 0 for all\)$' query Episode project_id=project-a -l 2 || return 1
    prints 0 '^5 rows$' query Episode project_id=project-a -l 5 || return 1
    prints 0 '^KEY$' query Episode project_id=project-a -f '' || return 1
    holds 'len(it) == 2' query Episode project_id=project-a -l 2
}
check 'query: a limit tells that there are more' limited
keys_lead_to_records() {
    local key
    prints 0 '^{project-a}:Episode:e001  project-a ' query Episode project_id=project-a --keys || return 1
    key=$("$popoto" query Episode project_id=project-a name=e003 -k -f name | sed -n '2s/  .*//p')
    prints 0 '^name .* e003$' show "$key" || return 1
    holds '[r["_key"] for r in it] == ["{project-a}:Episode:e003"]' query Episode project_id=project-a name=e003 -f name
}
check 'query: keys, which show takes' keys_lead_to_records

# A value of 300,000 characters, each two columns wide.
wide() {
    local began=$SECONDS
    python3 -c 'import sys; text = ("\u4f60" * 300000).encode(); sys.stdout.buffer.write(b"\xdb" + len(text).to_bytes(4, "big") + text)' >"$work/value"
    raw a -x hset '{project-b}:Episode:e000' title <"$work/value" || return 1
    NO_COLOR=1 LC_ALL=C.UTF-8 on_a_terminal query Episode project_id=project-b
    [ "$status" -eq 0 ] && [ "$(tr -d '\r' <"$work/out" | LC_ALL=C.UTF-8 wc -L)" -le 80 ] || return 1
    NO_COLOR=1 LC_ALL=C.UTF-8 on_a_terminal show "'{project-b}:Episode:e000'"
    [ "$status" -eq 0 ] && [ $((SECONDS - began)) -lt 10 ]
}
if command -v script >/dev/null; then
    check 'very wide values' wide
    check 'colours on a terminal, but not with NO_COLOR' colours
    check 'what is too wide for a terminal is cut, or in blocks' narrow
fi

# ----- No memory -----------------------------------------------------------------------------------

# A library that lets the n-th allocation fail, by names that glibc has.
cat >"$work/fail.c" <<'C'
#include <stdlib.h>
void *__libc_malloc(size_t), *__libc_realloc(void *, size_t), *__libc_calloc(size_t, size_t);
static long at = -1, count;
static int fails(void) {
    if (at < 0) {
        const char *text = getenv("FAIL_AT");
        at = text ? atol(text) : 0;
    }
    return ++count == at;
}
void *malloc(size_t size) { return fails() ? NULL : __libc_malloc(size); }
void *realloc(void *block, size_t size) { return size && fails() ? NULL : __libc_realloc(block, size); }
void *calloc(size_t items, size_t size) { return fails() ? NULL : __libc_calloc(items, size); }
C
# What is printed is all of it, or the command fails.
fails_whole() {
    local n
    for n in $(seq 1 "$1" "$2"); do
        status=0
        LD_PRELOAD=$work/fail.so FAIL_AT=$n timeout 60 "$popoto" "${@:3}" >"$work/out" 2>"$work/err" </dev/null || status=$?
        [ "$status" -ne 1 ] || continue
        if [ "$status" -ne 0 ] || ! cmp -s "$work/out" "$work/whole"; then
            echo "$n: ended with $status"
            return 1
        fi
    done
}
no_memory() {
    "$popoto" "${@:3}" >"$work/whole" && fails_whole "$@"
}
if cc -shared -fPIC -o "$work/fail.so" "$work/fail.c" 2>/dev/null && LD_PRELOAD=$work/fail.so "$popoto" --version >/dev/null 2>&1; then
    check 'no memory: tables' no_memory 5 380 query Memory project=atlas
    check 'no memory: JSON' no_memory 11 1100 models --json
    check 'no memory: values' no_memory 7 600 query Sample project_id=project-a --json
fi
# ----- What is broken ------------------------------------------------------------------------------

contradictions() {
    raw a hset '{project-a}:Episode:e001' project_id $'\xa1z' &&
        raw a set '{project-a}:Episode:text' x &&
        raw a sadd '{project-a}:$Class:Episode' '{project-a}:Episode:text' || return 1
    complains 1 "'{project-a}:Episode:e001', field project_id: .* another than its key's" query Episode project_id=project-a ||
        return 1
    grep -q "'{project-a}:Episode:text', model Episode: it holds a string, not a hash" "$work/err" || return 1
    grep -qx '4 rows' "$work/out" || return 1
    complains 1 'belongs to another key, {z}:Episode:e001' show '{project-a}:Episode:e001' || return 1
    grep -q '^title ' "$work/out" || return 1
    complains 1 'it holds a string, not a hash' show '{project-a}:Episode:text' || return 1
    raw a hdel '{project-a}:Episode:e002' score
    prints 1 "^lacking .*'{project-a}:Episode:e002': it has no score" audit Episode || return 1
    raw a set '$KeyF:Note:team:none' x
    complains 1 'the index .\$KeyF:Note:team:none. holds a string, not a set' query Note team__in=red,none,blue -c || return 1
    grep -qx 30 "$work/out" || { echo "the others were not counted"; return 1; }
    prints 1 "^corrupt  *'.KeyF:Note:team:none': it holds another type" audit Note
}
check 'what is broken is named, and the rest of the answer is there' contradictions
raw a flushall >/dev/null && "$fill" "$url"

# ----- Audit ---------------------------------------------------------------------------------------

check 'audit: a database that is whole: 0' prints 0 '^nothing found$' audit Episode Memory Note Sample
check 'audit, JSON' holds 'it["findings"] == [] and it["models"][0]["records"] == 124' audit Episode
damage() {
    raw a zadd '{project-a}:$SortedF:Episode:score' 3 '{project-a}:Episode:ghost' &&
        raw a srem '$KeyF:Memory:project:atlas' Memory:atlas:Memory-000 &&
        raw a zadd '$SortedF:Note:rank:red' 5 Note:red:1 &&
        raw a sadd '$KeyF:Note:team:red' Note:blue:0 &&
        raw a hset '{project-a}:Sample:all' whole garbage
}
check 'a database is damaged' damage
check 'audit: findings: 1' prints 1 '^stray .*ghost' audit
check 'audit: the kinds' holds '{f["kind"] for f in it["findings"]} >= {"stray", "missing", "score", "misplaced", "corrupt"}' audit
check 'audit: what is shown is limited' prints 1 'more \(--limit 0' audit --limit 1
check 'audit --repair needs --yes' complains 2 'add --yes' audit --repair
one_tenant() {
    holds 'it["tenant"] == "project-a" and {f["kind"] for f in it["findings"]} == {"stray", "corrupt"} and
        [m["records"] for m in it["models"]] == [5, 0, 0, 2]' audit --tenant project-a || return 1
    complains 1 'note: left out, .*: Note .see --tenant-field' audit --tenant project-a || return 1
    holds '[(m["model"], m["records"]) for m in it["models"]] == [("Note", 15)] and len(it["findings"]) == 2' \
        audit Note --tenant red -t team || return 1
    holds 'it["findings"] == [] and [m["records"] for m in it["models"]] == [8]' audit Episode --tenant project-b || return 1
    complains 1 "^popoto: nothing of 'nobody' is in unix:" audit --tenant nobody || return 1
    [ ! -s "$work/out" ] || return 1
    complains 2 'what tells the tenants of Note: say so with --tenant-field' audit Note --tenant red || return 1
    complains 2 "cannot be ''" audit Episode --tenant '' || return 1
    complains 2 "no key of these models has a field 'rank'" audit Note --tenant 3 -t rank || return 1
    complains 2 '[-]-tenant TENANT says which' audit -t team || return 1
    ends 0 audit Memory --tenant borealis --repair --yes
}
check 'audit: of one tenant' one_tenant
check 'audit --repair: what is derivable' ends 1 audit --repair --yes
check 'audit: the rest stays' holds '{f["kind"] for f in it["findings"]} == {"corrupt"}' audit
"$shell" -s "$work/a.sock" flushall >/dev/null && "$fill" "$url"

# ----- Export and import ---------------------------------------------------------------------------

travels() {
    local model
    "$popoto" export project-a >"$work/a.jsonl" 2>"$work/err" || { cat "$work/err"; return 1; }
    [ "$(wc -l <"$work/a.jsonl")" -ge 7 ] || { echo "too few lines"; return 1; }
    "$popoto" import "it's {elsewhere}" "$work/a.jsonl" || return 1
    "$popoto" models --json >"$work/models.json" || return 1
    "$popoto" export project-a | "$popoto" import project-a --url "unix:$work/b.sock" || return 1
    for model in Episode Sample; do
        "$popoto" query "$model" project_id=project-a --json | python3 -m json.tool --sort-keys | grep -v '"_key"' | sort >"$work/first"
        [ -s "$work/first" ] || return 1
        "$popoto" query "$model" "project_id=it's {elsewhere}" --json | sed "s/it's {elsewhere}/project-a/" |
            python3 -m json.tool --sort-keys | grep -v '"_key"' | sort | diff "$work/first" - || return 1
        "$popoto" query "$model" project_id=project-a --json --url "unix:$work/b.sock" --models "$work/models.json" |
            python3 -m json.tool --sort-keys | grep -v '"_key"' | sort | diff "$work/first" - || return 1
    done
    "$popoto" audit --url "unix:$work/b.sock" --models "$work/models.json"
}
check 'a tenant travels to another name and another server' travels
check 'export: of an ordinary model' ends 0 export atlas --model Memory --tenant-field project
check 'export: to a file' holds 'it["records"] == 5' export project-a --model Episode -o "$work/file"
check 'export: a file that cannot be written: 2' complains 2 'cannot be written' export project-a -o "$work/no/where"
# A file that is not whole stores what it has, and says so.
cut_off() {
    head -n 3 "$work/a.jsonl" >"$work/part"
    complains 1 'no last line: it was cut off after 2 records, which are stored' import fresh "$work/part" || return 1
    grep -qx '2 records imported' "$work/out" || return 1
    sed 1d "$work/a.jsonl" | sed '$d' >"$work/part"
    complains 0 'note: no last line' import fresh "$work/part" || return 1
    sed 2d "$work/a.jsonl" >"$work/part"
    complains 1 'the export had 7 records, and 6 of them are here' import fresh "$work/part" || return 1
    : >"$work/part"
    complains 1 'there are no lines' import fresh "$work/part" || return 1
    sed '1s/"type": "int"/"type": "float"/' "$work/a.jsonl" >"$work/part"
    complains 1 'line 1: the export has another field .whole. of Sample' import fresh "$work/part"
}
check 'import: a file that is not whole, or of other models' cut_off
broken_line() {
    { head -n 2 "$work/a.jsonl"; echo '{nonsense'; tail -n 1 "$work/a.jsonl"; } >"$work/broken"
    complains 1 '^popoto: line 3 is no JSON' import fresh "$work/broken"
}
check 'import: a broken line is named: 1' broken_line
check 'import, JSON' holds 'it["bad_line"] == 3 and it["records"] == 1 and not it["complete"]' import fresh "$work/broken"
refused_lines() {
    "$popoto" export atlas --model Memory -t project >"$work/taken.jsonl" || return 1
    complains 1 "^popoto: line 2: Memory.key = .* is taken by another record$" import fresh "$work/taken.jsonl" --model Memory || return 1
    [ "$(grep -c '^popoto: line ' "$work/err")" -eq 14 ] || return 1
    grep -q '^popoto: up to line 15 all others are stored, and none behind it: mend' "$work/err" || return 1
    grep -qx '0 records imported' "$work/out" || return 1
    holds 'len(it["refused"]) == 14 and it["refused"][0]["line"] == 2 and it["tried"] == 15 and it["bad_line"] == 2' \
        import fresh "$work/taken.jsonl" --model Memory || return 1
    complains 1 '^popoto: up to line 3 all others are stored' import fresh "$work/broken"
}
check 'import: lines that are refused are named: 1' refused_lines
check 'import: a file that is not there: 2' complains 2 'cannot be read' import fresh "$work/nothing"

# ----- Erasing -------------------------------------------------------------------------------------

check 'erase needs to know every model.s tenants: 2' complains 2 'the tenants of Note: ' erase project-b --yes
check 'erase needs --yes where nobody can be asked: 2' complains 2 'add --yes' erase project-b -t Note.team
check 'nothing was erased' prints 0 '^8$' query Episode project_id=project-b --count
check 'erase: of one model alone' holds 'it["records"] == 2 and it["other_keys"] == 0 and it["left"] == 0' \
    erase project-a --model Sample --yes
check 'erase: of one model alone, and of no other' holds 'it == {"count": 5}' query Episode project_id=project-a --count
check 'erase' prints 0 '^left +0$' erase project-b -t Note.team --yes
check 'all is gone' holds 'it == []' query Episode project_id=project-b
check 'erase, JSON: nothing twice' holds 'it["records"] == 0 and it["left"] == 0 and "$time" in it["started"]' \
    erase project-b -t Note.team --yes
check 'erase: nothing of it: 1' complains 1 "^popoto: nothing of 'project-b' is in unix:" erase project-b -t Note.team --yes
check 'erase: hostile names' holds 'it["records"] == 11 and it["left"] == 0' erase '{braces}' -t Note.team --yes
check 'erase: others are left alone' holds 'it == {"count": 5}' query Episode project_id=project-a --count
check 'erase: of an ordinary model' holds 'it["records"] == 15 and it["left"] == 0' \
    erase red --model Note --tenant-field team --yes
check 'erase: a field that is none: 2' complains 2 "has a field 'x'" erase red --model Note --tenant-field x --yes

# Of a database of its own, for whole tenants go.
start d && "$fill" "unix:$work/d.sock"
whole_tenants() {
    local POPOTO_URL=unix:$work/d.sock
    export POPOTO_URL
    raw d set '{project-a}:myapp:session' x
    raw d hset '{project-a}:Invoice:1' a b
    complains 2 "has a field 'typo'" erase project-a -t typo --yes || return 1
    complains 1 'nothing of .nobody. is in' erase nobody -t Note.team --yes || return 1
    # Of the models that are named, nothing else: Sample's are 2 records, and 5 indexes.
    holds 'it["models"] == ["Episode"] and it["records"] == 5 and it["other_keys"] == 0 and it["other_keys_left"] == 9 and
        it["other_keys_by_kind"] == {"Invoice": 1, "Sample": 7, "myapp": 1} and it["url"] == "unix:'"$work"'/d.sock"' \
        erase project-a --model Episode --yes || return 1
    prints 0 '^2$' query Sample project_id=project-a --count || return 1
    prints 1 '^not erased +9  Sample 7, Invoice 1, myapp 1$' erase project-a --model Episode --yes || return 1
    # Without, all that is the tenant's.
    holds 'it["models"] == ["Episode", "Fact", "Memory", "Note", "Sample"] and it["records"] == 2 and it["other_keys"] == 2 and
        it["other_keys_left"] == 0 and it["other_keys_by_kind"] == {"Invoice": 1, "myapp": 1} and it["left"] == 0' \
        erase project-a -t Note.team --yes || return 1
    [ -z "$(raw d keys '{project-a}*')" ] || return 1
    # Ordinary ones by their only KEY; and with one field for all, the others are named.
    prints 0 '^models +Episode, Fact by project, Memory by project, Note by team, Sample$' \
        erase atlas --yes -t Note.team || return 1
    prints 0 '^0$' query Memory project=atlas --count || return 1
    prints 0 '^26$' query Memory project=borealis --count || return 1
    holds 'it["left_out"] == ["Fact", "Memory"] and it["records"] == 15' erase red -t team --yes
}
check 'erase: what is named, or all that is the tenant.s' whole_tenants
whole_files() {
    local POPOTO_URL=unix:$work/d.sock
    export POPOTO_URL
    rm -rf "$work/exports" && mkdir "$work/exports" || return 1
    "$popoto" export project-b -o "$work/exports/file" || return 1
    cp "$work/exports/file" "$work/backup"
    complains 1 'nothing of .nobody. is in' export nobody -o "$work/exports/file" || return 1
    complains 2 'popoto: .' export '' --model Episode -o "$work/exports/file" || return 1
    raw d hset '{project-b}:Episode:e000' score garbage
    complains 1 'popoto: .' export project-b -o "$work/exports/file" || return 1
    cmp "$work/backup" "$work/exports/file" || return 1
    [ "$(ls "$work/exports")" = file ] || { ls "$work/exports"; return 1; }
    chmod 640 "$work/exports/file" && ln -s file "$work/exports/link" || return 1
    "$popoto" export '{braces}' -o "$work/exports/link" || return 1
    [ -L "$work/exports/link" ] && [ "$(stat -c %a "$work/exports/file")" = 640 ] || return 1
    ! cmp -s "$work/backup" "$work/exports/file" || return 1
    complains 1 'could not be written' export '{braces}' -o /dev/full
}
check 'export: an older file stays until the new one is whole' whole_files

# ----- Names of any bytes --------------------------------------------------------------------------

check 'erase, JSON: a name that is no UTF-8' holds 'it["tenant"] == {"$text": "bGF06Q=="} and it["left"] == 0' \
    erase $'lat\xe9' --model Episode --yes
check 'export, JSON: a file of such a name' holds 'it["records"] == 5 and "$text" in it["output"]' \
    export project-a --model Episode -o "$work/"$'x\xe9'
# harmless ARGUMENTS: nothing that is printed is a control character
harmless() {
    run "$@"
    cat "$work/out" "$work/err"
    ! LC_ALL=C grep -q $'[\x01-\x08\x0b-\x1f\x7f-\xff]' "$work/out" "$work/err" || { echo "not harmless"; return 1; }
}
nobody_writes_to_the_terminal() {
    local word
    for word in $'\e[31mred' $'\xe9' $'\xe2\x80\xaetxt'; do
        harmless "$word" && harmless show "$word" && harmless query "$word" && harmless query Episode "$word=1" &&
            harmless query Episode "$word" && harmless tenants --sort "$word" && harmless import a "$work/$word" &&
            harmless erase "$word" --yes && harmless revoke "$word" --yes && harmless info --models "$work/$word" &&
            harmless info --url "unix:$work/$word" || return 1
    done
}
check 'no word reaches the terminal as it is' nobody_writes_to_the_terminal

# A stream that is closed is not taken for the connection: what is printed there would be commands.
closed_streams() {
    raw a config resetstat >/dev/null
    "$popoto" query Memory --limit 0 --json >&- 2>"$work/err" && return 1
    grep -q 'could not be written' "$work/err" || { cat "$work/err"; return 1; }
    "$popoto" query Memory content__contains=sky --scan >&- 2>&- </dev/null && return 1
    "$popoto" tenants 2>&- >"$work/out" || return 1
    "$popoto" import fresh <&- 2>"$work/err" && return 1
    cat "$work/err"
    ! raw a info errorstats | grep . | grep -v '^# '
}
check 'closed streams: nothing is sent to the server in their place' closed_streams

# ----- Migrations ----------------------------------------------------------------------------------

check 'migrate confidence --dry-run' prints 0 '^20 of 20 would be moved' migrate confidence Fact certainty --dry-run
check 'migrate needs --yes' complains 2 'add --yes' migrate confidence Fact certainty
check 'migrate confidence' holds 'it["total"] == 20 and it["migrated"] == 20 and it["errors"] == []' \
    migrate confidence Fact certainty --yes
check 'the figures are where they belong' ends 0 audit Fact
# Of a strict model, the figures of each tenant.
strict_figures() {
    "$popoto" models Episode --json | sed 's/"name": "certainty"/&, "partition_by": "name"/' >"$work/parted.json"
    holds 'it["total"] > 50 and it["migrated"] == 0 and it["errors"] == [] and len(it["partitions"]) == it["total"] and
        {"name": "{project-a}:e000", "count": 1} in it["partitions"]' \
        migrate confidence Episode certainty --models "$work/parted.json" --dry-run || return 1
    complains 2 'add --yes' migrate confidence Episode certainty --models "$work/parted.json" || return 1
    prints 0 '^([0-9]+) of \1 moved, 0 stay' migrate confidence Episode certainty --models "$work/parted.json" --yes &&
        ends 0 audit Episode --models "$work/parted.json"
}
check 'migrate confidence: a strict model' strict_figures
check 'migrate: a field that is none: 2' complains 2 "no field" migrate confidence Fact nope --yes
check 'migrate: something else: 2' complains 2 'confidence or strict' migrate mountains Fact certainty
check 'migrate strict --dry-run' prints 0 '^15 of 15 would be moved' migrate strict Note team --dry-run
check 'migrate strict' holds 'it["total"] == 15 and it["migrated"] == 15 and it["errors"] == []' migrate strict Note team --yes
check 'the records are strict now' holds 'it == {"count": 15}' query Note team=blue --count
check 'their indexes too' ends 0 audit Note
# Half of a migration: moved by hand what it would have moved last.
half_migrated() {
    raw a sadd '$Class:Note' Note:red:99 && raw a hset Note:red:99 team $'\xa3red' number c rank $'\x05' || return 1
    complains 0 'Note: 1 still in ordinary form: half migrated' info || return 1
    holds '[m["left_behind"] for m in it["models"] if m["model"] == "Note"] == [1]' info || return 1
    prints 1 '^halfway   *records of an ordinary Note are left \(1, in' audit Note || return 1
    ends 0 migrate strict Note team --yes || return 1
    ends 0 audit Note --repair --yes && ends 0 info && ! grep -q half "$work/err"
}
check 'migrate strict: what is half done is named' half_migrated
many_partitions() {
    prints 0 '^\.\.\. and [0-9]+ more \(--json has all\)$' migrate confidence Episode certainty -n --models "$work/parted.json"
}
bit_by_bit() {
    raw a flushall && "$fill" "$url" || return 1
    prints 0 '^12 of 20 would be moved, 0 stay where they are, 8 are still to come: run it again$' \
        migrate confidence Fact certainty -n --limit 12 || return 1
    complains 2 'add --yes' migrate confidence Fact certainty --limit 12 || return 1
    prints 0 '^12 of 20 moved, .* 8 are still to come: run it again$' migrate confidence Fact certainty --limit 12 --yes || return 1
    ! grep -q 'published' "$work/err" || return 1
    holds 'it["migrated"] == 8 and it["remaining"] == 0' migrate confidence Fact certainty --limit 12 --yes || return 1
    grep -q 'published so' "$work/err" && ends 0 audit Fact || return 1
    # Of the tenants of a strict model, all together.
    "$popoto" models Episode --json | sed 's/"name": "certainty"/&, "partition_by": "name"/' >"$work/parted.json"
    holds 'it["migrated"] == 0 and sum(p["count"] for p in it["partitions"]) == 30 and it["remaining"] == it["total"] - 30 > 20' \
        migrate confidence Episode certainty --models "$work/parted.json" --limit 30 -n || return 1
    holds 'it["migrated"] == 30 and it["remaining"] == it["total"] - 30 > 20' \
        migrate confidence Episode certainty --models "$work/parted.json" --limit 30 --yes || return 1
    holds 'it["migrated"] == it["total"] and it["remaining"] == 0' \
        migrate confidence Episode certainty --models "$work/parted.json" --yes || return 1
    ends 0 audit Episode || return 1
    prints 0 '^25 of 30 moved, .* 5 are still to come' migrate strict Note team --limit 25 --yes || return 1
    complains 0 'Note: 5 still in ordinary form' info || return 1
    # Nobody takes half of a tenant for all of it.
    complains 0 'Note: 5 still in ordinary form' query Note team=blue --count || return 1
    complains 0 'Note: 5 still in ordinary form' tenants Note || return 1
    complains 1 '5 records of an ordinary Note are left' export blue --model Note || return 1
    complains 1 '5 records of an ordinary Note are left' erase blue --model Note --yes || return 1
    prints 0 '^5 of 5 moved, 0 stay where they are$' migrate strict Note team --limit 25 --yes && ends 0 audit Note
}
raw a flushall >/dev/null && "$fill" "$url"
check 'migrate confidence: so many partitions' many_partitions
check 'migrate: a bit at a time' bit_by_bit
raw a flushall >/dev/null && "$fill" "$url"
check 'migrate: a field that is no KEY: 2' complains 2 'no KEY' migrate strict Memory content --yes

# What is published follows.
with_a_file() {
    local POPOTO_URL=unix:$work/d.sock
    export POPOTO_URL
    "$popoto" models --json >"$work/models.json" || return 1
    python3 - "$work/models.json" "$work" <<'PYTHON'
import json, sys
models = json.load(open(sys.argv[1]))
for model in models:
    for field in model["fields"]:
        if model["name"] == "Fact" and field["name"] == "certainty":
            field["partition_by"] = "key"
json.dump(models, open(sys.argv[2] + "/by-key.json", "w"))
for model in models:
    for field in model["fields"]:
        if field["name"] == "content":
            field["null"] = True
json.dump(models, open(sys.argv[2] + "/other.json", "w"))
PYTHON
    complains 2 'published here with other fields' migrate confidence Fact certainty --yes -m "$work/other.json" || return 1
    complains 2 'published here with other fields' migrate strict Memory project --yes -m "$work/other.json" || return 1
    complains 0 'Fact has certainty by key now, and published so' migrate confidence Fact certainty --yes -m "$work/by-key.json" ||
        return 1
    prints 0 '^certainty .* by key$' models Fact || return 1
    ends 0 audit Fact || return 1
    complains 0 'Memory is strict by project now, and published so' migrate strict Memory project --yes -m "$work/models.json" ||
        return 1
    prints 0 'Memory +strict, by project' models Memory && ends 0 audit Memory
}
check 'migrate, with a models file: what is published follows, or contradicts' with_a_file
mixed_dialects() {
    local POPOTO_URL=unix:$work/d.sock
    export POPOTO_URL
    "$fill" "$POPOTO_URL" --popoto || return 1
    complains 0 'left out, for their keys are written otherwise: Memory, Note .--dialect popoto' info || return 1
    complains 2 "no model 'Note'; there are: Episode, Fact, Sample" query Note || return 1
    prints 0 '^team +key' models Note --dialect popoto
}
check 'models of two dialects: those of one at a time' mixed_dialects

# ----- Users ---------------------------------------------------------------------------------------

check 'grant needs a password: 2' complains 2 'POPOTO_GRANT_PASSWORD' grant project-a alice
as_alice() {
    POPOTO_GRANT_PASSWORD=wonder/land prints 0 'alice may use tenant project-a' grant project-a alice || return 1
    echo wonder/land >"$work/password"
    "$popoto" query Episode project_id=project-a --count --url "unix://alice@$work/a.sock" \
        --password-file "$work/password" --models "$work/models.json" | grep -qx 5 || return 1
    POPOTO_PASSWORD=wonder/land complains 1 'popoto: .' query Episode project_id=a --count \
        --url "unix://alice@$work/a.sock" --models "$work/models.json" || return 1
    POPOTO_PASSWORD=wonder/land complains 1 'give them with --models' tenants --url "unix://alice@$work/a.sock" ||
        return 1
    POPOTO_PASSWORD=wrong complains 1 'popoto: .' info --url "unix://alice@$work/a.sock"
}
check 'a grant reaches its tenant, and no other' as_alice
# What a tenant's user can do, and what it is told of the rest.
alices_commands() {
    local command alice=unix://alice@$work/a.sock
    export POPOTO_PASSWORD=wonder/land
    prints 0 '^title ' show '{project-a}:Episode:e003' --url "$alice" -m "$work/models.json" || return 1
    prints 0 '"left_out": 0}$' export project-a --url "$alice" -m "$work/models.json" || return 1
    grep -q 'note: left out, for this user reaches strict models alone: Fact, Memory, Note' "$work/err" || return 1
    cp "$work/out" "$work/alice.jsonl"
    prints 0 '^7 records imported$' import project-a "$work/alice.jsonl" --url "$alice" -m "$work/models.json" || return 1
    for command in tenants audit 'erase project-a --yes' info 'migrate strict Note team --yes'; do
        # shellcheck disable=SC2086
        complains 1 "popoto ${command%% *} looks through all keys, which this user may not: it needs the operator's user" \
            $command --url "$alice" -m "$work/models.json" || return 1
        [ "$(grep -vc 'note:' "$work/err")" -eq 1 ] || { echo "more than one sentence"; return 1; }
        ! grep -q '  *0  *0' "$work/out" || { echo "zeros"; return 1; }
    done
    complains 1 'NOPERM' query Episode project_id=project-b --url "$alice" -m "$work/models.json" || return 1
    ! grep -qF "\\" "$work/err"
}
check "a tenant's user: what it can do, and what it is told" alices_commands
unset POPOTO_PASSWORD
granted_by_file() {
    echo secret >"$work/password"
    holds 'it["user"] == "bob" and it["kept"] is True' grant project-a bob --grant-password-file "$work/password"
}
check 'grant: the password of a file' granted_by_file
check 'grant: an open default user is said' eval \
    'POPOTO_GRANT_PASSWORD=x complains 0 "default user of this server needs no password" grant project-a carl'
users_are_named() {
    local POPOTO_GRANT_PASSWORD=sesame
    export POPOTO_GRANT_PASSWORD
    ends 0 grant '{braces}' "o'hara" && ends 0 grant '{braces}' eve && ends 0 grant 'stars*?[x]' dan || return 1
    raw a acl setuser ops on '>opspw' '~*' '+@all' || return 1
    # While something of the tenant is left alone, its users have it.
    raw a set '{%7Bbraces%7D}:other' x && holds 'it["users"] == []' erase '{braces}' --model Sample --yes || return 1
    raw a del '{%7Bbraces%7D}:other'
    complains 0 "^popoto: note: user 'eve' was granted this tenant alone, and stays: popoto revoke eve ends it$" \
        erase '{braces}' -t Note.team --yes || return 1
    grep -qF "popoto revoke 'o'\''hara' ends it" "$work/err" || return 1
    [ "$(grep -c 'was granted' "$work/err")" -eq 2 ] || return 1
    holds 'it["users"] == ["eve", "o\u0027hara"]' erase '{braces}' -t Note.team --yes || return 1
    holds 'it["users"] == []' erase red --model Note -t team --yes || return 1
    # Who may erase, and not ask about users.
    raw a acl setuser cleaner on '>pw' '~*' '+@all' '-acl' || return 1
    POPOTO_PASSWORD=pw complains 1 'note: whether users were granted this tenant is not known: ' \
        erase '{braces}' -t Note.team --yes --url "unix://cleaner@$work/a.sock" || return 1
    raw a acl deluser cleaner ops eve dan "o'hara" && raw a flushall && "$fill" "$url"
}
check 'erase: the users that stay are named' users_are_named
check 'revoke needs --yes' complains 2 'add --yes' revoke alice
check 'revoke' prints 0 'alice is revoked' revoke alice --yes
not_others() {
    local POPOTO_GRANT_PASSWORD=sesame
    export POPOTO_GRANT_PASSWORD
    raw a acl setuser ops on '>opspw' '~*' '+@all' || return 1
    complains 2 "a user 'ops' who is not of tenant 'project-a'" grant project-a ops || return 1
    raw a acl getuser ops | grep -q '+@all' || return 1
    prints 0 'ops may use' grant project-a ops --yes || return 1
    ends 0 grant project-a ops || return 1
    complains 2 "who is not of tenant 'a b c'" grant 'a b c' ops || return 1
    raw a acl setuser root on '>rootpw' '~*' '&*' '+@all' || return 1
    POPOTO_PASSWORD=rootpw complains 2 'the user of this very connection' grant project-a root --yes \
        --url "unix://root@$work/a.sock" || return 1
    complains 0 "tenant 'projekt-a' has no records yet" grant projekt-a ann || return 1
    ends 0 revoke ann --yes && ends 0 revoke ops --yes && raw a acl deluser root
}
check 'grant: no other user is replaced unasked' not_others
not_kept() {
    raw b acl setuser ann on '>x' || return 1
    complains 0 'written in redis.conf, it is back' revoke ann --yes --url "unix:$work/b.sock"
}
check 'revoke: where no users are kept' not_kept
check 'revoke: nobody: 1' complains 1 'popoto: .' revoke alice --yes

# ----- A published model that is broken -----------------------------------------------------------------

one_is_broken() {
    local left="note: left out: the model published as 'Note' cannot be used: "
    "$popoto" models --json >"$work/models.json" && raw a hset '$Popoto:Models' Note nonsense || return 1
    complains 0 "$left" models || return 1
    holds '[m["model"] for m in it["models"]] == ["Episode", "Fact", "Memory", "Sample"]' info || return 1
    complains 0 "$left" query Episode project_id=project-a || return 1
    [ "$(grep -c 'left out: ' "$work/err")" -eq 1 ] || return 1
    complains 1 "$left" audit && complains 0 "$left" export project-a || return 1
    complains 1 '^popoto: Note is published here, and cannot be used: publish it anew, or give it with --models' \
        query Note team=red || return 1
    complains 1 '^popoto: Note is published here' audit Note || return 1
    complains 1 '^popoto: Note is published here' migrate strict Note team --yes || return 1
    complains 2 'models that cannot be used have of this tenant would be left' erase project-b --yes || return 1
    holds 'it["records"] == 2' erase project-a --model Sample --yes || return 1
    holds 'len(it) == 15' query Note team=red -m "$work/models.json" || return 1
    # A migration with a file mends it.
    complains 0 'Note is strict by team now, and published so' migrate strict Note team --yes -m "$work/models.json" || return 1
    prints 0 'Note +strict, by team' models || return 1
    ! grep -q 'left out' "$work/err" || return 1
    # Where all are broken nothing is guessed.
    raw a del '$Popoto:Models' && raw a hset '$Popoto:Models' Note nonsense || return 1
    complains 1 "^popoto: the model published as 'Note' cannot be used" tenants || return 1
    raw a flushall && "$fill" "$url"
}
check 'a published model that cannot be used is left out, and named' one_is_broken

# ----- Without published models --------------------------------------------------------------------

"$shell" -s "$work/b.sock" flushall >/dev/null && "$fill" "unix:$work/b.sock" --silent
check 'models are inferred, and it is said' complains 0 'inferred' models --url "unix:$work/b.sock"
check 'inferred: info' holds 'it["models_from"] == "inferred" and {m["model"] for m in it["models"]} >= {"Episode", "Note"}' \
    info --url "unix:$work/b.sock"
check 'inferred: repairing needs --yes' complains 2 'add --yes' audit --repair --url "unix:$work/b.sock"

"$shell" -s "$work/b.sock" flushall >/dev/null && "$fill" "unix:$work/b.sock" --popoto
check 'the dialect of Popoto' holds 'it["findings"] == [] and [m["records"] for m in it["models"]] == [40, 30]' \
    audit --dialect popoto --url "unix:$work/b.sock"
check 'the dialect of Popoto: its rows' prints 0 '^ *25 +red +75$' query Note team=red number=25 -f number,team,rank \
    --dialect popoto --url "unix:$work/b.sock"
check 'the dialect is that of the published models' holds 'it["findings"] == [] and [m["records"] for m in it["models"]] == [40, 30]' \
    audit --url "unix:$work/b.sock"
check 'another dialect than the models were published in: 2' complains 2 'leave it out' \
    audit --repair --yes --dialect documented --url "unix:$work/b.sock"
of_a_file() {
    "$popoto" models --json --url "unix:$work/b.sock" >"$work/shared.json" || return 1
    holds 'it["dialect"] == "popoto" and it["models"][1]["records"] == 30' info --models "$work/shared.json" \
        --url "unix:$work/b.sock" &&
        complains 2 'leave it out' info --models "$work/shared.json" --dialect documented --url "unix:$work/b.sock"
}
check 'and that of the models of a file' of_a_file

# ----- A cluster, one of whose nodes is gone -------------------------------------------------------

# await_node ANSWER PORT COMMAND...: until it answers the command with a line that begins like this
await_node() {
    local tries wanted=$1
    shift
    for tries in {1..100}; do
        "$shell" -p "$@" 2>&1 | grep "^$wanted" >/dev/null && return
        sleep 0.1
    done
    echo "the node at $1 did not get ready: $tries tries"
    return 1
}

lame_cluster() {
    # The port for clients and the nodes' own, 10000 above it, are below those that the system hands out.
    local base=$((10000 + $$ % 12000)) i pids=() tenant found=0 lost=0
    for i in 0 1 2; do
        mkdir -p "$work/node$i"
        "$server" --port $((base + i)) --bind 127.0.0.1 --cluster-enabled yes --cluster-node-timeout 1000 --save '' \
            --cluster-require-full-coverage no --dir "$work/node$i" >"$work/node$i/log" 2>&1 &
        servers+=($!) pids+=($!)
    done
    for i in 0 1 2; do
        await_node PONG $((base + i)) ping || { cat "$work/node$i/log"; return 1; }
    done
    "$shell" --cluster create 127.0.0.1:$base 127.0.0.1:$((base + 1)) 127.0.0.1:$((base + 2)) --cluster-yes || return 1
    # Nodes that agree on the slots refuse commands for a moment yet.
    for i in 0 1 2; do
        await_node cluster_state:ok $((base + i)) cluster info || return 1
    done
    complains 2 "is a node of a cluster: redis\\+cluster://127.0.0.1:$((base + 1)) asks" query Episode project_id=b -c \
        --url redis://127.0.0.1:$((base + 1)) -m "$work/models.json" || return 1
    for tenant in a b c d e f g h i j; do
        prints 0 '^7 records imported$' import "$tenant" "$work/a.jsonl" --url redis+cluster://127.0.0.1:$base || return 1
    done
    kill "${pids[2]}"
    wait "${pids[2]}"
    sleep 3
    for tenant in a b c d e f g h i j; do
        run query Episode "project_id=$tenant" -c --url redis+cluster://127.0.0.1:$base -m "$work/models.json"
        if [ "$status" -eq 0 ]; then
            grep -qx 5 "$work/out" || return 1
            found=$((found + 1))
        else
            cat "$work/err"
            grep -q 'cannot connect' "$work/err" || return 1
            lost=$((lost + 1))
        fi
    done
    kill "${pids[0]}" "${pids[1]}"
    [ "$found" -gt 0 ] && [ "$lost" -gt 0 ] && [ $((found + lost)) -eq 10 ]
}
check 'a cluster without one of its nodes: the others answer for their tenants' lame_cluster

# ----- The guide ------------------------------------------------------------------------------------

# The ```console blocks of its chapter: what stands behind "$ " is run, and prints what follows. Sizes and
# ages differ from run to run.
guide_keeps_its_word() {
    start c && "$fill" "unix:$work/c.sock" --guide || return 1
    awk '
        /^## / { inside = $0 == "## The popoto command" }
        !inside { next }
        /^```console/ { block = 1; next }
        /^```/ { block = 0 }
        block' "$root/docs/guide.md" >"$work/console"
    grep -q '^\$ popoto ' "$work/console" || { echo "there is no such chapter"; return 1; }
    (
        export POPOTO_URL=unix:$work/c.sock PATH=$build/cli:$PATH POPOTO_GRANT_PASSWORD=secret
        cd "$work" || exit
        grep '^\$ ' "$work/console" | while read -r _ line; do
            printf '$ %s\n' "$line"
            eval "$line" 2>&1 </dev/null
        done
    ) >"$work/printed"
    tame <"$work/console" >"$work/expected"
    tame <"$work/printed" | diff -u "$work/expected" -
}

tame() {
    sed -E -e 's/~?[0-9.,]+ (B|KiB|MiB)/SIZE/' -e 's/[0-9]+ (s|min)$/AGE/' -e 's/^(started|finished|from) .*/\1/' \
        -e 's/  +/  /g'
}
check 'docs/guide.md: what the chapter on the command shows is so' guide_keeps_its_word

# ----- Many tenants, Ctrl-C ------------------------------------------------------------------------

check 'thousands of tenants' "$fill" "$url" --many 2000
check 'tenants: limited' prints 0 '^2,0.. tenants, .* the first 10 are shown' tenants Episode --limit 10
check 'tenants: all where it is piped' prints 0 '^customer-01999 ' tenants Episode
# Rows of 20,000 bytes, far more than what the command may take.
bounded_memory() {
    raw a eval 'local n, long = 0, "\218\78\32" .. string.rep("x", 20000)
        for i = 0, 1999 do
            local key = string.format("{customer-%05d}:Episode:e0", i)
            n = n + redis.call("EXISTS", key)
            redis.call("HSET", key, "title", long)
        end
        return n' 0 | grep -qx 2000 || return 1
    python3 - "$popoto" "$work/out" <<'PYTHON'
import resource, subprocess, sys
for words in ([], ["--json"], ["--limit", "4000"], ["--json", "--limit", "4000", "--offset", "3"]):
    with open(sys.argv[2], "w") as out:
        subprocess.run([sys.argv[1], "query", "Episode", "--all-tenants", *words], stdout=out, check=True)
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(most, "KiB")
sys.exit(most > 30000)
PYTHON
}
check 'query: rows are not held in memory' bounded_memory
# Thousands of lines are laid out in parts, of one width.
in_parts() {
    prints 0 '^5[0-9]{3} rows$' query Episode --all-tenants -f name,score || return 1
    [ "$(grep -c '^name ' "$work/out")" -eq 1 ] || return 1
    [ "$(sed '$d' "$work/out" | awk '{ print length }' | sort -u | wc -l)" -eq 1 ]
}
check 'query: a long table has one header, and columns that stay' in_parts
# An import that waits for its next line.
interrupted() {
    local pid writer
    mkfifo "$work/lines" || return 1
    sleep 60 >"$work/lines" &
    writer=$!
    "$popoto" import fresh "$work/lines" >"$work/out" 2>"$work/err" &
    pid=$!
    sleep 1
    kill -INT $pid
    status=0
    wait $pid || status=$?
    kill $writer
    cat "$work/err"
    [ "$status" -eq 130 ] && grep -q 'stopped' "$work/err"
}
check 'Ctrl-C ends a command between steps' interrupted

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
