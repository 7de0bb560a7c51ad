#!/usr/bin/env bash
# The examples do what they say: each is built as a newcomer would build it, run, and looked at.
# Needs POPOTO_BUILD_DIR, where the library was built. Closes with `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=${POPOTO_BUILD_DIR:-$root/build/test}
examples=$build/examples
work=$(mktemp -d) || exit 1
server=''
tidy_up() {
    # Not in a child that is killed before it became another program.
    [ "$BASHPID" = $$ ] || return
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait
    rm -rf "$work"
}
trap tidy_up EXIT
answer=$work/answer # of the last request
export XDG_DATA_HOME=$work/data
unset NO_COLOR
passed=0 failed=0

# check NAME COMMAND...: one test, its output shown only if it fails. Runs in this shell, so that a
# command can leave something for the next.
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

# expect FILE TEXT...: does the file contain each of these?
expect() {
    local file=$1 text
    shift
    for text in "$@"; do
        grep -qF -e "$text" "$file" || { echo "'$text' is missing in:"; cat "$file"; return 1; }
    done
}

# run_for STATUS COMMAND...: runs it, its output in $work/out and $work/err
run_for() {
    local expected=$1 status=0
    shift
    timeout 60 "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
    [ "$status" -eq "$expected" ] || {
        echo "ended with status $status, not $expected:"
        cat "$work/out" "$work/err"
        return 1
    }
}

# ----- Building ------------------------------------------------------------------------------------

