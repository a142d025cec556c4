#!/bin/sh
# The shared library exports what tests/api/exports.txt lists, and nothing else: the malloc family
# unversioned (a versioned name would not stand in for libc's), the acre_ functions in their node.
# A debug build (-DACRE_DEBUG in ACRE_CFLAGS) may have names that begin with acre_debug_ besides.
# And it asks nothing of the system by a function of libc's: lib/base/os.h says why.
#
# ACRE_PREFIX, if not empty: the library of configure --with-prefix. It has the family by those names
# alone, no operators of C++, a node of its own, and calls none of libc's family.
set -eu

library=../../lib/.libs/libacre.so
list=${srcdir:-.}/../api/exports.txt
prefix=${ACRE_PREFIX-}
if [ -n "$prefix" ]; then
    sed "/^_Z/d; /^__libc_/d; s/@@ACRE_/&$prefix/; /@@/!s/^/$prefix/" "$list" |
        LC_ALL=C sort >exports.expected
    list=exports.expected
fi

case ${ACRE_CFLAGS-} in
*-DACRE_DEBUG*) extra='^acre_debug_' ;;
*) extra='^$' ;;
esac

# Column 2 is the kind of a symbol; A is the version node itself.
LC_ALL=C nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | grep -v "$extra" |
    LC_ALL=C sort >exports.found
if diff -u "$list" exports.found; then
    echo "$(wc -l <exports.found) names, as listed"
else
    echo "libacre.so (+) does not export what tests/api/exports.txt lists (-)" >&2
    exit 1
fi

# The packages of packaging/debian promise the same names.
symbols=$(echo "${srcdir:-.}"/../../packaging/debian/libacre[0-9]*.symbols)
if ! sed -n 's/^ \([^ ]*\)@Base .*/\1/p; s/^ \([^ A][^ ]*\)@\(ACRE_[^ ]*\) .*/\1@@\2/p' "$symbols" |
    LC_ALL=C sort | diff -u "${srcdir:-.}/../api/exports.txt" -; then
    echo "$symbols (+) does not have the names of tests/api/exports.txt (-)" >&2
    exit 1
fi

# sigaction is called by the constructor alone, with nothing of acre's held (option stats_signal).
calls='mmap|mmap64|munmap|mprotect|madvise|posix_madvise|mremap|mincore|brk|sbrk|syscall'
calls="$calls|clock_gettime|gettimeofday|time|getrandom|getentropy|getrlimit|prctl|fcntl|dup|dup2"
calls="$calls|stat|fstat|lstat|fstatat|open|openat|read|write|close|getpid|gettid|getenv"
calls="$calls|signal|sigprocmask|raise|kill|tgkill|abort|exit|_exit|sched_yield|nanosleep"
if [ -n "$prefix" ]; then
    # what the prefix was taken from, and what libc has besides
    calls="$calls|$prefix.*|__libc_.*alloc.*|_Z.*|$(grep "^$prefix" exports.found | grep -v '@@' |
        sed "s/^$prefix//" | tr '\n' '|')strdup|asprintf"
fi
if LC_ALL=C nm -D --undefined-only "$library" | sed 's/.* //; s/@.*//' | grep -xE "$calls"; then
    echo "libacre.so calls these of libc; a library loaded before libc may have its own" >&2
    exit 1
fi
