#!/bin/bash
# make install with DESTDIR, then consumers.sh on what it installed. variants.sh does the same on other
# configurations; tests/unit/uninstall.sh tries make uninstall.
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset MAKEFLAGS MFLAGS MAKELEVEL

for target in install installcheck; do
    make -s -C ../.. "$target" DESTDIR="$work/root" >"$work/output" 2>&1 || {
        cat "$work/output" >&2
        exit 1
    }
done
grep 'programs on the installed library' "$work/output"