# `./run test examples` builds the library alone; where all was built, there is nothing to do.
build_examples() {
    local source name targets=()
    for source in "$root"/examples/*.c; do
        name=$(basename "$source" .c)
        [ "$name" = http_server ] && ! pkg-config --exists libmicrohttpd && continue
        targets+=("example_$name")
    done
    (
        if command -v flock >/dev/null; then flock 9; fi
        cmake --build "$build" --target "${targets[@]}"
    ) 9>"$build/lock"
}

# compiles NAME [LIBRARIES]: as it stands, with the warnings that the project promises not to cause
compiles() {
    local name=$1
    shift
    cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror -I "$root/include" \
        "$root/examples/$name.c" -o "$work/$name" -L "$build" -lpopoto "-Wl,-rpath,$build" -pthread "$@"
}

check 'the examples build' build_examples
[ "$failed" -eq 0 ] || finish
for name in first demo agent_memory migrate; do
    check "$name.c compiles by itself without a warning" compiles "$name"
done

# ----- first ---------------------------------------------------------------------------------------

first_prints() {
    run_for 0 "$examples/first" || return 1
    printf '%s\n' 'project-a  First meeting  0.8' 'project-a  Follow-up      0.6' |
        diff -u - "$work/out"
}

first_keeps() {
    run_for 0 "$examples/first" || return 1
    [ "$(grep -c 'First meeting' "$work/out")" -eq 2 ] || { cat "$work/out"; return 1; }
}

no_server() {
    run_for 1 env PATH=/nowhere "$examples/first" || return 1
    expect "$work/err" POPOTO_CANNOT_CONNECT redis-server
}

check 'first: prints the two episodes of project-a, the best first' first_prints
check 'first: what it stored is still there the next time' first_keeps
check 'first: without a server to start, it says what to install' no_server

# ----- demo ----------------------------------------------------------------------------------------

demo_holds() {
    local start=$SECONDS
    run_for 0 "$examples/demo" || return 1
    [ $((SECONDS - start)) -le 10 ] || { echo "took $((SECONDS - start)) s"; return 1; }
    cp "$work/out" "$work/demo"
    ! grep -F 'DOES NOT HOLD' "$work/demo" || return 1
    grep -qE '^[0-9]+ claims hold, 0 do not\.$' "$work/demo" || { tail -n 3 "$work/demo"; return 1; }
    [ ! -s "$work/err" ] || { cat "$work/err"; return 1; }
}

# The specification's headings, in its order.
demo_is_complete() {
    local heading number=0
    while read -r heading; do
        number=$((number + 1))
        grep -qF "$number  $heading " "$work/demo" || { echo "no section '$heading'"; return 1; }
    done <<'HEADINGS'
The Pattern: Use a KeyField
What gets isolated
Combine with partition_by for sorted queries
Passing the namespace through your application
Hash-based field partitioning (ConfidenceField)
Partition key changes
Migrating existing data
Verifying tenant isolation
Filtered reads without partitioning
When to use separate Redis databases instead
Summary
HEADINGS
}

demo_shows_keys() {
    # shellcheck disable=SC2016 # dollars of keys
    expect "$work/demo" 'set   $KeyF:Episode:project_id:project-a' 'set   $Class:Episode' \
        'zset  $SortedF:Episode:score:project-a' 'hash  $ConfidencF:Memory:certainty:data:atlas' \
        'hash  $ConfidencF:Memory:certainty:data:hermes' 'hash  Episode:project-a:' \
        'total 1200, migrated 0, errors 0, partitions: atlas 800 hermes 400'
}

demo_is_narrow() {
    ! awk 'length > 80' "$work/demo" | grep . || { echo "(these lines are longer than 80)"; return 1; }
}

demo_is_plain() {
    ! grep -n $'\e' "$work/demo" || { echo "(escape codes, though piped)"; return 1; }
}

demo_leaves_nothing() {
    local folder
    folder=$(sed -n 's,^\(/tmp/popoto-demo-[^.]*\)\.$,\1,p' "$work/demo")
    [ -n "$folder" ] || { echo "it names no folder"; return 1; }
    [ ! -e "$folder" ] || { ls -la "$folder"; return 1; }
}

demo_section() {
    run_for 0 "$examples/demo" 3 || return 1
    expect "$work/out" '3  Combine with partition_by' || return 1
    ! grep -F '4  Passing' "$work/out"
}

tenants_hold() {
    run_for 0 "$examples/demo" tenants || return 1
    cp "$work/out" "$work/tenants"
    ! grep -F 'DOES NOT HOLD' "$work/tenants" || return 1
    grep -qE '^[0-9]+ claims hold, 0 do not\.$' "$work/tenants" || { tail -n 3 "$work/tenants"; return 1; }
    [ ! -s "$work/err" ] || { cat "$work/err"; return 1; }
    # shellcheck disable=SC2016 # dollars of keys
    expect "$work/tenants" 'set   {project-a}:$Class:Episode' 'hash  {project-a}:Episode:1' \
        'Episode belongs to tenants' POPOTO_BAD_VALUE POPOTO_DENIED 'HGET {project-b}:Episode:1 title' \
        NOPERM
}

tenants_are_tidy() {
    ! awk 'length > 80' "$work/tenants" | grep . || { echo "(these lines are longer than 80)"; return 1; }
    ! grep -n $'\e' "$work/tenants" || { echo "(escape codes, though piped)"; return 1; }
    run_for 0 "$examples/demo" tenants 2 && expect "$work/out" '2  Forgetting the tenant' || return 1
    ! grep -F '3  Enforced' "$work/out" || return 1
    run_for 2 "$examples/demo" tenants 99 && expect "$work/err" 'demo tenants'
}

demo_refuses() {
    run_for 2 "$examples/demo" 99 && expect "$work/err" 'usage: demo' && run_for 0 "$examples/demo" --help
}

demo_without_server() {
    run_for 1 env PATH=/nowhere "$examples/demo" && expect "$work/err" redis-server
}

demo_cut_short() {
    "$examples/demo" >"$work/out" 2>&1 &
    local pid=$! status=0 folder try
    for try in $(seq 200); do
        [ ! -s "$work/out" ] || break
        sleep 0.01
    done
    echo "(after $try looks)"
    kill -TERM "$pid" 2>/dev/null
    wait "$pid" || status=$?
    folder=$(sed -n 's,^\(/tmp/popoto-demo-[^.]*\)\.$,\1,p' "$work/out")
    [ -n "$folder" ] || { echo "it names no folder"; return 1; }
    [ ! -e "$folder" ] || { echo "left $folder behind"; return 1; }
    [ "$status" -eq 0 ] || [ "$status" -gt 128 ] || { echo "ended with status $status"; return 1; }
}

# colours WANTED [NAME=VALUE...]: how the demo prints on a terminal, in this environment
colours() {
    local wanted=$1 found=no
    shift
    env "$@" script -qec "$examples/demo 1" /dev/null </dev/null >"$work/out" || return 1
    expect "$work/out" ' claims hold, 0 do not.' || return 1
    ! grep -q $'\e' "$work/out" || found=yes
    [ "$found" = "$wanted" ] || { cat -v "$work/out"; return 1; }
}

check 'demo: every claim holds' demo_holds
check 'demo: plays every section of the specification, in order' demo_is_complete
check 'demo: prints the very keys that the specification prints' demo_shows_keys
check 'demo: no line is longer than 80 columns' demo_is_narrow
check 'demo: no escape codes when piped' demo_is_plain
check 'demo: leaves nothing behind' demo_leaves_nothing
check 'demo: plays one section alone' demo_section
check 'demo: refuses a section that there is not' demo_refuses
check 'demo tenants: every claim holds, with a leak that the library and one that the server refuses' tenants_hold
check 'demo tenants: fits 80 columns, plays one section alone' tenants_are_tidy
check 'demo: without a server to start, fails and says what to install' demo_without_server
check 'demo: interrupted, it tidies up' demo_cut_short
if command -v script >/dev/null; then
    check 'demo: colours on a terminal' colours yes TERM=xterm
    check 'demo: no colours with NO_COLOR' colours no TERM=xterm NO_COLOR=1
    check 'demo: no colours on a dumb terminal' colours no TERM=dumb
fi

# ----- agent_memory --------------------------------------------------------------------------------

memory_recalls() {
    run_for 0 "$examples/agent_memory" || return 1
    expect "$work/out" 'learned      deploy' '  0.800  +2 -0  Deployments go out on Tuesdays' \
        '  0.600  +1 -0  The team indents' || return 1
    # What another agent knows is not its own.
    [ "$(tail -n 1 "$work/out")" = 'hermes trusts most:' ] || { cat "$work/out"; return 1; }
}

memory_remembers() {
    run_for 0 "$examples/agent_memory" "embedded:$work/memory" &&
        expect "$work/out" 'learned      deploy' &&
        run_for 0 "$examples/agent_memory" "embedded:$work/memory" &&
        expect "$work/out" 'corroborated deploy         0.800 after 3 observations' || return 1
    ! grep -F learned "$work/out"
}

memory_reports() {
    run_for 1 "$examples/agent_memory" 'unix:/nowhere/socket' && expect "$work/err" POPOTO_CANNOT_CONNECT &&
        run_for 1 "$examples/agent_memory" 'nonsense' && expect "$work/err" POPOTO_BAD_URL
}

check 'agent_memory: recalls what it trusts most' memory_recalls
check 'agent_memory: remembers between runs' memory_remembers
check 'agent_memory: reports what is wrong, with the status' memory_reports

# ----- migrate -------------------------------------------------------------------------------------

migrate_dry() {
    run_for 0 "$examples/migrate" --dry-run || return 1
    expect "$work/out" '20000 entries, 0 migrated (dry run)' 'atlas                6667'
}

migrate_real() {
    run_for 0 "$examples/migrate" || return 1
    expect "$work/out" '20000 entries, 20000 migrated' 'hermes               6667' || return 1
    [ ! -s "$work/err" ] || { echo "a bar, though no terminal:"; cat "$work/err"; return 1; }
}

migrate_nothing() {
    run_for 0 "$examples/migrate" "embedded:$work/empty" && expect "$work/out" '0 entries, 0 migrated'
}

migrate_bar() {
    script -qec "$examples/migrate" /dev/null </dev/null | tr '\r' '\n' >"$work/bar"
    expect "$work/bar" '[##############################]   20000/20000' '/s' 'left' || return 1
    ! awk 'length > 80' "$work/bar" | grep .
}

migrate_usage() {
    run_for 2 "$examples/migrate" --wrong && expect "$work/err" 'usage: migrate'
}

check 'migrate: a dry run counts and moves nothing' migrate_dry
check 'migrate: moves all, without a bar where there is no terminal' migrate_real
check 'migrate: nothing to migrate is no failure' migrate_nothing
if command -v script >/dev/null; then
    check 'migrate: a bar on a terminal' migrate_bar
fi
check 'migrate: refuses what it does not understand' migrate_usage

# ----- http_server ---------------------------------------------------------------------------------

server_starts() {
    "$examples/http_server" 0 >"$work/server" 2>&1 &
    server=$!
    local try
    for try in $(seq 100); do
        port=$(sed -n 's,^Listening on http://127\.0\.0\.1:\([0-9]*\) .*,\1,p' "$work/server")
        [ -z "$port" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    echo "no port after $try tries"
    cat "$work/server"
    return 1
}

# ask METHOD PATH [PROJECT]: the answer's status and body, by hand, for curl need not be there
ask() {
    exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
    printf '%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n' \
        "$1" "$2" "${3:+X-Project: $3$'\r\n'}" >&3
    tr -d '\r' <&3 | sed -e '1s/^HTTP[^ ]* //' -e '2,/^$/d' >"$answer"
    exec 3>&-
}

answers() {
    local code=$1
    shift
    grep -q "^$code " "$answer" || { echo "not $code:"; cat "$answer"; return 1; }
    expect "$answer" "$@"
}

server_creates() {
    ask POST '/episodes?title=First%20meeting&score=0.8' project-a &&
        answers 201 '"title": "First meeting"' '"score": 0.8' &&
        ask POST '/episodes?title=Say%20%22hi%22&score=0.3' project-a && answers 201 'Say \"hi\"' &&
        ask POST '/episodes?title=Kickoff&score=0.9' project-b && answers 201 Kickoff
}

server_lists() {
    ask GET '/episodes' project-a && answers 200 'First meeting' 'Say \"hi\"' || return 1
    ask GET '/episodes?min_score=0.5' project-a && answers 200 'First meeting' || return 1
    ! grep -F 'Say' "$answer"
}

each_sees_its_own() {
    local answer=$work/answer.$1
    ask GET /episodes project-b && answers 200 Kickoff || return 1
    ! grep -F -e 'First meeting' -e 'Say' "$answer" || return 1
    ask GET /episodes project-a && answers 200 'First meeting' || return 1
    ! grep -F Kickoff "$answer"
}

# Many requests at once, so that every thread of the server works for both projects.
server_isolates() {
    local i jobs=()
    for i in $(seq 40); do
        each_sees_its_own "$i" &
        jobs+=($!)
    done
    for i in "${jobs[@]}"; do
        wait "$i" || return 1
    done
}

server_refuses() {
    ask GET /episodes && answers 400 'X-Project' && ask POST '/episodes?title=x&score=1' &&
        answers 400 'X-Project' && ask GET /other project-a && answers 404 error &&
        ask DELETE /episodes project-a && answers 405 error &&
        ask POST '/episodes?score=1' project-a && answers 400 title &&
        ask POST '/episodes?title=x&score=nan' project-a && answers 400 score &&
        # A refusal leaves the scope, too: the next one is another project's.
        ask GET /episodes project-b && answers 200 Kickoff
}

# The lines that it prints are there to be copied.
server_curl() {
    grep -A 1 '^  curl' "$work/server" | grep -v '^--' >"$work/curl.sh"
    sed -i 's/curl /curl -sS --fail-with-body --max-time 10 /' "$work/curl.sh"
    bash -e "$work/curl.sh" >"$work/curl" || { cat "$work/curl"; return 1; }
    expect "$work/curl" 'First meeting' Kickoff
}

server_is_local() {
    local addresses
    addresses=$(ss -Hltn "sport = :$port" | awk '{ print $4 }') || return 1
    [ "$addresses" = "127.0.0.1:$port" ] || { echo "listens on $addresses"; return 1; }
}

server_stops() {
    local status=0
    kill -TERM "$server"
    wait "$server" || status=$?
    server=''
    [ "$status" -eq 0 ] || { echo "ended with status $status"; return 1; }
    expect "$work/server" 'Stopped.'
}

if [ -x "$examples/http_server" ]; then
    check 'http_server.c compiles by itself without a warning' compiles http_server -lmicrohttpd
    check 'http_server: starts on a free port' server_starts
    if [ -n "$server" ]; then
        check 'http_server: creates episodes' server_creates
        check 'http_server: lists a project, the best first' server_lists
        check 'http_server: one project never sees the rows of another' server_isolates
        check 'http_server: refuses requests without the header, and nonsense' server_refuses
        if command -v curl >/dev/null; then
            check 'http_server: the curl lines that it prints work' server_curl
        fi
        if command -v ss >/dev/null; then
            check 'http_server: listens on 127.0.0.1 alone' server_is_local
        fi
        check 'http_server: stops on SIGTERM, with status 0' server_stops
    fi
else
    echo 'skip  http_server: libmicrohttpd is not installed'
fi

finish
