#!/bin/sh
# The options in acre-options(7) are those that acre-run --help-options prints: the same names, allowed
# values and defaults, in the same order, none missing and none too many.
#
# ACRE_RUN may name the acre-run to ask; otherwise it is that of the build tree, seen from the
# directory of this test's results.
set -eu

acre_run=${ACRE_RUN-../../tools/acre-run}
page=${srcdir:-$(dirname "$0")}/../../man/acre-options.7
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

# The first line of the table is its head.
"$acre_run" --help-options >"$directory/help"
awk 'NR > 1 { print $1 " " $2 ", default " $3 }' "$directory/help" >"$directory/table"

# In the page, and nothing else there begins with .It Cm: .It Cm decay Ar 0..3600000 Pq default 1000
sed -n '/^\.It Cm /{ s///; s/ Ar / /; s/ Pq default /, default /; p; }' "$page" >"$directory/page"

if [ ! -s "$directory/table" ]; then
    echo "$acre_run --help-options lists no option" >&2
    exit 1
fi
if ! diff -u "$directory/table" "$directory/page"; then
    echo "$page (+) does not have the options of acre-run --help-options (-)" >&2
    exit 1
fi
echo "$(wc -l <"$directory/table") options, in acre-options(7) as in the library"
