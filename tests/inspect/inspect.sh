#!/bin/bash
# acre-inspect on processes and cores of the program subject, and on what it must refuse.
#
# Environment: ACRE_LIBRARY, the shared library to preload.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/subject.sh"
chmod 755 "$directory"
cp ../../tools/acre-inspect "$directory/acre-inspect"
inspect=$directory/acre-inspect

# The first number of that name in a JSON file.
number() { # NAME FILE
    sed -n "s/.*\"$1\": \\([0-9]*\\).*/\\1/p" "$2" | head -n 1
}

# What the subject has printed of an address: block, freed or large.
address() { # NAME
    sed -n "s/^block.*/ &/; s/.* $1 \\(0x[0-9a-f]*\\).*/\\1/p" "$directory/out"
}

# The figures from outside are those that the subject has printed, and known ones are right.
check_figures() { # FILE
    local name
    for name in live mapped pinned arenas heaps heap_mapped in_slabs free_dirty small_blocks \
        small_live large_blocks large_live stock metadata slabs_peak large_peak adoptions; do
        [ "$(number $name "$1")" = "$(number $name "$directory/out")" ] ||
            fail "$name is $(number $name "$1"), the process says $(number $name "$directory/out")"
    done
    diff <(grep '{"size"' "$1") <(grep '{"size"' "$directory/out") || fail "other classes"
    [ "$(sed -n 's/.*{"class".*"windows": \([0-9]*\).*/\1/p' "$1" | awk '{ sum += $1 } END { print sum }')" = \
        "$(number windows "$1")" ] || fail "the windows of all classes are not those of the process"
    grep '{"size": 3072,' "$1" >"$directory/class"
    [ "$(number live "$directory/class")" = 600 ] || fail "not 600 blocks: $(cat "$directory/class")"
    [ "$(number remote "$directory/class")" = 600 ] || fail "not 600 freed by another thread"
    [ "$(number large_blocks "$1")" = 2 ] && [ "$(number large_live "$1")" = 6291456 ] ||
        fail "not 2 LARGE blocks of 3 MiB"
    [ "$(number stock "$1")" -ge 5242880 ] || fail "the freed LARGE block is not in the stock"
}

# What --find says of the subject's three addresses.
check_find() { # PROCESS-OR-CORE
    local found
    found=$("$inspect" --find "$(address block)" "$1")
    [[ $found == *"in a block: live"*"3072 bytes; the address is 0 bytes into it"*"arena "* ]] ||
        fail "--find block: $found"
    found=$("$inspect" --find "$(printf '0x%x' $(($(address block) + 100)))" "$1")
    [[ $found == *"100 bytes into it"* ]] || fail "--find inside a block: $found"
    found=$("$inspect" --find "$(address freed)" "$1")
    [[ $found == *"freed by another thread"* ]] || fail "--find freed: $found"
    found=$("$inspect" --find "$(address large)" "$1")
    [[ $found == *"in a LARGE block"*"3145728 bytes"* ]] || fail "--find large: $found"
    found=$("$inspect" --find 0x10 "$1")
    [[ $found == *"not in a block"* ]] || fail "--find 0x10: $found"
}

# What --find says of a guarded block, of one that was freed, and of the pages next to it.
check_guarded() { # PROCESS-OR-CORE
    local found freed=$(($(address freed)))
    found=$("$inspect" --find "$(address block)" "$1")
    [[ $found == *"in a guarded block: live"*"40 bytes; the address is 0 bytes into it"* ]] &&
        [[ $found != *"freed by"* ]] || fail "--find guarded: $found"
    [ ! -x ../../tools/acre-profile ] || [[ $found == *"allocated by thread "*hold_guarded* ]] ||
        fail "--find guarded: $found"
    found=$("$inspect" --find "$(printf '0x%x' $((freed + 1)))" "$1")
    [[ $found == *"in a guarded block: freed"*"40 bytes; the address is 1 bytes into it"* ]] ||
        fail "--find guarded, freed: $found"
    [ ! -x ../../tools/acre-profile ] ||
        [[ $found == *"freed by thread "*hold_guarded*"allocated by thread "*hold_guarded* ]] ||
        fail "--find guarded, freed: $found"
    found=$("$inspect" --find "$(printf '0x%x' $((freed / 4096 * 4096 + 4096)))" "$1")
    [[ $found == *"after a guarded block: freed"*" after its end"* ]] || fail "--find after: $found"
    found=$("$inspect" --find "$(printf '0x%x' $((freed / 4096 * 4096 + 3 * 4096)))" "$1")
    [[ $found == *"in the pool of guarded blocks, where none was"* ]] || fail "--find pool: $found"
}

