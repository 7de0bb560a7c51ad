#!/usr/bin/env bash
# The documentation keeps its word.
#
# README.md: its first ```c block with a main() is examples/first.c, compiles as it stands without a
# warning, and prints what the next ```text block says. So it does as README.md tells to build it against
# the installed library: with its cc line and with its ```cmake block.
#
# docs/guide.md and docs/keys.md: every ```c block is compiled and run, and what it prints is compared.
# A chapter ("## ...") is one program. A block that begins with a definition (typedef, static, #...)
# stands at file scope, also in all later chapters; the others are the body of a function, in a row,
# with a `popoto_db *db` on an empty server. What the chapter prints is what its ```text blocks say, put
# one after the other.
#
# All three: links lead somewhere.
#
# Needs POPOTO_BUILD_DIR, where the library was built. Closes with `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
build=${POPOTO_BUILD_DIR:-$root/build/test}
readme=$root/README.md
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
# Where "embedded:" keeps its data: each run begins with none.
export XDG_DATA_HOME=$work/data
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

compile() {
    cc -std=c11 -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror "${@:3}" -I "$root/include" \
        "$1" -o "$2" -L "$build" -lpopoto "-Wl,-rpath,$build"
}

# run PROGRAM EXPECTED NAME: ends with 0 and prints what the file EXPECTED says
run() {
    local status=0
    timeout 60 "$1" >"$work/printed" || status=$?
    [ "$status" -eq 0 ] || { echo "ended with status $status"; cat "$work/printed"; return 1; }
    diff -u --label "as in $3" "$2" --label 'as printed' "$work/printed"
}

# ----- README.md -----------------------------------------------------------------------------------

# Writes program.c and expected.txt.
extract_program() {
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

is_first_example() {
    sed -n '/^#include/,$p' "$root/examples/first.c" |
        diff -u --label examples/first.c - --label 'as in README.md' "$work/program.c"
}

# Every command ./run VERB that a page names is one.
names_commands() {
    local verb
    while read -r verb; do
        # (No grep -q: it would end before ./run has said all.)
        NO_COLOR=1 "$root/run" help | grep -E "^ +\./run $verb( |$)" >"$work/verb" || {
            echo "./run has no command $verb"
            return 1
        }
    done < <(grep -oh '\./run [a-z]*' "$@" | awk '{ print $2 }' | sort -u)
}

# links FILE...: every relative link leads to a file, every #anchor to a heading
links() {
    local file target path anchor
    for file in "$@"; do
        # Targets of [text](target).
        while read -r target; do
            path=${target%%#*} anchor=
            [ "$path" = "$target" ] || anchor=${target#*#}
            case $path in
            http*) continue ;;
            '') path=$file ;;
            *) path=$(dirname "$file")/$path ;;
            esac
            [ -e "$path" ] || { echo "$file: $target leads nowhere"; return 1; }
            [ -z "$anchor" ] || sed -n 's/^#* //p' "$path" | tr '[:upper:] ' '[:lower:]-' |
                tr -cd '[:alnum:]_\n-' | grep -x -e "$anchor" >"$work/anchor" || {
                echo "$file: $target: no such heading"
                return 1
            }
        done < <(awk '/^```/ { code = !code } !code' "$file" | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//')
    done
}

check 'README.md has a program and its output' extract_program
if [ "$failed" -eq 0 ]; then
    check 'its program is examples/first.c' is_first_example
    check 'its program compiles without a warning' compile "$work/program.c" "$work/program"
    check 'its program prints what it says' run "$work/program" "$work/expected.txt" README.md
fi
# The library where README.md installs it, but for the prefix.
install_library() {
    cmake --install "$build" --prefix "$work/prefix" || return 1
    mkdir -p "$work/first" && cp "$work/program.c" "$work/first/first.c" || return 1
    libraries=$(dirname "$(find "$work/prefix" -name 'libpopoto.so' | head -n 1)")
    export PKG_CONFIG_PATH=$libraries/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}
    export CMAKE_PREFIX_PATH=$work/prefix
}

built_with_pkg_config() {
    grep '^cc .*pkg-config' "$readme" >"$work/first/cc.sh" || { echo "there is no cc line"; return 1; }
    (cd "$work/first" && bash -e cc.sh) || return 1
    rm -rf "$XDG_DATA_HOME"
    LD_LIBRARY_PATH=$libraries run "$work/first/first" "$work/expected.txt" README.md
}

built_with_cmake() {
    awk '/^```/ { inside = $0 == "```cmake"; next } inside' "$readme" >"$work/first/CMakeLists.txt"
    cmake -S "$work/first" -B "$work/first/build" -G Ninja && cmake --build "$work/first/build" || return 1
    rm -rf "$XDG_DATA_HOME"
    run "$work/first/build/first" "$work/expected.txt" README.md
}

if [ "$failed" -eq 0 ]; then
    check 'the library installs' install_library
    check 'its program builds with its cc line, and runs' built_with_pkg_config
    check 'its program builds with its CMake lines, and runs' built_with_cmake
fi
check 'README.md names only commands that ./run has' names_commands "$readme"
check 'the links of README.md lead somewhere' links "$readme"

# ----- The guide and the key layout ----------------------------------------------------------------

# split_page FILE NAME: the chapters of FILE as $work/NAME/NN.c, NN.text and NN.title
split_page() {
    mkdir -p "$work/$2"
    awk -v out="$work/$2" -v page="docs/$2.md" '
        function close_chapter(  base) {
            if (body != "" || expected != "") {
                base = sprintf("%s/%02d", out, number)
                printf "#include <popoto.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n" \
                       "%s\nstatic void chapter(popoto_db *db) {\n%s}\n\n" \
                       "int main(void) {\n" \
                       "    popoto_db *db = popoto_open(getenv(\"GUIDE_SERVER\"), NULL);\n" \
                       "    chapter(db);\n    popoto_close(db);\n    return 0;\n}\n", \
                       definitions, body >(base ".c")
                printf "%s", expected >(base ".text")
                print title >(base ".title")
            }
            body = ""; expected = ""
        }
        /^```/ && !inside { inside = 1; kind = substr($0, 4); text = ""; first = ""; start = NR; next }
        /^```/ {
            inside = 0
            line = "#line " (start + 1) " \"" page "\"\n"
            if (kind == "c" && first ~ /^(typedef|static|#)/)
                definitions = definitions line text
            else if (kind == "c")
                body = body line text
            else if (kind == "text")
                expected = expected text
            next
        }
        inside {
            text = text $0 "\n"
            if (first == "" && $0 !~ /^(\/\*|  *\*|$)/)
                first = $0
            next
        }
        /^## / { close_chapter(); number++; title = substr($0, 4) }
        END { close_chapter() }' "$1"
    [ -n "$(ls "$work/$2")" ]
}

# chapter BASE NAME
chapter() {
    compile "$1.c" "$1.program" -Wno-unused &&
        GUIDE_SERVER=embedded:$1.server run "$1.program" "$1.text" "docs/$2.md"
}

for name in guide keys; do
    page=$root/docs/$name.md
    [ -f "$page" ] || continue
    check "docs/$name.md has code" split_page "$page" "$name"
    for base in "$work/$name"/*.c; do
        [ -f "$base" ] || continue
        base=${base%.c}
        check "docs/$name.md: $(cat "$base.title"): compiles, and prints what it says" \
            chapter "$base" "$name"
    done
    check "docs/$name.md names only commands that ./run has" names_commands "$page"
    check "the links of docs/$name.md lead somewhere" links "$page"
done

finish
