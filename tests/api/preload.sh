#!/bin/sh
# Runs the programs of this directory that are not linked with acre, with acre preloaded: alone, and
# together with a library whose constructors allocate, with one whose versions of libc's functions do,
# and with libfaketime where it is installed, in either order. ACRE_LIBRARY names libacre.so.
set -u

: "${ACRE_LIBRARY:?is not set: run this by make check}"
early=$(pwd)/.libs/libearly.so
interposer=$(pwd)/.libs/libinterposer.so
failed=0

# run LD_PRELOAD PROGRAM: runs it, notes a failure.
run()
{
    if ! LD_PRELOAD=$1 "./$2"; then
        echo "failed: LD_PRELOAD=$1 $2"
        failed=1
    fi
}

for program in family alignment realloc_grid calloc_zero figures no_overlap \
    fork_threads address_limit operators thread_locals; do
    run "$ACRE_LIBRARY" "plain_$program"
done
for program in family constructors thread_locals fork_threads; do
    run "$ACRE_LIBRARY:$early" "plain_$program"
    run "$early:$ACRE_LIBRARY" "plain_$program"
done
for program in interposed family constructors thread_locals fork_threads; do
    run "$ACRE_LIBRARY:$interposer" "plain_$program"
    run "$interposer:$ACRE_LIBRARY" "plain_$program"
done
ACRE_OPTIONS=background_thread:1,decay:1,stats:exit
export ACRE_OPTIONS
run "$interposer:$ACRE_LIBRARY" plain_interposed 2>/dev/null
unset ACRE_OPTIONS

faketime=
for library in /usr/lib/*/faketime/libfaketime.so.1 /usr/lib*/faketime/libfaketime.so.1; do
    [ -e "$library" ] && faketime=$library
done
if [ -n "$faketime" ]; then
    FAKETIME='+1d'
    export FAKETIME
    for program in interposed family constructors; do
        run "$ACRE_LIBRARY:$faketime" "plain_$program"
        run "$faketime:$ACRE_LIBRARY" "plain_$program"
    done
else
    echo "libfaketime is not installed: not tried"
fi
exit $failed
