#!/bin/bash
# Static analysis of C files: gcc's -fanalyzer, clang-tidy with the checks of .clang-tidy, cppcheck.
# "make lint" runs it, in lib and in tools:
#
#   run.sh FILE... -- COMPILER-FLAG...
#
# Prints what they find. The exit status is 0 if that is nothing, 1 if it is something, 77 if one of
# the three programs is missing.
set -euo pipefail
files=()
while [ "$1" != -- ]; do
    files+=("$1")
    shift
done
shift
for program in gcc clang-tidy cppcheck; do
    command -v "$program" >/dev/null || { echo "skipped: there is no $program"; exit 77; }
done

# each COMMAND...: runs it with each file as its last argument, on all processors.
each() {
    printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$(nproc)" "$@"
}

status=0
# A program that ends need not free, and gcc does not count the turns of a loop through a list.
each gcc "$@" -O2 -fanalyzer -Wno-analyzer-malloc-leak -Wno-analyzer-null-argument -Werror -c -o /dev/null ||
    status=1
# shellcheck disable=SC2016
each bash -c 'clang-tidy --quiet "${!#}" -- "${@:1:$#-1}" 2>/dev/null' lint "$@" || status=1
# It reads no header of the system, of which ElfW and the names of formats are, and knows no _Noreturn.
definitions=()
for flag; do
    case $flag in -I* | -D*) definitions+=("$flag") ;; esac
done
cppcheck -q --enable=warning,performance,portability --inline-suppr --std=c11 --error-exitcode=1 \
    --suppress=missingInclude --suppress=internalAstError --suppress=nullPointerRedundantCheck -D__x86_64__ '-DElfW(type)=Elf64_##type' \
    "${definitions[@]}" "${files[@]}" || status=1
exit "$status"
