#!/bin/bash
# acre-run --leaks: what is lost is found, with its stack, and nothing that a variable, a register, a
# stack or another block leads to; exit statuses.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"

# Runs it; checks the exit status and the sizes of the classes of the blocks that are leaks.
check() { # STATUS SIZES HOW...
    local wanted=$1 sizes=$2 status=0
    shift 2
    "$acre_run" --leaks ./leaks "$@" 2>"$directory/text" || status=$?
    [ "$status" -eq "$wanted" ] || fail "$*: status $status: $(cat "$directory/text")"
    found=$(sed -n 's/^   blocks of \(.*\) bytes$/\1/p' "$directory/text" | sort -n | tr '\n' ' ')
    [ "$found" = "$sizes" ] || fail "$*: leaks of $found: $(cat "$directory/text")"
    if [ -z "$sizes" ]; then
        grep -q ': no leaks$' "$directory/text" || fail "$*: $(cat "$directory/text")"
    fi
}

shows() { # REGULAR-EXPRESSION
    grep -q "$1" "$directory/text" || fail "no $1 in: $(cat "$directory/text")"
}

echo "nothing is lost"
check 3 "" exit
check 3 "" global interior nested register stack thread_local exit
shows '^  still reachable .* in [0-9]* blocks$'

echo "something is"
check 23 "1024 " lost exit
shows '^acre .*, leaks\[[0-9]*\]: leaks of 1 KiB in 1 block$'
shows '^1\. 1 KiB in 1 block leaked, 100.0 %'
shows '^      lose  *[^ ]*leaks.c:[0-9]*$'
check 23 "1536 " popped exit
check 23 "2048 2560 " chain exit
shows '^  other leaks lead to 2.5 KiB in 1 block of them$'
check 23 "6144 7168 " ring exit
shows '^  other leaks lead to .* in 1 block of them$'
check 23 "1024 2048 2560 6144 7168 " \
    lost global chain interior ring nested register stack thread_local exit
shows '^acre .*: leaks of 18.5 KiB in 5 blocks$'

echo "however it ends"
for end in exit _exit quick thread_exit; do
    check 23 "1024 " lost $end
    check 3 "" stack $end
done
check 23 "1024 " lost main_exits
check 0 "" main_exits
check 134 "1024 " lost abort
check 137 "1024 " lost kill

echo "a child of fork"
check 23 "7168 " fork exit
shows '^      lose_in_child '
[ "$(grep -c '^acre ' "$directory/text")" -eq 2 ] || fail "fork: $(cat "$directory/text")"

check 23 "1024 " lost vfork exit
[ "$(grep -c '^acre ' "$directory/text")" -eq 1 ] || fail "vfork: $(cat "$directory/text")"

echo "to a file, in another format"
status=0
"$profile" run --leaks --format folded -o "$directory/leaks" -- \
    env LD_PRELOAD="$ACRE_LIBRARY" ./leaks lost chain exit || status=$?
[ "$status" -eq 23 ] || fail "status $status"
check_folded "$directory/leaks" lose 1024
check_folded "$directory/leaks" lose_chain $((2048 + 2560))
status=0
"$acre_run" --leaks --profile "$directory/leaks.folded" ./leaks lost global exit || status=$?
[ "$status" -eq 23 ] || fail "--leaks --profile: status $status"
[ "$(folded_total "$directory/leaks.folded")" = 1024 ] ||
    fail "--leaks --profile: $(cat "$directory/leaks.folded")"
echo "all right"