# A block whose free the heap profile or hardened must see: which of the two its state does not tell.
check_seen() { # OPTIONS
    local found
    start_subject env ACRE_OPTIONS="$1" ./subject quiet
    found=$("$inspect" --find "$(address block)" "$subject_id")
    [[ $found == *"in a block: live, in the heap profile, or seen by another mode"* ]] ||
        fail "--find with $1: $found"
    end_subject
}

check_all() { # PROCESS-OR-CORE
    "$inspect" --json "$1" >"$directory/json"
    check_figures "$directory/json"
    check_find "$1"
}

# acre-inspect fails, and says this.
check_refusal() { # TEXT ARGUMENT...
    local text=$1 status=0 said
    shift
    said=$("$@" 2>&1 >/dev/null) || status=$?
    [ "$status" -eq 1 ] && [[ $said == *"$text"* ]] || fail "$*: status $status, $said"
}

echo "a process"
start_subject ./subject quiet
check_all "$subject_id"
"$inspect" "$subject_id" >"$directory/text"
grep -q '^  live LARGE  *2  *6 MiB$' "$directory/text" || fail "$(cat "$directory/text")"
[ "$(grep -c ' subject-thread ' "$directory/text")" = 3 ] || fail "threads: $(cat "$directory/text")"
"$inspect" --arena 1 "$subject_id" >"$directory/text"
[ "$(grep -c ' subject-thread ' "$directory/text")" -le 1 ] || fail "--arena shows others"
check_refusal "has no arena 77" "$inspect" --arena 77 "$subject_id"
"$inspect" --class 3000 "$subject_id" >"$directory/text"
grep -q '600 live blocks' "$directory/text" || fail "--class: $(cat "$directory/text")"

