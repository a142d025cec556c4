#!/bin/sh
# Every test that doc/guarantees.md names exists, and every row of its tables with a guarantee names
# one: as a file of tests/api, as a model of tests/model, as unit/NAME, or by its path.
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

document=doc/guarantees.md
faults=0
fault() {
    echo "$document: $1" >&2
    faults=$((faults + 1))
}

tests=$(grep '^|' "$document" | sed 's/.*| \(.*\) |$/\1/' | grep -o '`[^`]*`' | tr -d '`' | sort -u)
for name in $tests; do
    case $name in
    unit/*.sh) [ -f "tests/$name" ] ;;
    unit/*) [ -f "tests/unit/test_${name#unit/}.c" ] ;;
    *.pml) [ -f "tests/model/$name" ] ;;
    */* | stress) [ -e "$name" ] ;;
    *) [ -f "tests/api/$name" ] ;;
    esac || fault "there is no test $name"
done

# The table of overflows has one line for all of it, below the table.
rows=$(sed '/^## What a linear overflow/,/^## /d' "$document" | grep '^| [^-]' |
    grep -vE '\| test \|$')
nameless=$(printf '%s\n' "$rows" | grep -vE '`[^`]*`[^|]* \|$' || :)
[ -z "$nameless" ] || fault "no test: $nameless"

if [ "$(printf '%s\n' "$rows" | wc -l)" -lt 30 ]; then
    fault "too few rows to be all"
fi
[ "$faults" -eq 0 ] || exit 1
echo "$(printf '%s\n' "$rows" | wc -l) guarantees, $(echo "$tests" | wc -l) tests"
