#!/bin/bash
# Builds acre with names that begin with acre_, and the programs of this directory with libFuzzer; runs
# each for some seconds. "make fuzz" runs it:
#
#   run.sh SOURCE WORK SECONDS [PROGRAM...]
#
# What was found lies in WORK/PROGRAM.found.*; WORK/PROGRAM/ has the inputs that reach something new, and
# is taken up again by the next run. The exit status is 77 if there is no clang with libFuzzer.
set -euo pipefail
source=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
seconds=$3
shift 3
[ $# -gt 0 ] || set -- calls options
echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
    clang -fsanitize=fuzzer -x c - -o "$work/try" 2>/dev/null || { echo "skipped: there is no libFuzzer"; exit 77; }
if [ ! -e "$work/build/lib/.libs/libacre.a" ]; then
    mkdir -p "$work/build"
    cd "$work/build"
    "$source/configure" -q --with-prefix=acre_ --disable-shared --enable-debug CC=clang \
        CFLAGS='-O1 -g -fsanitize=fuzzer-no-link,undefined -fno-sanitize-recover=undefined'
    make -s -j"$(nproc)" -C lib
    make -s -C include
fi
status=0
for program; do
    clang -std=gnu11 -Wall -Wextra -O1 -g -fsanitize=fuzzer,undefined -fno-sanitize-recover=undefined \
        -I "$source/include" -I "$work/build/include" "$source/tests/fuzz/$program.c" \
        "$work/build/lib/.libs/libacre.a" "$work/build/lib/.libs/libacre-core.a" -pthread -o "$work/$program.fuzz"
    mkdir -p "$work/$program" "$work/scratch"
    echo "$program: $seconds s"
    # Options write lines to standard error, which is closed.
    mask=0
    [ "$program" != options ] || mask=3
    (cd "$work/scratch" && "$work/$program.fuzz" -max_total_time="$seconds" -max_len=600 -timeout=20 \
        -rss_limit_mb=4096 -print_final_stats=1 -verbosity=0 -close_fd_mask="$mask" \
        -artifact_prefix="$work/$program.found." "$work/$program") || status=1
done
exit "$status"