echo "Prometheus's format"
"$inspect" --prometheus "$subject_id" >"$directory/prom"
awk '/^# HELP / { help[$3] = 1; next }
     /^# TYPE / { type[$3] = $4; next }
     /^acre_[a-z_]*\{process="subject",pid="[0-9]+"(,size="[0-9]+")?\} [0-9]+$/ {
         name = $1; sub(/\{.*/, "", name)
         if (!(name in help) || !(name in type) || seen[$1]++) exit 1
         if ((name ~ /_total$/) != (type[name] == "counter")) exit 1
         next }
     { print "wrong: " $0; exit 1 }' "$directory/prom" || fail "Prometheus: $(cat "$directory/prom")"
[ -s "$directory/prom" ] || fail "nothing for Prometheus"

echo "a name that a terminal would obey"
cp ./plain "$directory/"$'a\e[7mb'
LD_PRELOAD=$ACRE_LIBRARY "$directory/"$'a\e[7mb' quiet <"$directory/input" >"$directory/named" 7>&- &
for _ in $(seq 600); do
    ! grep -q '^block' "$directory/named" || break
    sleep 0.05
done
"$inspect" $! >"$directory/text"
grep -q '^acre .*, a?\[7mb\[' "$directory/text" || fail "$(cat -v "$directory/text")"

if [ "$(id -u)" -eq 0 ] && command -v runuser >/dev/null; then
    echo "another user's process"
    check_refusal "which is user root's" runuser -u nobody -- "$inspect" "$subject_id"
    check_refusal "which is user root's" runuser -u nobody -- "$inspect" --trim "$subject_id"
fi
end_subject

echo "options from outside"
ACRE_OPTIONS=decay:3600000 start_subject ./subject steps 2>"$directory/log"
check_refused_set() { # TEXT ARGUMENT...
    local text=$1 status=0 said
    shift
    said=$("$inspect" "$@" "$subject_id" 2>&1) || status=$?
    [ "$status" -eq 2 ] && [[ $said == *"$text"* ]] || fail "$*: status $status, $said"
}
check_refused_set 'decay cannot be "3600001"; allowed: 0..3600000' --set decay:3600001
check_refused_set 'huge_pages cannot be "many"; allowed: never|large|' --set huge_pages:many
check_refused_set 'decay cannot be ""' --set decay
check_refused_set 'there is no option "decoy"; there are: on_error foreign decay ' --set decoy:1
check_refused_set 'stats_signal holds from the start only' --set stats_signal:10
check_refused_set 'go with no other option' --set decay:1 --json
check_refused_set '--quiet goes with' --quiet
stock() {
    "$inspect" --json "$subject_id" >"$directory/json"
    number stock "$directory/json"
}
# The subject takes slow paths until it has no free extent left.
step_until_no_stock() {
    for _ in $(seq 600); do
        echo >&7
        [ "$(stock)" -ne 0 ] || return 0
        sleep 0.01
    done
    fail "$1: the stock is $(stock)"
}
"$inspect" --set decay:1800000 --set dirty_limit:2M "$subject_id" >"$directory/text"
grep -q 'subject): decay is 1800000$' "$directory/text" &&
    grep -q 'subject): dirty_limit is 2M$' "$directory/text" || fail "$(cat "$directory/text")"
[ ! -s "$directory/log" ] || fail "a process that takes no slow path: $(cat "$directory/log")"
echo >&7
for _ in $(seq 600); do
    [ "$(wc -l <"$directory/log")" -lt 2 ] || break
    sleep 0.01
done
grep -q '^acre: subject\[[0-9]*\]: decay is 1800000 now, set from outside$' "$directory/log" &&
    grep -q ': dirty_limit is 2M now, ' "$directory/log" || fail "$(cat "$directory/log")"
[ "$(stock)" -ge 5242880 ] || fail "memory goes back within a decay: $(stock)"
"$inspect" --set decay:1 --quiet "$subject_id" >"$directory/text"
step_until_no_stock "--set decay:1"
[ "$(wc -l <"$directory/log")" -eq 2 ] || fail "--quiet: $(cat "$directory/log")"
end_subject

echo "statistics at exit, asked for from outside"
start_subject ./subject ends 2>"$directory/log"
"$inspect" --set stats:exit --quiet "$subject_id" >"$directory/text"
end_subject
grep -q '^acre [0-9.]*, subject\[[0-9]*\]$' "$directory/log" || fail "$(cat "$directory/log")"

echo "--trim"
ACRE_OPTIONS=decay:3600000 start_subject ./subject steps 2>"$directory/log"
echo >&7
[ "$(stock)" -ge 5242880 ] || fail "the stock is $(stock)"
"$inspect" --trim "$subject_id" >"$directory/text"
step_until_no_stock "--trim"
grep -q ': [0-9]* bytes given back, asked for from outside$' "$directory/log" ||
    fail "$(cat "$directory/log")"
[ "$(wc -l <"$directory/log")" -eq 1 ] || fail "more than one trim: $(cat "$directory/log")"
"$inspect" --trim --quiet "$subject_id" >"$directory/text"
for _ in 1 2 3; do echo >&7; done
end_subject
[ "$(wc -l <"$directory/log")" -eq 1 ] || fail "--trim --quiet: $(cat "$directory/log")"

echo "a stripped library, preloaded"
cp "$ACRE_LIBRARY" "$directory/libacre.so"
strip "$directory/libacre.so"
start_subject env LD_PRELOAD="$directory/libacre.so" ./plain quiet
check_all "$subject_id"
rm "$directory/libacre.so"
check_all "$subject_id"
end_subject

if [ -x ./static ]; then
    echo "a stripped static program"
    cp ./static "$directory/static"
    strip "$directory/static"
    start_subject "$directory/static" quiet
    check_all "$subject_id"
    end_subject
fi

echo "a busy process"
start_subject ./subject busy
for _ in $(seq 50); do
    "$inspect" --json "$subject_id" >"$directory/json"
    [ "$(number live "$directory/json")" -le "$(number mapped "$directory/json")" ] &&
        [ "$(number small_live "$directory/json")" -le "$(number in_slabs "$directory/json")" ] &&
        [ "$(number in_slabs "$directory/json")" -le "$(number heap_mapped "$directory/json")" ] &&
        [ "$(number small_blocks "$directory/json")" -ge 600 ] || fail "$(cat "$directory/json")"
done
end_subject

echo "blocks that a mode sees"
check_seen profile:1
check_seen hardened:1

echo "guarded blocks"
start_subject env ACRE_OPTIONS=guard:1 ./subject guard
check_guarded "$subject_id"
exec 7>&-
wait "$subject_id" 2>/dev/null || :
subject_id=
if has_cores; then
    echo "guarded blocks in a core, although the program has put its own handler in place of acre's"
    mkdir "$directory/guard.cores"
    own=$PWD/subject
    (cd "$directory/guard.cores" &&
        ACRE_OPTIONS=guard:1 "$own" guard >"$directory/out" </dev/null) 2>"$directory/text" || :
    ! grep -q '^acre: ' "$directory/text" || fail "the handler was replaced: $(cat "$directory/text")"
    check_guarded "$directory/guard.cores"/core*
    rm -r "$directory/guard.cores"
fi

if has_cores; then
    for program in subject static; do
        [ -x "./$program" ] || continue
        echo "a core of $program"
        mkdir "$directory/$program.cores"
        own=$PWD/$program
        (cd "$directory/$program.cores" && "$own" crash >"$directory/out" </dev/null) 2>/dev/null || :
        set -- "$directory/$program.cores"/core*
        check_all "$1"
        check_refusal "only a process can be changed" "$inspect" --trim "$1"
        size=$(stat -c %s "$1")
        truncate -s $((size / 2)) "$1"
        "$inspect" "$1" >"$directory/text" 2>&1 || :
        grep -q "is cut off" "$directory/text" || fail "a core that is cut off"
        rm "$1"
    done
    echo "a core without the headers of mapped files, and one whose library was built anew"
    cp "$ACRE_LIBRARY" "$directory/libacre.so"
    mkdir "$directory/plain.cores"
    plain=$PWD/plain
    crash_plain() { # COREDUMP_FILTER
        rm -f "$directory/plain.cores"/*
        (cd "$directory/plain.cores" && echo "$1" >/proc/self/coredump_filter &&
            LD_PRELOAD=$directory/libacre.so "$plain" crash >"$directory/out" </dev/null) 2>/dev/null || :
        core=$(find "$directory/plain.cores" -name 'core*')
    }
    crash_plain 0x23
    check_all "$core"
    crash_plain 0x33
    check_all "$core"
    [ "$("$inspect" "$core" 2>&1 >/dev/null)" = "" ] || fail "the library is the one that ran"
    offset=$(readelf -SW "$directory/libacre.so" |
        sed -n 's/^.*\] .note.gnu.build-id *NOTE *[0-9a-f]* \([0-9a-f]*\) .*/\1/p')
    if [ -n "$offset" ]; then
        # after the note's header and its name
        printf 'another' | dd of="$directory/libacre.so" bs=1 seek=$((0x$offset + 16)) conv=notrunc status=none
        "$inspect" --json "$core" >"$directory/json" 2>"$directory/text"
        check_figures "$directory/json"
        [ "$(grep -c "libacre.so is another build now" "$directory/text")" = 1 ] ||
            fail "another build: $(cat "$directory/text")"
    fi
    rm "$directory/libacre.so"
fi

if [ "$(id -u)" -eq 0 ] && unshare --fork --pid true 2>/dev/null; then
    echo "a process in a pid namespace of its own"
    start_subject unshare --fork --pid --kill-child ./subject quiet
    inner=$(pgrep -P "$subject_id")
    check_all "$inner"
    "$inspect" "$inner" >"$directory/text"
    [ "$(grep -c ' subject-thread ' "$directory/text")" = 3 ] ||
        fail "threads: $(cat "$directory/text")"
    end_subject
fi

echo "what it must refuse"
start_subject env LD_PRELOAD="$ACRE_LIBRARY" ./plain layout
check_refusal "has layout 99, this program reads layout" "$inspect" "$subject_id"
end_subject
sleep 60 &
until [ "$(cat /proc/$!/comm)" = sleep ]; do :; done # it has another name until it is executed
check_refusal "there is no acre in process $! (sleep)" "$inspect" $!
kill $!
wait $! || :
check_refusal "there is no process $!" "$inspect" $!
check_refusal "there is no process 99999999999" "$inspect" 99999999999
check_refusal "neither the id of a process nor a core" "$inspect" /etc/passwd
check_refusal "not a core" "$inspect" ./subject
check_refusal "No such file" "$inspect" "$directory/none"
echo "all right"
