#!/bin/sh
# Every test that doc/guarantees.md and the tables of promises in doc/security.md name exists, and every
# row of these tables names one: as a file of tests/api, as a model of tests/model, as unit/NAME, or by
# its path.
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

faults=0

# Checks the rows of tables on standard input.
check() { # DOCUMENT LEAST
    rows=$(grep '^| [^-]' | grep -vE '\| test \|$')
    tests=$(printf '%s\n' "$rows" | sed 's/.*| \(.*\) |$/\1/' | grep -o '`[^`]*`' | tr -d '`' | sort -u)
    for name in $tests; do
        case $name in
        unit/*.sh) [ -f "tests/$name" ] ;;
        unit/*) [ -f "tests/unit/test_${name#unit/}.c" ] ;;
        *.pml) [ -f "tests/model/$name" ] ;;
        */* | stress) [ -e "$name" ] ;;
        *) [ -f "tests/api/$name" ] ;;
        esac || {
            echo "$1: there is no test $name" >&2
            faults=$((faults + 1))
        }
    done
    nameless=$(printf '%s\n' "$rows" | grep -vE '`[^`]*`[^|]* \|$' || :)
    if [ -n "$nameless" ]; then
        echo "$1: no test: $nameless" >&2
        faults=$((faults + 1))
    fi
    count=$(printf '%s\n' "$rows" | wc -l)
    if [ "$count" -lt "$2" ]; then
        echo "$1: too few rows to be all" >&2
        faults=$((faults + 1))
    fi
    echo "$1: $count guarantees, $(echo "$tests" | wc -l) tests"
}

rows_of=$(mktemp)
trap 'rm -f "$rows_of"' EXIT
# The table of overflows has one line for all of it, below the table.
sed '/^## What a linear overflow/,/^## /d' doc/guarantees.md >"$rows_of"
check doc/guarantees.md 30 <"$rows_of"
sed '/^## How predictable/,$d' doc/security.md >"$rows_of"
check doc/security.md 12 <"$rows_of"
[ "$faults" -eq 0 ]
