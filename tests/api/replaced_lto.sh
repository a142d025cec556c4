#!/bin/bash
# replaced.sh on a library that is built with link-time optimisation, as some distributions build all
# packages. The compiler sees all of the library then, its own definitions of the functions that
# programs replace among it, and makes one function of its constructors.
set -u

directory=$(cd "${srcdir:-$(dirname "$0")}" && pwd)
: "${LIB_CFLAGS:?is not set: run this by make check}"
read -ra cc <<<"${CC:-cc}"
read -ra options <<<"$LIB_CFLAGS"
lib=$directory/../../lib

if "${cc[@]}" --version | grep -q clang; then
    echo "skipped: clang's link-time optimisation is not supported (doc/loading.md)"
    exit 77
fi

build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT

echo 'int main(void) { return 0; }' >"$build/empty.c"
"${cc[@]}" -flto -O2 "$build/empty.c" -o "$build/empty" 2>/dev/null || {
    echo "skipped: the compiler has no link-time optimisation"
    exit 77
}
mapfile -t sources < <(find "$lib" -name '*.c')
"${cc[@]}" "${options[@]}" -O2 -flto -fPIC -DPIC -fexceptions -fasynchronous-unwind-tables -pthread \
    -I"$lib" -I"$directory/../../include" -shared -Wl,-soname,libacre.so.0 \
    -Wl,--version-script="$lib/libacre.map" -Wl,-z,defs -Wl,-z,nodelete "${sources[@]}" \
    -o "$build/libacre.so.0" || exit 1
ln -s libacre.so.0 "$build/libacre.so"
ACRE_LIBRARY=$build/libacre.so REPLACED_STANDARDS=17 bash "$directory/replaced.sh"
