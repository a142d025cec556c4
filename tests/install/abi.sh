#!/bin/bash
# The shared libraries have what the recorded ones had: each symbol, each type that a public header declares
# (packaging/abi/*.abi, by abidw of libabigail). New symbols and enumerators, and what packaging/abi/allowed
# lists, are no fault. A new field is shown, since libabigail cannot tell which may come: doc/abi.md can. make
# check-abi runs this in the build tree, make record-abi with the word "record": then what there is now is
# recorded.
set -uo pipefail
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
records=$here/../../packaging/abi
headers=$here/../../include
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() {
    echo "skipped: $*"
    exit 77
}

command -v abidw >/dev/null || skip "abidw and abidiff are not installed (Debian: abigail-tools)"
[ "$(uname -m)" = x86_64 ] || skip "the records are of x86-64"
[ -z "${ACRE_PREFIX-}" ] || skip "the records are of the library without a prefix"

# What is not declared in a header that is installed is left out, and so are the names of directories.
describe() { # LIBRARY
    abidw --exported-interfaces-only --headers-dir "$headers" --drop-private-types --no-corpus-path --no-comp-dir-path --no-show-locs \
        --no-elf-needed --no-parameter-names --no-write-default-sizes --type-id-style hash "$1" |
        sed "s| path='[^']*/\([^/']*/[^/']*\)'| path='\1'|"
}

status=0
for library in lib/.libs/libacre.so bindings/.libs/libacre-jemalloc.so; do
    name=$(basename "$library" .so)
    file=../../$library
    [ -f "$file" ] || skip "there is no $library"
    readelf -S "$file" | grep -q '\.debug_info' || skip "$library was built without -g"
    describe "$file" >"$work/$name.abi" || exit 1
    if [ "${1-}" = record ]; then
        cp "$work/$name.abi" "$records/$name.abi" || exit 1
        echo "recorded: $records/$name.abi"
        continue
    fi
    if abidiff --no-added-syms --suppressions "$records/allowed" "$records/$name.abi" "$work/$name.abi" \
        >"$work/said"; then
        echo "ok: $name has what $(sed -n "s/.*soname='\([^']*\)'.*/\1/p" "$records/$name.abi") had"
    else
        cat "$work/said" >&2
        echo "FAILED: programs built with the recorded $name may fail with this one, unless doc/abi.md allows this" >&2
        status=1
    fi
done
exit $status
