#!/usr/bin/env bash
# A stranger installs the library and builds a program against it, in each way that the project
# offers: pkg-config (shared and static) and find_package (popoto::popoto and popoto::static).
# Closes with `N passed, N failed`.

# The functions below are called through check.
# shellcheck disable=SC2317

set -u -o pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd) || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
log=$work/log
prefix=$work/prefix
passed=0 failed=0

# check NAME COMMAND...: one test, its output shown only if it fails
check() {
    local name=$1
    shift
    if ("$@") >"$log" 2>&1 </dev/null; then
        passed=$((passed + 1))
        echo "ok    $name"
    else
        failed=$((failed + 1))
        echo "FAIL  $name"
        tail -n 25 "$log" | sed 's/^/      /'
    fi
}

finish() {
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
    exit
}

# The version as the header states it; everything else must agree with it.
version=$(awk '$1 == "#define" && $2 ~ /^POPOTO_VERSION_(MAJOR|MINOR|PATCH)$/ { v = v dot $3; dot = "." }
               END { print v }' "$root/include/popoto.h")

build_and_install() {
    cmake -S "$root" -B "$work/build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DPOPOTO_TESTS=OFF \
        -DPOPOTO_EXAMPLES=OFF -DCMAKE_INSTALL_PREFIX="$work/first" &&
        cmake --build "$work/build" && cmake --install "$work/build" &&
        # All of it may be moved afterwards.
        mv "$work/first" "$prefix"
}

check 'builds and installs' build_and_install
[ "$failed" -eq 0 ] || finish

pc=$(find "$prefix" -name popoto.pc -printf '%h\n' | head -n 1)
libdir=$(dirname "$pc")
export PKG_CONFIG_PATH=$pc${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}

installs_what_it_should() {
    local file
    [ -f "$prefix/include/popoto.h" ] || { echo "include/popoto.h is missing"; return 1; }
    for file in libpopoto.a libpopoto.so "libpopoto.so.$version" pkgconfig/popoto.pc \
        cmake/popoto/popoto-config.cmake cmake/popoto/popoto-config-version.cmake; do
        [ -e "$libdir/$file" ] || { echo "$file is missing"; return 1; }
    done
    # Internal headers stay inside.
    [ "$(find "$prefix" -name '*.h' | wc -l)" -eq 1 ] || { find "$prefix" -name '*.h'; return 1; }
    # Nothing installed remembers where it was built or first installed.
    if grep -rlF -e "$root/src" -e "$work/first" -e "$work/build" "$prefix"; then
        echo "(these files name the directory in which the library was built)"
        return 1
    fi
}

mkdir "$work/program"
cat >"$work/program/main.c" <<'PROGRAM'
#include <popoto.h>
#include <stdio.h>

int main(void) {
    popoto_db *db = popoto_open("redis://127.0.0.1:1/0", NULL);
    popoto_close(db);
    printf("%s\n", popoto_version());
    return 0;
}
PROGRAM
cat >"$work/program/CMakeLists.txt" <<'PROGRAM'
cmake_minimum_required(VERSION 3.18)
project(outside C)
find_package(popoto 0.1 REQUIRED)
add_executable(with_shared main.c)
target_link_libraries(with_shared PRIVATE popoto::popoto)
add_executable(with_static main.c)
target_link_libraries(with_static PRIVATE popoto::static)
PROGRAM

# prints_version PROGRAM
prints_version() {
    local printed
    printed=$("$@") || return 1
    [ "$printed" = "$version" ] || { echo "printed '$printed', not '$version'"; return 1; }
}

# needs_shared PROGRAM: is libpopoto.so one of the libraries it loads?
needs_shared() {
    readelf -d "$1" | grep -q 'NEEDED.*libpopoto\.so'
}

pkg_config_version() {
    local stated
    stated=$(pkg-config --modversion popoto) || return 1
    [ "$stated" = "$version" ] || { echo "popoto.pc says '$stated', not '$version'"; return 1; }
}

pkg_config_shared() {
    # shellcheck disable=SC2046 # words on purpose
    cc -std=c11 -Wall -Wextra -Wpedantic -Werror "$work/program/main.c" -o "$work/shared" \
        $(pkg-config --cflags --libs popoto) || return 1
    needs_shared "$work/shared" || { echo "not linked with libpopoto.so"; return 1; }
    LD_LIBRARY_PATH=$libdir prints_version "$work/shared"
}

pkg_config_static() {
    local flags
    flags=$(pkg-config --static --cflags --libs popoto) || return 1
    # Both libraries are installed: name the archive, as a linker that has only it would find it.
    # shellcheck disable=SC2086 # words on purpose
    cc -std=c11 "$work/program/main.c" -o "$work/static" ${flags/-lpopoto/-l:libpopoto.a} || return 1
    ! needs_shared "$work/static" || { echo "linked with libpopoto.so"; return 1; }
    prints_version "$work/static"
}

cpp_user() {
    local compiler
    compiler=$(command -v c++) || { echo "no C++ compiler"; return 1; }
    cp "$work/program/main.c" "$work/program/main.cpp"
    # shellcheck disable=SC2046 # words on purpose
    "$compiler" -Wall -Wextra -Wpedantic -Werror "$work/program/main.cpp" -o "$work/cpp" \
        $(pkg-config --cflags --libs popoto) || return 1
    LD_LIBRARY_PATH=$libdir prints_version "$work/cpp"
}

find_package_builds() {
    cmake -S "$work/program" -B "$work/program/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" &&
        cmake --build "$work/program/build"
}

find_package_shared() {
    needs_shared "$work/program/build/with_shared" &&
        prints_version "$work/program/build/with_shared"
}

find_package_static() {
    ! needs_shared "$work/program/build/with_static" &&
        prints_version "$work/program/build/with_static"
}

find_package_refuses_other_versions() {
    sed -i 's/popoto 0.1 /popoto 99.0 /' "$work/program/CMakeLists.txt"
    ! cmake -S "$work/program" -B "$work/program/other" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
}

check 'installs header, libraries, pkg-config file and CMake package' installs_what_it_should
check 'pkg-config states the version' pkg_config_version
check 'pkg-config, shared' pkg_config_shared
check 'pkg-config, static' pkg_config_static
check 'pkg-config, from C++' cpp_user
check 'find_package finds it, a program builds' find_package_builds
check 'find_package, shared' find_package_shared
check 'find_package, static' find_package_static
check 'find_package refuses a version that is not installed' find_package_refuses_other_versions
finish
