#!/bin/sh
# make uninstall removes all files and directories that make install made, except directories that a
# system has anyway, and keeps all other files there. The directories come from the environment, as
# configured.
set -eu

directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
root=$directory/root
unset MAKEFLAGS MFLAGS MAKELEVEL

# In the build tree, quietly unless it fails.
make_target() {
    make -s -C ../.. "$1" DESTDIR="$root" >"$directory/output" 2>&1 || {
        cat "$directory/output" >&2
        exit 1
    }
}

contents() { (cd "$root" && find . | LC_ALL=C sort); }

mkdir -p "$root$bindir" "$root$includedir" "$root$libdir" "$root$datarootdir" "$root$mandir"
contents >"$directory/before"
make_target install
[ -f "$root$includedir/acre/acre.h" ] || {
    echo "make install did not install acre.h" >&2
    exit 1
}
make_target uninstall
contents >"$directory/after"
diff -u "$directory/before" "$directory/after"

make_target install
touch "$root$includedir/acre/other.h" "$root$mandir/man3/other.3"
make_target uninstall
[ -f "$root$includedir/acre/other.h" ] && [ -f "$root$mandir/man3/other.3" ]
