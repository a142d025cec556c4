#!/bin/bash
# Which lines and branches of lib the tests reach: builds SOURCE in WORK with clang's counters, runs the
# tests, and prints each file's coverage, and what was reached in none of them. "make coverage" runs it:
#
#   run.sh SOURCE WORK [DIRECTORY...]
#
# DIRECTORY: those of tests/ to run, instead of those below. The counters lie in a file that each process
# maps, so that what a process did is counted however it ends: by _exit, by a signal, by exec. Each process
# that is not made by fork alone has a file of its own, since some tests write over all memory that they
# reach; a file that was damaged so is left out. The exit status is 77 if there is no clang that can do so.
set -euo pipefail
source=$(cd "$1" && pwd)
mkdir -p "$2/profiles"
work=$(cd "$2" && pwd)
shift 2
[ $# -gt 0 ] || set -- unit api abuse faults fork inspect modes profile
lines_goal=97    # per cent
branches_goal=92
counters="-fprofile-instr-generate=$work/profiles/%p%c.profraw"
flags="-O1 -g $counters -fcoverage-mapping -fprofile-update=atomic -mllvm -runtime-counter-relocation"
# shellcheck disable=SC2086 # flags are words
echo 'int main(void) { return 0; }' | clang $flags -x c - -o "$work/try" 2>/dev/null ||
    { echo "skipped: there is no clang with counters"; exit 77; }
profdata=$(clang -print-prog-name=llvm-profdata)
cov=$(clang -print-prog-name=llvm-cov)
"$cov" report --help >/dev/null 2>&1 || { echo "skipped: there is no llvm-cov"; exit 77; }
chmod 1777 "$work/profiles" # some tests run as another user
cd "$work"
rm -f all.profdata
[ -e Makefile ] || "$source/configure" -q --disable-static CC=clang
make -s -j"$(nproc)" -C include
make -s -j"$(nproc)" -C lib CFLAGS="$flags"
for directory in tools man; do
    make -s -j"$(nproc)" -C "$directory"
done
# Some tests compare the library's code, size or system calls, which counting changes: their failures are
# named only. The unit tests are linked with the library's internals.
for directory; do
    ldflags=
    [ "$directory" != unit ] || ldflags=$counters
    make -s -C "tests/$directory" check LDFLAGS="$ldflags" >"check-$directory.log" 2>&1 ||
        grep -E '^FAIL' "check-$directory.log" | sort -u || echo "$directory: see check-$directory.log"
    find profiles -name '*.profraw' >inputs
    [ ! -e all.profdata ] || echo all.profdata >>inputs
    [ -s inputs ] || continue # nothing that has counters ran
    "$profdata" merge -failure-mode=all -input-files=inputs -o new.profdata 2>damaged.log
    mv new.profdata all.profdata
    find profiles -name '*.profraw' -delete
done
objects=(lib/.libs/libacre.so)
[ ! -e tests/unit/unit ] || objects+=(-object tests/unit/unit)
llvm_cov() { # SUBCOMMAND FLAG...
    local subcommand=$1
    shift
    "$cov" "$subcommand" "${objects[@]}" -instr-profile=all.profdata -ignore-filename-regex='/(tests|include)/' "$@"
}
echo "goals: $lines_goal % of the lines, $branches_goal % of the branches; <: below"
llvm_cov report -show-region-summary=0 | awk -v lines="$lines_goal" -v branches="$branches_goal" '
    BEGIN { row = "%-24s %6s %7s %8s %9s %s\n"; printf(row, "file", "lines", "reached", "branches", "reached", "") }
    NF == 10 {
        below = ($7 + 0 < lines && $5 > 0) || ($10 + 0 < branches && $8 > 0) ? "<" : ""
        printf(row, $1, $5, $7, $8, $10, below)
    }'
# file:line of what was not reached; of branches, with the side that was not.
llvm_cov show -show-branches=count -show-expansions=0 | awk -v source="$source/lib/" '
    /^\/.*:$/ { file = substr($0, 1, length($0) - 1); sub(source, "", file); next }
    /Branch \([0-9]+:[0-9]+\)/ {
        if ($0 !~ /: 0[],]/ || match($0, /\([0-9]+:[0-9]+\)/) == 0)
            next
        split(substr($0, RSTART + 1, RLENGTH - 2), at, ":")
        side = /True: 0, False: 0/ ? "" : /True: 0/ ? "never true" : "never false"
        if (side != "")
            printf("%s:%s: column %s is %s\n", file, at[1], at[2], side)
        next
    }
    split($0, column, "|") > 2 && column[2] + 0 == 0 && column[2] ~ /0/ {
        text = $0
        sub(/^[^|]*\|[^|]*\|/, "", text)
        printf("%s:%d: not reached: %s\n", file, column[1], text)
    }' >missed.txt
echo "what was not reached: $(wc -l <missed.txt) lines in $work/missed.txt"
