#!/bin/sh
# What doc/migrating.md names as acre's is there: each function acre_... is exported, each option "name" or
# "name:value" in a right-hand column is in the table of options, each flag of a tool is in its page. Among the
# symptoms are those that every allocator that is preloaded meets.
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

missing=0
count=0
fail() {
    echo "doc/migrating.md: $*" >&2
    missing=$((missing + 1))
}

right=$(awk -F '|' '/^\| / { print $(NF - 1) }' doc/migrating.md)
for name in $(echo "$right" | grep -o '`[^`]*`' | tr -d '`' | sed 's/[ (].*//' | sort -u); do
    count=$((count + 1))
    case $name in
    acre_*) grep -qw "$name(.*" include/acre/acre.h || fail "acre.h has no $name" ;;
    acre-*) [ -f "man/$name.1" ] || fail "there is no $name" ;;
    *:*) grep -q "{\"${name%%:*}\"," lib/base/option.c || fail "there is no option ${name%%:*}" ;;
    /* | FILE* | [A-Z]*) ;;
    *)
        grep -q "{\"$name\"," lib/base/option.c || grep -qx "$name" tests/api/exports.txt ||
            grep -qw "size_t $name;" include/acre/acre.h || fail "$name is no option, function or figure"
        ;;
    esac
done
for flag in $(echo "$right" | grep -o 'acre-[a-z]* --[a-z]*' | sed 's/ --/:/' | sort -u); do
    grep -q -- "Fl -${flag#*:}" "man/${flag%%:*}.1" || fail "${flag%%:*} has no --${flag#*:}"
done
symptoms=$(sed -n '/^## Something is wrong/,$p' doc/migrating.md)
for word in 'static TLS' 'set-user-ID' RTLD_DEEPBIND 'allocator of its own' sanitizer seccomp musl '32 bits'; do
    echo "$symptoms" | grep -q "$word" || fail "no symptom of $word"
done
if [ "$count" -lt 30 ]; then
    echo "doc/migrating.md: $count names, too few to be all" >&2
    exit 1
fi

[ "$missing" -eq 0 ] || exit 1
echo "$count names, all there"
