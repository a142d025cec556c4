#!/bin/sh
# The bench programs and their driver work: the driver's unit tests, then every pattern and scenario
# once at a thousandth of its size, the floor included; and the real programs that nearly every machine
# has, with a hundredth of their work. Nothing is timed. $srcdir holds the driver, the programs lie here.
set -eu
command -v python3 >/dev/null || { echo "skipped: there is no python3"; exit 77; }
srcdir=${srcdir:-.}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

BENCH_PROGRAMS=. python3 -B "$srcdir/test_bench.py"
python3 -B "$srcdir/test_programs.py"
python3 -B "$srcdir/run.py" --programs . --rounds 1 --scale 0.001 --no-peers --floor "$@" \
    --json "$folder/json" --markdown "$folder/markdown" --svg "$folder/svg" \
    --rss-svg "$folder/rss-svg" >"$folder/output"
cat "$folder/output"

# has_rows PROGRAM PATTERN: each name that the program lists, except those that need more than two
# processors, has a row that begins with the name and then matches PATTERN; there is at least one.
has_rows() {
    "./$1" --list >"$folder/list"
    rows=0
    while read -r name work threads; do
        [ "${threads:-1}" -le 2 ] || continue
        grep -q "^$name$2" "$folder/output" || { echo "failed: no row of $1: $name"; exit 1; }
        rows=$((rows + 1))
    done <"$folder/list"
    [ "$rows" -gt 0 ] || { echo "failed: $1 lists nothing"; exit 1; }
}

# Each scenario and each pattern has a row, and none failed.
has_rows memory ":"
has_rows pattern " .* [0-9]"
has_rows latency ": free p99.99 .*[0-9]"
grep -q "^end of regrow .* [0-9]" "$folder/output"
if grep -e "^failed" -e "^Too much for the floor" "$folder/output"; then exit 1; fi
for file in json markdown svg rss-svg; do [ -s "$folder/$file" ]; done

# Each of the real programs has a row or is not installed; python is.
python3 -B "$srcdir/programs.py" --programs . --rounds 1 --scale 0.01 --no-peers "$@" \
    --only python --only lua --only perl --only sort \
    --json "$folder/json" --markdown "$folder/markdown" --svg "$folder/svg" >"$folder/output"
cat "$folder/output"
for name in python lua perl sort; do
    grep -Eq "^($name .* [0-9]|skipped: $name: )" "$folder/output"
done
grep -q "^python .* [0-9]" "$folder/output"
if grep "failed" "$folder/output"; then exit 1; fi
for file in json markdown svg; do [ -s "$folder/$file" ]; done
