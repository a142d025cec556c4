#!/bin/sh
# Shows acre at work: GNU sort, as installed, sorts a file that this script makes, first without acre
# and then with it preloaded; the two outputs must be equal. Ends with what acre says it did.
#
#   tools/demo.sh [LINES]     1000000 lines if not said otherwise; needs a built tree, 100 MB of disk;
#                           ACRE_RUN names acre-run if it was built in another directory
set -eu

lines=${1-1000000}
acre_run=${ACRE_RUN-$(dirname "$0")/acre-run}
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
export LC_ALL=C

[ -x "$acre_run" ] || {
    echo "demo: there is no $acre_run; run make first" >&2
    exit 1
}

# Milliseconds since some moment.
now() { echo $(($(date +%s%N) / 1000000)); }

# The buffer is smaller than the file, so sort also writes and merges temporary files.
sort_to() { # OUTPUT COMMAND...
    output=$1
    shift
    "$@" sort --parallel=4 --buffer-size=8M --temporary-directory="$directory" \
        --output="$directory/$output" "$directory/input"
}

echo "Making a file of $lines lines ..."
awk -v lines="$lines" 'BEGIN {
    srand(1)
    for (i = 0; i < lines; i++)
        printf "%09d %09d line %d\n", rand() * 1e9, rand() * 1e9, i
}' >"$directory/input"

echo "Sorting it with 4 threads, without acre ..."
start=$(now)
sort_to plain env
plain=$(($(now) - start))

echo "Sorting it with 4 threads, acre preloaded ..."
start=$(now)
sort_to acre "$acre_run" --stats -- 2>"$directory/report" || {
    cat "$directory/report" >&2
    exit 1
}
acre=$(($(now) - start))

cmp "$directory/plain" "$directory/acre" || {
    echo "demo: FAILED: with acre the sorted file differs" >&2
    exit 1
}
grep -q arenas "$directory/report" || {
    cat "$directory/report" >&2
    echo "demo: FAILED: sort ran without acre" >&2
    exit 1
}

echo
echo "What acre held when sort ended:"
cat "$directory/report"
echo
echo "demo: passed: $lines lines sorted alike, in $plain ms without acre and $acre ms with it"
echo "(one run each: no benchmark)"
