#!/bin/sh
# The man pages: mandoc and groff have no warning about them (mandoc's remarks on style, such as long source
# lines, do not count); acre(3) has each acre_ function that the library exports, in its list of names and in
# its synopsis, and no other; each page that a page refers to as one of acre's is there.
set -eu

cd "${srcdir:-$(dirname "$0")}/../../man"
faults=0
fail() {
    echo "man/$*" >&2
    faults=$((faults + 1))
}

# acre_root is data, for readers outside.
functions=$(sed -n 's/^\(acre_.*\)@@.*/\1/p' ../tests/api/exports.txt | grep -vx acre_root)
names=$(sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \(acre_[a-z_]*\).*/\1/p' acre.3 | LC_ALL=C sort)
[ "$names" = "$functions" ] || fail "acre.3 names $names, exported are $functions"
for name in $functions; do
    sed -n '/^\.Sh SYNOPSIS/,/^\.Sh DESCRIPTION/p' acre.3 | grep -q "^\.Fn $name " ||
        fail "acre.3: $name is not in the synopsis"
    sed -n '/^\.Sh DESCRIPTION/,$p' acre.3 |
        grep -q "^\.Fn $name\>" || fail "acre.3: $name is not described"
done
for page in *.[1-9]; do
    for reference in $(sed -n 's/.*Xr \(acre[a-z-]*\) \([0-9]\).*/\1.\2/p' "$page" | sort -u); do
        [ -f "$reference" ] || fail "$page refers to $reference, which is not there"
    done
done
[ "$faults" -eq 0 ]

command -v mandoc >/dev/null || {
    echo "skipped: mandoc is not installed"
    exit 77
}
# -W warning is the lowest level that is printed and that the exit status counts. What mandoc prints on
# standard error is about the data base of manuals of this machine.
mandoc -T lint -W warning ./*.[1-9] || {
    echo "mandoc -T lint warns of the above" >&2
    exit 1
}
command -v groff >/dev/null || {
    echo "groff is not installed: mandoc alone has looked at the pages"
    exit 0
}
for page in *.[1-9]; do
    said=$(groff -ww -mandoc -T utf8 "$page" 2>&1 >/dev/null)
    [ -z "$said" ] || {
        printf '%s\n' "$said" "groff -ww warns of man/$page" >&2
        exit 1
    }
done
