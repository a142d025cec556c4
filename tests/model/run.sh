#!/bin/bash
# Checks the models of the protocols with Spin: the good ones must have no error in a search that is
# complete, and each seeded bug must be found. Prints the states visited, and the time that each
# check took, in some 4 GB of memory. "make check-model" runs it.
#
#   run.sh [SOURCE-DIRECTORY]
set -euo pipefail
export source_directory work
source_directory=$(cd "${1:-$(dirname "$0")}" && pwd)

for tool in spin gcc; do
    command -v "$tool" >/dev/null || {
        echo "check-model: $tool is missing (Debian: the package \"$tool\")" >&2
        exit 1
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# search good|bug MODEL [DEFINE...]: searches all states. Spin makes one function of a model; that of
# fork.pml has 24000 lines. For it, and where a bug soon ends the search, optimising takes longer than
# it saves.
search() {
    set -euo pipefail
    local wanted=$1 model=$2 errors states found=good level=-O0
    shift 2
    SECONDS=0
    cd "$(mktemp -d -p "$work")"
    trap 'cat log' ERR
    spin -a "$@" "$source_directory/$model" >log
    [ "$wanted" = bug ] || [ "$model" = fork.pml ] || level=-O2
    gcc -w "$level" -DSAFETY -DNOFAIR -DCOLLAPSE -DMEMLIM=1900 -o pan pan.c
    ./pan -n -m4000000 >log
    errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' log)
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log | head -n 1)
    [ "$errors" -eq 0 ] || found=bug
    # a search that was cut short proves nothing
    if grep -qE 'max search depth too small|out of memory|Search not completed' log &&
        [ "$found" = good ]; then
        found="cut short"
    fi
    printf '%-10s %-67s %8s states, %3s s: %s\n' "$model" "$*" "$states" "$SECONDS" "$found"
    rm pan
    [ "$found" = "$wanted" ]
}
export -f search

side_by_side=2
[ "$(nproc)" -gt 1 ] || side_by_side=1
failed=0
xargs -P "$side_by_side" -L 1 bash -c 'search "$@"' search <<'END' || failed=1
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
good purge.pml
good purge.pml -DPLACES=4 -DSEQUENTIAL
good purge.pml -DRELEASE
good purge.pml -DFORK
bug purge.pml -DBUG_PAGES_LAST
bug purge.pml -DBUG_RUNS_OVER_PURGED
bug purge.pml -DBUG_REST_STAYS
bug purge.pml -DBUG_OWNER_HAS_NO_FENCE
bug purge.pml -DBUG_OWNER_DOES_NOT_WAIT
bug purge.pml -DBUG_COLLECTIONS_RELAXED
bug purge.pml -DBUG_HELPER_HAS_NO_FENCE
bug purge.pml -DBUG_HELPER_DOES_NOT_LOOK
bug purge.pml -DBUG_PURGED_OVER_REST
bug purge.pml -DFORK -DBUG_NOTE_LAST
bug purge.pml -DFORK -DBUG_REBUILD_KEEPS_REST
bug purge.pml -DSAME_INSTANT
good purge.pml -DSAME_INSTANT -DLOSES_CONTENTS -DSEQUENTIAL
good pool.pml
bug pool.pml -DBUG_UNLOCK_RELAXED
bug pool.pml -DBUG_BORROW_UNCHECKED
bug pool.pml -DBUG_BORROW_LISTED
bug pool.pml -DBUG_ENDED_KEEPS
bug pool.pml -DBUG_EXIT_KEEPS
good fork.pml -DEXIT -DREUSE
good fork.pml -DTRIM
good fork.pml -DFORKS=2 -DNO_BLOCKS -DARENAS=2 -DEXIT
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
bug fork.pml -DTRIM -DNO_BLOCKS -DBUG_HEAP_NOT_REBUILT
bug fork.pml -DPURGE -DBUG_KEEPS_PURGED
bug fork.pml -DPURGE -DBUG_OWNER_DOES_NOT_WAIT
bug fork.pml -DPURGE -DBUG_HELPER_DOES_NOT_LOOK
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DBUG_NO_BIRTH
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DBUG_MARK_LAST
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DARENAS=2 -DEXIT -DBUG_BORN_BEFORE
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DARENAS=2 -DEXIT -DBUG_ARMS_ONCE
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DARENAS=2 -DEXIT -DBUG_REBUILDS_FOR_NOW
bug fork.pml -DFORKS=2 -DNO_BLOCKS -DARENAS=2 -DEXIT -DBUG_READS_FIRST
good resize.pml
good resize.pml -DSAME_INSTANT
bug resize.pml -DBUG_NOT_REBUILT
bug resize.pml -DBUG_REBUILD_HIDES
bug resize.pml -DBUG_KEEPS_CLASS
bug resize.pml -DBUG_LOOKS_AT_BITS
bug resize.pml -DBUG_NO_LOCK
bug resize.pml -DBUG_TAKES_UNSEEN
bug resize.pml -DBUG_TAKES_FIRST
bug resize.pml -DBUG_GIVES_FIRST
bug resize.pml -DBUG_WITHDRAWN
bug resize.pml -DSAME_INSTANT -DBUG_FREES_BY_GEOMETRY
END

if [ "$failed" -ne 0 ]; then
    echo "check-model: not all results are as wanted" >&2
    exit 1
fi
