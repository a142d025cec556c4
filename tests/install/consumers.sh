#!/bin/bash
# What make install has installed works: programs in C and C++ that find the library by pkg-config, by
# CMake and by Meson, shared and static, with and without link-time optimisation; a program on which
# it is preloaded.
# make installcheck [DESTDIR=DIRECTORY] runs this, after make install with the same DESTDIR.
#
# prefix, bindir, libdir, includedir and pkgconfigdir are as configured; ACRE_SHARED and ACRE_STATIC
# say which libraries are to be there; ACRE_PREFIX is the argument of --with-prefix, if there was one;
# CC and CXX are the compilers. ACRE_WHOLE may name a libacre.so without a prefix.
set -u
: "${bindir:?is not set: run this by make installcheck}"
root=${DESTDIR-}
source_directory=$(cd "${srcdir:-$(dirname "$0")}" && pwd)
. "$source_directory/../api/shell.sh"
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"
version=$(sed -n 's/^#define ACRE_VERSION_STRING "\(.*\)"$/\1/p' "$root$includedir/acre/acre.h")
consumer=$source_directory/consumer.c
[ -z "$ACRE_PREFIX" ] || consumer=$source_directory/prefixed.c
kind= # of library and program: words for messages
runs=0
cd "$directory" || exit 1

export LD_LIBRARY_PATH=$root$libdir
if [ -n "$root" ]; then
    export PKG_CONFIG_SYSROOT_DIR=$root PKG_CONFIG_LIBDIR=$root$pkgconfigdir
else
    export PKG_CONFIG_PATH=$pkgconfigdir
fi

# try COMMAND...: false, and a fault, if it fails; its output is in the file `output`.
try() {
    "$@" >output 2>&1 && return
    fail "$kind: $*"
    cat output >&2
    return 1
}

# Tries a consumer, which says the version of the library.
try_consumer() { # PROGRAM [ARGUMENT...]
    try "$@" || return
    runs=$((runs + 1))
    [ "$(cat output)" = "acre $version" ] || fail "$kind: it says \"$(cat output)\""
}

# True if the program PROGRAM needs libacre.so.
needs_library() { LC_ALL=C readelf -d "$1" | grep -q 'NEEDED.*libacre'; }

# Compiles, links and runs $consumer in C and in C++.
try_languages() { # shared|static FLAGS-OF-PKG-CONFIG [OPTION...]
    local linkage=$1 language flags
    read -ra flags <<<"$2"
    shift 2
    for language in c c++; do
        local compiler=("${cc[@]}")
        [ "$language" = c ] || compiler=("${cxx[@]}")
        kind="$linkage, $language $*"
        rm -f consumer
        try "${compiler[@]}" -O2 -Wall -Wextra -Werror "$@" -x "$language" \
            "$consumer" -x none "${flags[@]}" -o consumer || continue
        if needs_library consumer; then
            [ "$linkage" = shared ] || fail "$kind: it needs libacre.so"
        else
            [ "$linkage" = static ] || fail "$kind: it does not need libacre.so"
        fi
        try_consumer ./consumer
    done
}

# True if the compilers can build such a program without acre.
can_build() { # OPTION...
    echo 'int main(void) { return 0; }' >empty.c
    "${cc[@]}" "$@" empty.c -o empty 2>/dev/null &&
        "${cxx[@]}" "$@" -x c++ empty.c -o empty 2>/dev/null
}

if [ "$(pkg-config --modversion acre)" != "${version:-none}" ]; then
    fail "pkg-config and acre.h do not have the same version"
fi
shared_flags=$(pkg-config --cflags --libs acre)
static_flags=$(pkg-config --cflags --libs --static acre)

if [ "$ACRE_SHARED" = yes ]; then
    try_languages shared "$shared_flags"
    if can_build -flto; then
        try_languages shared "$shared_flags" -flto
    else
        skip "link-time optimisation: the compiler cannot"
    fi
elif ls "$root$libdir"/libacre.so* >/dev/null 2>&1; then
    fail "there is a shared library, which was not configured"
fi

archive=$root$libdir/libacre.a
if [ "$ACRE_STATIC" = yes ]; then
    # in programs that are linked with the shared libc, then in those that are not
    for linkage in "" -static; do
        for optimisation in "" -flto; do
            # shellcheck disable=SC2086  # none, or one
            if can_build $linkage $optimisation; then
                try_languages static "${static_flags/-lacre/$archive}" $linkage $optimisation
            else
                skip "archive $linkage $optimisation: the compiler cannot"
            fi
        done
    done
elif [ -f "$archive" ]; then
    fail "there is an archive, which was not configured"
fi

# jemalloc's calls
if [ -z "$ACRE_PREFIX" ]; then
    consumer=$source_directory/jemalloc.c
    [ "$ACRE_SHARED" != yes ] || try_languages shared "$(pkg-config --cflags --libs acre-jemalloc)"
    if [ "$ACRE_STATIC" = yes ]; then
        flags=$(pkg-config --cflags --libs --static acre-jemalloc)
        flags=${flags/-lacre-jemalloc/${archive%.a}-jemalloc.a}
        try_languages static "${flags/-lacre/$archive}"
    fi
    consumer=$source_directory/consumer.c
