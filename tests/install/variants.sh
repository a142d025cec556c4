#!/bin/bash
# Builds acre in each of these configurations, from a copy of the source that a distribution would
# have; installs it, runs make installcheck, uninstalls it. Nothing may be left then, and in the
# source nothing may have changed. make check-install [INSTALL_VARIANTS="static shared"] runs this in the
# build tree.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
build_tree=$(cd ../.. && pwd)
work=$build_tree/install.work
remove_work() { [ ! -d "$work" ] || { chmod -R u+w "$work" && rm -rf "$work"; }; }
remove_work
mkdir "$work" || exit 1
ACRE_WHOLE=$work/whole.so
trap remove_work EXIT
passed=0
failed=0

order=(default inside multiarch static shared bare prefix prefix-static)
# The arguments of configure; those that begin with DESTDIR are make's. INSIDE: built in the source.
declare -A variants=(
    [default]="--prefix=$work/prefix"
    [inside]="INSIDE --prefix=$work/prefix"
    [multiarch]="DESTDIR=$work/root --prefix=/usr --libdir=/usr/lib/x86_64-linux-gnu"
    [static]="--prefix=$work/prefix --disable-shared"
    [shared]="DESTDIR=$work/root --prefix=/opt/acre --disable-static"
    [prefix]="--prefix=$work/prefix --with-prefix=acre_"
    [prefix-static]="DESTDIR=$work/root --prefix=/usr --with-prefix=je_ --disable-shared"
    [bare]="--prefix=$work/prefix --without-tools --without-probes"
)

# What is in a directory: kind, path and content.
contents() { # DIRECTORY
    (cd "$1" && find . -type d -printf 'd %p\n' -o -printf '%y %p %l ' -exec cksum {} \;) | LC_ALL=C sort
}

# Runs make in the build directory, quietly.
target() { # MAKE-ARGUMENT...
    make -s -C "$build" "$@" "${make_arguments[@]}" >>"$work/output" 2>&1 && return
    echo "make $* failed" >>"$work/output"
    return 1
}

# Installs, tries, uninstalls: false if something fails. Directories that every system has are there
# before.
try_variant() {
    mkdir -p "$installed"/{bin,include,lib,share/man}
    [ -z "$libdir" ] || mkdir -p "$installed/${libdir#/usr/}"
    contents "$installed" >"$work/before"
    target -j"$(nproc)" && target install && target installcheck && target uninstall || return 1
    # for programs that have a prefixed acre and this one
    [ "$name" != default ] || { cp "$build/lib/.libs/libacre.so" "$ACRE_WHOLE" && export ACRE_WHOLE; }
    contents "$installed" >"$work/after"
    diff -u "$work/before" "$work/after" >>"$work/output" && return
    echo "make uninstall left something" >>"$work/output"
    return 1
}

try() { # NAME
    local arguments=() word status=0
    make_arguments=()
    build=$work/build
    installed=$work/prefix
    libdir=
    cp -Rp "$work/source" "$work/copy"
    for word in ${variants[$1]}; do
        case $word in
        INSIDE) build=$work/copy ;;
        DESTDIR=*)
            make_arguments+=("$word")
            installed=${word#*=}
            ;;
        *) arguments+=("$word") ;;
        esac
        case $word in
        --prefix=/*) [ ${#make_arguments[@]} -eq 0 ] || installed+=${word#*=} ;;
        --libdir=*) libdir=${word#*=} ;;
        esac
    done
    mkdir -p "$build"
    : >"$work/output"
    [ "$build" = "$work/copy" ] || chmod -R a-w "$work/copy"
    contents "$work/copy" >"$work/source.before"
    (cd "$build" && "$work/copy/configure" -q --cache-file="$work/cache" --without-check CFLAGS=-O1 "${arguments[@]}") \
        >>"$work/output" 2>&1 && try_variant || status=1
    if [ "$build" != "$work/copy" ]; then
        contents "$work/copy" >"$work/source.after"
        diff -u "$work/source.before" "$work/source.after" >>"$work/output" || {
            echo "the build has changed the source" >>"$work/output"
            status=1
        }
    fi
    if [ "$status" -eq 0 ]; then
        passed=$((passed + 1))
        echo "ok: $1: $(grep 'programs on the installed library' "$work/output")"
        grep '^skipped' "$work/output"
    else
        failed=$((failed + 1))
        echo "FAILED: $1: configure ${arguments[*]}; make ${make_arguments[*]}" >&2
        tail -n 60 "$work/output" >&2
    fi
    chmod -R u+w "$work/copy"
    rm -rf "$work/copy" "$work/build" "$work/root" "$work/prefix"
}

make -s -C "$build_tree" distdir distdir=install.work/source >"$work/output" 2>&1 || {
    cat "$work/output" >&2
    exit 1
}
[ $# -ne 0 ] || set -- "${order[@]}"
for name; do
    [ -n "${variants[$name]-}" ] || {
        echo "there is no variant $name; there are: ${order[*]}" >&2
        exit 2
    }
    try "$name"
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
