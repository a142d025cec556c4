#!/bin/sh
# Runs the programs of this directory that are not linked with acre, with acre preloaded, alone and
# together with a library whose constructors allocate, in either order. ACRE_LIBRARY names libacre.so.
set -u

: "${ACRE_LIBRARY:?is not set: run this by make check}"
early=$(pwd)/.libs/libearly.so
failed=0

# run LD_PRELOAD PROGRAM: runs it, notes a failure.
run()
{
    if ! LD_PRELOAD=$1 "./$2"; then
        echo "failed: LD_PRELOAD=$1 $2"
        failed=1
    fi
}

for program in family alignment realloc_grid calloc_zero figures malloc_info no_overlap \
    fork_threads fork_signal atfork address_limit operators thread_locals; do
    run "$ACRE_LIBRARY" "plain_$program"
done
for program in family constructors thread_locals atfork; do
    run "$ACRE_LIBRARY:$early" "plain_$program"
    run "$early:$ACRE_LIBRARY" "plain_$program"
done
exit $failed
