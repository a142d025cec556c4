#!/bin/bash
# Which lines and branches of lib the tests reach: builds SOURCE in WORK for gcov, runs the tests, and
# prints gcovr's table and the lines that none of them reached. "make coverage" runs it:
#
#   run.sh SOURCE WORK [DIRECTORY...]
#
# DIRECTORY: those of tests/ to run, instead of those below. What a process did that ended by a signal or
# by _exit is not counted: gcov writes at exit.
set -euo pipefail
command -v gcovr >/dev/null || { echo "skipped: there is no gcovr"; exit 77; }
source=$(cd "$1" && pwd)
work=$2
shift 2
[ $# -gt 0 ] || set -- unit api abuse fork faults inspect profile
mkdir -p "$work"
cd "$work"
# An assertion that is not compiled is no branch; counters are shared by threads.
"$source/configure" -q --disable-static CC=gcc CFLAGS='-O1 -g --coverage -fprofile-update=atomic'
make -s -j"$(nproc)"
# Some tests compare the library's code or size, which counting changes: their failures are named only.
make -s check TEST_DIRS="$*" >check.log 2>&1 || grep -E '^FAIL' check.log | sort -u
report() { # GCOVR-FLAG...
    gcovr --root "$source" --filter "$source/lib/" --object-directory lib --exclude-throw-branches \
        --exclude-unreachable-branches --sort-percentage "$@" lib
}
report --branches
report --print-summary # the lines that were not reached
