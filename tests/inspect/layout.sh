#!/bin/sh
# What readers outside rely on is what layout.txt lists. A change of it needs a new ACRE_LAYOUT.
set -eu

list=${srcdir:-.}/layout.txt
./layout >layout.found
if cmp -s "$list" layout.found; then
    echo "$(head -n 1 "$list"), as listed"
    exit 0
fi
diff -u "$list" layout.found >&2 || :
if [ "$(head -n 1 "$list")" = "$(head -n 1 layout.found)" ]; then
    echo "raise ACRE_LAYOUT in include/acre/inspect.h, then copy layout.found to $list" >&2
else
    echo "copy layout.found to $list" >&2
fi
exit 1
