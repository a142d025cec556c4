#!/bin/bash
# Checks the models of the protocols with Spin: the good ones must have no error in a search that is
# complete, and each seeded bug must be found. Prints the states visited. "make check-model" runs it.
#
#   run.sh [SOURCE-DIRECTORY]
set -euo pipefail
source_directory=$(cd "${1:-$(dirname "$0")}" && pwd)

for tool in spin gcc; do
    command -v "$tool" >/dev/null || {
        echo "check-model: $tool is missing (Debian: the package \"$tool\")" >&2
        exit 1
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

failed=0

# check WANTED MODEL [DEFINE...]: searches all states; WANTED is "none" or "some" errors.
check() {
    local wanted=$1 model=$2 errors states
    shift 2
    rm -f pan*
    spin -a "$@" "$source_directory/$model" >spin.log || { cat spin.log && exit 1; }
    gcc -w -O2 -DSAFETY -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c
    ./pan -m4000000 >pan.log || { cat pan.log && exit 1; }
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log | head -n 1)
    local found=none
    [ "$errors" -eq 0 ] || found=some
    # a search that was cut short proves nothing
    if grep -qE 'max search depth too small|out of memory|Search not completed' pan.log &&
        [ "$found" = none ]; then
        found=truncated
    fi
    printf '%-10s %-46s %10s states, errors: %s\n' "$model" "$*" "$states" "$found"
    [ "$found" = "$wanted" ] || failed=$((failed + 1))
}

good() { check none "$@"; }
bug() { check some "$@"; }

good remote.pml
good remote.pml -DTWO_SLABS
good remote.pml -DDOUBLE_FREE=0 -DCOLLECTS=1
good remote.pml -DDOUBLE_FREE=1
good remote.pml -DSAME_INSTANT -DCOLLECTS=1
bug remote.pml -DBUG_S_RELAXED
bug remote.pml -DBUG_S_NOT_ATOMIC -DSAME_INSTANT
bug remote.pml -DBUG_BITS_FIRST
bug remote.pml -DBUG_L1_ACQUIRE
bug remote.pml -DBUG_UNORDERED -DSAME_INSTANT
bug remote.pml -DBUG_CLEAR_AFTER_SCAN
bug remote.pml -DBUG_NO_FENCE_SLAB
bug remote.pml -DBUG_NO_FENCE_HEAP
bug remote.pml -DBUG_HEAP_BIT_LAST
bug remote.pml -DBUG_CLASS_BIT_FIRST
bug remote.pml -DBUG_CLASS_BIT_LAST
bug remote.pml -DBUG_CLASS_UNORDERED
bug remote.pml -DBUG_CLASS_CLEARS_HEAP -DTWO_SLABS
good pool.pml
bug pool.pml -DBUG_UNLOCK_RELAXED
bug pool.pml -DBUG_BORROW_UNCHECKED
bug pool.pml -DBUG_BORROW_LISTED
bug pool.pml -DBUG_ENDED_KEEPS
bug pool.pml -DBUG_EXIT_KEEPS
good fork.pml -DEXIT -DREUSE
good fork.pml -DTRIM
bug fork.pml -DBUG_NEVER_LOST
bug fork.pml -DBUG_SURVIVOR_LOST
bug fork.pml -DBUG_NOT_NOTICED
bug fork.pml -DBUG_ASSUMES_KNOWN
bug fork.pml -DBUG_HOLD_LAST
bug fork.pml -DBUG_REBUILD_HIDES
bug fork.pml -DBUG_LOOKS_AT_BITS
bug fork.pml -DBUG_KEEPS_CACHED
bug fork.pml -DBUG_FREES_LIVE
bug fork.pml -DBUG_ARENA_NOT_REBUILT
bug fork.pml -DPURGE -DBUG_KEEPS_PURGED

if [ "$failed" -ne 0 ]; then
    echo "check-model: $failed results are not as wanted" >&2
    exit 1
fi
