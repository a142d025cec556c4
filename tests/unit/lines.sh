#!/bin/sh
# Static data that the short paths of all threads read lies on no line of the cache with other data
# that is written: a lock taken by one thread would cost the mallocs and frees of all others a cache
# miss. Fields of structures: test_lines.c.
#
# Environment: ACRE_CC, the compiler; ACRE_PREFIX.
set -eu

library=../../lib/.libs/libacre.so

# Read by malloc and free, or by each slow path, of every thread.
hot="unit_map size_class_short_path option_table heap_nobody heap_header arena_none fork_state"
# Written once, or as seldom as a fork, a new piece of metadata, or an option that changes.
seldom="meta_bytes program_name cached completed advice_is_ignored any_advice_succeeds size_class_all_seen stays_diverted hardened_mode \
fills secret report_damage former"

command -v nm >/dev/null || { echo "skipped: there is no nm"; exit 77; }
nm -n -S "$library" | grep -q ' unit_map$' || { echo "skipped: the library is stripped"; exit 77; }

nm -n -S "$library" | awk -v hot="$hot" -v seldom="$seldom" '
BEGIN {
    split(hot, names)
    for (i in names)
        is_hot[names[i]] = 1
    split(seldom, names)
    for (i in names)
        may_share[names[i]] = 1
}

function hex(text,    value, i) {
    for (i = 1; i <= length(text); i++)
        value = value * 16 + index("0123456789abcdef", substr(text, i, 1)) - 1
    return value
}

# Static data with a size: "address size type name". Of a function it is "name.number", or with clang
# "function.name".
NF == 4 && $3 ~ /^[bBdD]$/ && $1 !~ /^00000000000000[0-9a-f][0-9a-f]$/ {
    name = $4
    sub(/\.[0-9]+$/, "", name)
    sub(/.*\./, "", name)
    first = int(hex($1) / 64)
    last = int((hex($1) + hex($2) - 1) / 64)
    if (name in is_hot)
        found[name] = 1
    for (line = first; line <= last; line++) {
        if (line in on)
            other = on[line]
        else
            other = ""
        if (other != "" && (name in is_hot) != (other in is_hot) &&
            !(name in may_share) && !(other in may_share)) {
            printf "%s and %s are on one line of the cache\n", other, name > "/dev/stderr"
            faults++
        }
        if (other == "" || name in is_hot)
            on[line] = name
    }
}

END {
    for (name in is_hot)
        if (!(name in found)) {
            printf "there is no %s\n", name > "/dev/stderr"
            faults++
        }
    exit faults != 0
}'
echo "$(echo "$hot" | wc -w) objects, each apart from what is written"
