#!/bin/bash
# Builds acre with names that begin with acre_, and the programs of this directory with libFuzzer; runs
# each for some seconds. "make fuzz" runs it:
#
#   run.sh SOURCE WORK SECONDS [PROGRAM...]
#
# Each run begins with the inputs of corpus/ and with those in WORK/PROGRAM/, where it puts those that
# reach something new. What was found lies in WORK/PROGRAM.found.*. The exit status is 77 if there is no
# clang with libFuzzer.
set -euo pipefail
source=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
seconds=$3
shift 3
[ $# -gt 0 ] || set -- calls options conf
echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -fsanitize=fuzzer -x c - -o "$work/try" 2>/dev/null || { echo "skipped: there is no libFuzzer"; exit 77; }
# The library's system calls are made by libc, so that refuse.c can have them fail.
if [ ! -e "$work/build/lib/.libs/libacre.a" ]; then
    mkdir -p "$work/build"
    cd "$work/build"
    "$source/configure" -q --with-prefix=acre_ --disable-shared --enable-debug CC=clang \
        CPPFLAGS=-DSYSTEM_CALL_BY_LIBC=1 \
        CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,undefined -fno-sanitize-recover=undefined'
    make -s -j"$(nproc)" -C lib
    make -s -C include
fi
fuzz=$source/tests/fuzz
status=0
for program; do
    clang -std=gnu11 -Wall -Wextra -O1 -g -fsanitize=fuzzer,undefined -fno-sanitize-recover=undefined \
        -I "$source/include" -I "$work/build/include" -I "$source/lib" "$fuzz/$program.c" "$fuzz/modes.c" \
        "$fuzz/refuse.c" "$work/build/lib/.libs/libacre.a" -pthread \
        -Wl,--wrap=mmap,--wrap=munmap,--wrap=mremap,--wrap=syscall -o "$work/$program.fuzz"
    mkdir -p "$work/$program" "$work/scratch"
    # Options write lines to standard error, which is closed. A file of options has up to 8 KiB.
    mask=0
    length=600
    [ "$program" = calls ] || mask=3
    [ "$program" != conf ] || length=8300
    # These options count only at the start of a process; calls.c chooses the others.
    starts=("")
    for option in hardened fill; do
        [ "$program" != calls ] || ! grep -q "{\"$option\"," "$source/lib/base/option.c" || starts+=("$option:1")
    done
    for start in "${starts[@]}"; do
        echo "$program${start:+, $start}: $seconds s"
        (cd "$work/scratch" && ACRE_OPTIONS=$start "$work/$program.fuzz" -max_total_time="$seconds" \
            -max_len="$length" -timeout=20 -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 \
            -close_fd_mask="$mask" -artifact_prefix="$work/$program.found." "$work/$program" \
            "$fuzz/corpus/$program") || status=1
    done
done
exit "$status"
