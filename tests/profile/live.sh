#!/bin/bash
# The profile of a process that was started without any option: started, marked, read, stopped, with
# figures that are known exactly; of a static program, of a core, and what is refused.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"
programs=$PWD

# What the program's places hold after "sml": blocks of the size classes 112, 3072, and whole pages.
check_known() { # PROCESS-OR-CORE
    "$profile" dump --format folded "$1" >"$directory/folded"
    check_folded "$directory/folded" small $((1000 * 112))
    check_folded "$directory/folded" middle $((250 * 3072))
    check_folded "$directory/folded" large $((3 * 3145728))
    "$profile" dump --format folded --allocated "$1" >"$directory/folded"
    check_folded "$directory/folded" small $((1000 * 112))
    check_folded "$directory/folded" middle $((500 * 3072))
    check_folded "$directory/folded" large $((3 * 3145728))
    "$profile" dump "$1" >"$directory/text"
    grep -q '^[0-9]*\. 109.4 KiB in 1000 blocks live, .* age [0-9.]* s, allocated 109.4 KiB$' \
        "$directory/text" || fail "the table: $(cat "$directory/text")"
    grep -q '^      middle  *[^ ]*subject.c:[0-9]*$' "$directory/text" ||
        fail "the table's frames: $(cat "$directory/text")"
}

for program in subject static; do
    [ -x "./$program" ] || continue
    echo "a process of $program: started, read, stopped"
    start_subject "$programs/$program"
    check_refusal 1 "has no profile: \"acre-profile start PID\" starts one" \
        "$profile" dump "$subject_id"
    check_refusal 1 "takes no profile now" "$profile" mark "$subject_id"
    tell s # before the start: not in the profile
    "$profile" start --interval 1 "$subject_id" >"$directory/text"
    grep -q "process $subject_id ($program): the profile is on, with a sample each 1\$" \
        "$directory/text" || fail "start: $(cat "$directory/text")"
    for letter in s m l; do tell $letter; done
    "$profile" start --interval 1 "$subject_id" >"$directory/text"
    grep -q "the profile is on already" "$directory/text" || fail "start: $(cat "$directory/text")"
    check_known "$subject_id"
    "$profile" mark "$subject_id" >"$directory/text"
    sleep 0.01
    tell s
    "$profile" dump --format folded --since-mark "$subject_id" >"$directory/folded"
    check_folded "$directory/folded" small $((1000 * 112))
    check_folded "$directory/folded" middle 0
    "$profile" dump --format folded --older 3600 "$subject_id" >"$directory/folded"
    [ ! -s "$directory/folded" ] || fail "older than an hour: $(cat "$directory/folded")"
    "$profile" dump --format folded --newer 3600 "$subject_id" >"$directory/folded"
    check_folded "$directory/folded" small $((2000 * 112))
    "$profile" stop "$subject_id" >"$directory/text"
    grep -q "the profile is off" "$directory/text" || fail "stop: $(cat "$directory/text")"
    "$profile" stop --quiet "$subject_id" >"$directory/text"
    grep -q "the profile was off already" "$directory/text" || fail "stop: $(cat "$directory/text")"
    tell s
    "$profile" dump --format folded "$subject_id" >"$directory/folded"
    check_folded "$directory/folded" small $((2000 * 112))
    # anew: what was is forgotten
    "$profile" start --interval 1 "$subject_id" >/dev/null
    tell m
    "$profile" dump --format folded "$subject_id" >"$directory/folded"
    check_folded "$directory/folded" small 0
    check_folded "$directory/folded" middle $((250 * 3072))
    [ "$(grep -c 'profile is .* now, set from outside' "$directory/log")" -eq 3 ] ||
        fail "what the process says: $(cat "$directory/log")"
    end_subject
done

echo "what pins pages"
start_filled sp "$programs/subject"
[ ! -s "$directory/log" ] || fail "--quiet: the process says: $(cat "$directory/log")"
kill -STOP "$subject_id"
"$profile" dump --pinned "$subject_id" >"$directory/text"
# the class is used by nothing else that is live
"$inspect" --class 64 "$subject_id" >"$directory/class"
pinned=$(sed -n 's/^  pages of which less than a quarter is live: //p' "$directory/class")
awk '/^[0-9]+\. / { pins = $0; sub(/.*, pins /, "", pins); sub(/,.*/, "", pins) }
    $1 == "sparse" { print pins } $1 == "small" { print pins >dense }' dense="$directory/dense" \
    "$directory/text" >"$directory/pins"