elif ls "$root$libdir"/libacre-jemalloc* >/dev/null 2>&1; then
    fail "there is a library with jemalloc's calls, in the names of which there is no prefix"
fi

# A program that calls malloc only through libc is on acre all the same, also where the linker drops what
# the program does not call.
try_copies() { # KIND PROGRAM
    [ -z "$ACRE_PREFIX" ] || return 0 # its malloc is not called so
    kind="$1, no call of malloc"
    ACRE_OPTIONS=stats:exit try "$2" || return
    runs=$((runs + 1))
    grep -q 'live TINY and SMALL  *1000 ' output || fail "$kind: acre does not count the 1000 blocks"
}
copies=$source_directory/copies.c
if [ -z "$ACRE_PREFIX" ]; then
    read -ra flags <<<"$shared_flags"
    if [ "$ACRE_SHARED" = yes ] && try "${cc[@]}" -O2 -Wl,--as-needed "$copies" "${flags[@]}" -o copies; then
        try_copies shared ./copies
    fi
    read -ra flags <<<"${static_flags/-lacre/$archive}"
    if [ "$ACRE_STATIC" = yes ] && try "${cc[@]}" -O2 -Wl,--as-needed "$copies" "${flags[@]}" -o copies; then
        try_copies static ./copies
    fi
fi

if [ "$ACRE_SHARED" = yes ] && [ -z "$ACRE_PREFIX" ]; then
    kind=preloaded
    if try "${cc[@]}" -O2 "$source_directory/plain.c" -o plain; then
        for command in "env LD_PRELOAD=$root$libdir/libacre.so ACRE_OPTIONS=stats:exit" \
            "$root$bindir/acre-run --stats"; do
            # shellcheck disable=SC2086  # a command and its arguments
            try $command ./plain || continue
            runs=$((runs + 1))
            grep -q '^acre .* plain\[' output || fail "$command: there are no statistics"
            grep -q 'live TINY and SMALL  *1000 ' output ||
                fail "$command: the statistics do not count the 1000 blocks"
        done
    fi
fi

# A prefixed acre beside a whole one, which serves malloc and free.
if [ -n "$ACRE_PREFIX" ] && [ "$ACRE_SHARED" = yes ]; then
    kind="prefixed beside a whole acre"
    if [ -z "${ACRE_WHOLE-}" ]; then
        skip "$kind: there is none"
    else
        read -ra flags <<<"$shared_flags"
        try "${cc[@]}" "$consumer" "${flags[@]}" -o both && try_consumer env LD_PRELOAD="$ACRE_WHOLE" ./both
    fi
fi

# ---- CMake and Meson ----

# Runs what a build has made: consumers, and nothing else is executable there but copies.
try_consumers() { # NUMBER DIRECTORY
    local program number=0
    for program in "$2"/*; do
        [ -f "$program" ] && [ -x "$program" ] && [[ $program != */copies* ]] || continue
        number=$((number + 1))
        try_consumer "$program"
    done
    [ "$number" -eq "$1" ] || fail "$kind: $number programs were built instead of $1"
}

libraries=()
[ "$ACRE_SHARED" != yes ] || libraries+=(shared)
[ "$ACRE_STATIC" != yes ] || libraries+=(static)
IFS=. read -r major minor patch <<<"$version"
good="$major.$minor"
bad="$major.$minor.$((patch + 1));$major.$((minor + 1));$((major + 1)).0"
[ "$major" -ne 0 ] || bad="$bad;0.$((minor - 1))"

# Finds the library below PREFIX, which may be another than the configured one.
try_cmake() { # PREFIX
    rm -rf build
    try cmake -S "$source_directory" -B build "-DCMAKE_C_COMPILER=${cc[0]}" \
        "-DCMAKE_CXX_COMPILER=${cxx[0]}" -DCMAKE_BUILD_TYPE=Release "-DVERSION=$version" \
        "-DGOOD=$good" "-DBAD=$bad" "-DLIBRARIES=$(IFS=';' && echo "${libraries[*]}")" \
        "-DCMAKE_PREFIX_PATH=$1" "-DCONSUMER=$consumer" "-DCOPIES=$copies" &&
        try cmake --build build && try_consumers $((2 * ${#libraries[@]} + 2)) build || return
    for library in acre "${libraries[@]}"; do
        try_copies "CMake, acre::$library" "build/copies-$library"
    done
}

kind=CMake
if command -v cmake >/dev/null; then
    try_cmake "$root$prefix"
else
    skip "CMake is not installed"
fi

kind=Meson
if command -v meson >/dev/null; then
    mkdir meson
    cp "$source_directory"/meson*.* meson
    cp "$consumer" meson/consumer.c
    cp "$consumer" meson/consumer.cc
    cp "$copies" meson/copies.c
    CC=${cc[*]} CXX=${cxx[*]} try meson setup "-Dacre_version=$version" build.meson meson &&
        try meson compile -C build.meson && try_consumers 2 build.meson &&
        try_copies Meson build.meson/copies
else
    skip "Meson is not installed"
fi

[ "$faults" -eq 0 ] || exit 1
echo "$runs programs on the installed library"
