#!/bin/sh
# malloc and free are, to the instruction, what short_paths.txt lists: nothing that is off by default
# (the heap profile, probes) costs them anything. Numbers and addresses stand as N in the list, and
# padding is left out. It is what gcc 12 makes of them for x86-64 at -O2; other builds are not
# compared.
#
# Environment: ACRE_CC, the compiler; ACRE_USER_CFLAGS and ACRE_CFLAGS, its flags.
set -eu

library=../../lib/.libs/libacre.so
list=${srcdir:-.}/short_paths.txt

skip() {
    echo "not compared: $1"
    exit 77
}

[ -z "${ACRE_PREFIX-}" ] || skip "they have other names"
flags="${ACRE_USER_CFLAGS-} ${ACRE_CFLAGS-}"
machine=$(${ACRE_CC-cc} -dumpmachine)
version=$(echo __GNUC__ __clang__ | ${ACRE_CC-cc} -E -P -)
case $machine in x86_64-*linux-gnu) ;; *) skip "made for $machine" ;; esac
[ "$version" = "12 __clang__" ] || skip "the compiler is not gcc 12"
case " $flags" in *" -O2"*) ;; *) skip "not built with -O2" ;; esac
for flag in $flags; do
    case $flag in
    -O2 | -g* | -W* | -D_FORTIFY_SOURCE* | -std=* | -I* | -pthread | -pipe) ;;
    *) skip "built with $flag" ;;
    esac
done

# The instructions of an exported function.
instructions() { # NAME
    nm -D -S "$library" | awk -v name="$1" '$4 == name { print $1, $2 }' | {
        read -r start size
        LC_ALL=C objdump -d --no-show-raw-insn --start-address="0x$start" \
            --stop-address=$((0x$start + 0x$size)) "$library"
    } | sed -n 's/^ *[0-9a-f]*:[[:space:]]*//p' |
        sed -E 's/[[:space:]]*[#<].*//; s/\$?0x[0-9a-f]+/N/g; s/^(j[a-z]+|call) +[0-9a-f]+/\1 N/; s/ +/ /g' |
        grep -vE '^(nop|cs nop|data16|xchg %ax,%ax)'
}

for name in malloc free; do
    echo "$name:"
    instructions "$name"
done >short_paths.found
if ! diff -u "$list" short_paths.found >&2; then
    echo "malloc or free (+) is not what $list says (-)" >&2
    exit 1
fi
echo "$(grep -vc ':$' short_paths.found) instructions, as listed"