[ "$(cat "$directory/pins")" = "$pinned" ] ||
    fail "pinned: $pinned, by stack: $(cat "$directory/pins"); $(cat "$directory/text")"
# of small() at most the last page
[[ $(cat "$directory/dense") =~ ^(0 B|[1-4](\.[0-9])?\ KiB)$ ]] ||
    fail "small() pins $(cat "$directory/dense")"
[[ $pinned == *KiB ]] && [ "${pinned%%[. ]*}" -ge 500 ] || fail "little is pinned: $pinned"
end_subject

echo "several sizes at one place"
start_subject "$programs/subject"
tell x # the classes are in use: the first few blocks of one are larger
"$profile" start --interval 1 --quiet "$subject_id" >/dev/null
tell x
"$profile" dump "$subject_id" >"$directory/text"
grep -q '^   blocks of 5120, 1024, 896, 768, 640 bytes$' "$directory/text" ||
    fail "sizes: $(cat "$directory/text")"
end_subject

echo "what an address is"
start_filled ms "$programs/subject"
address=$(gdb -batch -p "$subject_id" -ex 'print/x (long)kept[1600]' 2>/dev/null |
    sed -n 's/^\$1 = //p' || :)
if [ -n "$address" ]; then
    "$inspect" --find "$address" "$subject_id" >"$directory/text"
    grep -q "^  allocated by thread $subject_id, " "$directory/text" &&
        grep -q '^    small [^ ]*subject.c:' "$directory/text" ||
        fail "--find: $(cat "$directory/text")"
else
    echo "no gdb here that can read a process"
fi
end_subject

if has_cores; then
    for program in subject static; do
        [ -x "./$program" ] || continue
        echo "a core of $program"
        rm -f "$directory"/core*
        start_filled sml "$programs/$program"
        printf a >&7
        end_subject 2>/dev/null
        check_known "$directory"/core*
        check_refusal 1 "is a core: only a process can be changed" \
            "$profile" start "$directory"/core*
    done
fi

echo "what is refused"
check_refusal 2 '--interval cannot be "0"; allowed: 1..64G' "$profile" start --interval 0 1
check_refusal 2 '--interval cannot be "many"' "$profile" start --interval many 1
check_refusal 2 'there is no format "xml"; there are: text pprof heap_v2 folded html' \
    "$profile" dump --format xml 1
check_refusal 2 'mark has no option --interval' "$profile" mark --interval 1 1
check_refusal 2 'no process given' "$profile" start
check_refusal 2 'there is no command "begin"' "$profile" begin 1
check_refusal 2 'run writes that format to a file' "$profile" run --format pprof true
sleep 60 &
check_refusal 1 "there is no acre in process $! (" "$profile" start $!
kill $!
wait $! || :
check_refusal 1 "there is no process $!" "$profile" dump $!
start_subject "$programs/subject"
if [ "$(id -u)" -eq 0 ] && command -v runuser >/dev/null; then
    check_refusal 1 "which is user root's: run this as root" \
        runuser -u nobody -- "$profile" start "$subject_id"
fi
"$profile" start "$subject_id" >/dev/null
check_refusal 1 "$directory/none/file: No such file" \
    "$profile" dump -o "$directory/none/file" "$subject_id"
end_subject

echo "a stop that the process had no time for, taken back by a start"
start_subject "$programs/subject"
"$profile" start --interval 1 "$subject_id" >/dev/null
kill -STOP "$subject_id"
check_refusal 1 "the request stays" "$profile" stop "$subject_id"
"$profile" start --interval 1 "$subject_id" >"$directory/text"
grep -q "the profile is on already" "$directory/text" || fail "start: $(cat "$directory/text")"
kill -CONT "$subject_id"
for _ in $(seq 200); do
    [ "$(grep -c 'profile is .* now' "$directory/log")" -lt 2 ] || break
    sleep 0.05
done
"$profile" dump "$subject_id" >"$directory/text"
grep -q ': profile for .*, of each block$' "$directory/text" || fail "$(cat "$directory/text")"
end_subject

echo "a process that allocates nothing"
LD_PRELOAD=$ACRE_LIBRARY sleep 1000 &
idle=$!
for _ in $(seq 100); do
    grep -q libacre "/proc/$idle/maps" 2>/dev/null && break
    sleep 0.05
done
check_refusal 1 "has not done it yet; the request stays: it does it when malloc or free next takes" \
    "$profile" start "$idle"
kill "$idle"
wait "$idle" 2>/dev/null || :
echo "all right"
