#!/bin/bash
# Runs a program, fuzz or fuzz_profile, on a core of the program subject, if one can be had, and on a
# process of it. The other arguments are those of fuzz. The subject takes a heap profile.
#
# The core is made where addresses are not random, as the process is, so that a seed finds the same
# again.
set -euo pipefail

program=$1
shift
export ACRE_OPTIONS=profile:4K
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
fixed=()
! setarch -R true 2>/dev/null || fixed=(setarch -R)

# Makes a core of the subject in the directory; false if the system makes none there.
make_core() {
    local own=$PWD/subject pattern
    pattern=$(cat /proc/sys/kernel/core_pattern)
    [[ $pattern == core* ]] && ulimit -c unlimited || return 1
    { (cd "$directory" && "${fixed[@]}" "$own" crash >/dev/null </dev/null) || :; } 2>/dev/null
    core=$(find "$directory" -name 'core*')
    [ -n "$core" ]
}

export ASAN_OPTIONS=exitcode=99:detect_leaks=0:hard_rss_limit_mb=2048:use_sigaltstack=0
export UBSAN_OPTIONS=print_stacktrace=1:exitcode=99
if make_core; then
    echo "$program: a core of $(stat -c %s "$core") bytes, and a process"
else
    core=
    echo "$program: no core can be had here: a process alone"
fi
status=0
"${fixed[@]}" "./$program" "$@" ./subject ${core:+"$core"} || status=$?
exit $status
