#!/bin/bash
# acre-profile run and acre-run --profile: the command's profile is written right before it ends,
# however it ends, and its exit status and signal are passed on; shells, children, other programs;
# no process is left stopped.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"
file=$directory/p.folded
preload=(env LD_PRELOAD="$ACRE_LIBRARY")
export ACRE_OPTIONS=profile:1

# Runs it; checks the exit status.
run() { # STATUS ARGUMENT...
    local wanted=$1 status=0
    shift
    rm -f "${file%.folded}".*
    "$@" >"$directory/said" 2>"$directory/errors" || status=$?
    [ "$status" -eq "$wanted" ] ||
        fail "$*: status $status, not $wanted: $(cat "$directory/errors")"
}

echo "however it ends"
for end in exit:3 _exit:3 quick:3 thread_exit:3 main_exits:0 abort:134 kill:137; do
    run "${end#*:}" "$acre_run" --profile "$file" ./leaks lost global ${end%:*}
    check_folded "$file" lose 1024
    grep -q ';act;get 3072$' "$file" || fail "$end: $(cat "$file")"
done
# the shell says what signal has ended it
bash -c '"$@"; :' shell "$acre_run" --profile "$file" ./leaks lost abort 2>"$directory/errors"
grep -q ' Aborted ' "$directory/errors" || fail "abort: $(cat "$directory/errors")"
run 0 "$acre_run" --profile "$directory/p.txt" ./leaks lost
grep -q ': profile for .*, of each block$' "$directory/p.txt" || fail "$(cat "$directory/p.txt")"

echo "the interval: the user's option, that of the command line, none"
ACRE_OPTIONS=profile:64K run 0 "$profile" run "${preload[@]}" ./leaks lost
grep -q ', a sample each 64 KiB$' "$directory/errors" || fail "$(cat "$directory/errors")"
ACRE_OPTIONS=profile:64K run 0 "$profile" run --interval 2M "${preload[@]}" ./leaks lost
grep -q ', a sample each 2 MiB$' "$directory/errors" || fail "$(cat "$directory/errors")"
ACRE_OPTIONS='' run 0 "$profile" run "${preload[@]}" ./leaks lost
grep -q ', a sample each 512 KiB$' "$directory/errors" || fail "$(cat "$directory/errors")"

echo "shells, and what they start"
run 3 "$acre_run" --profile "$file" sh -c 'exec ./leaks lost exit'
check_folded "$file" lose 1024
run 5 "$acre_run" --profile "$file" sh -c './leaks lost exit; ./leaks chain exit; exit 5'
check_folded "$file" lose 0
[ "$(ls "${file%.folded}".[0-9]* | wc -l)" -eq 2 ] || fail "$(ls "$directory")"
cat "${file%.folded}".[0-9]* >"$directory/both"
check_folded "$directory/both" lose 1024
check_folded "$directory/both" lose_chain 4608
run 0 "$acre_run" --profile "$directory/%n.%p.folded" sh -c './leaks lost; :'
[ -s "$directory"/leaks.*.folded ] || fail "%n.%p: $(ls "$directory")"

echo "the peak is no less than what is live"
run 0 "$acre_run" --profile "$file" ./leaks nested global lost
live=$(folded_total "$file")
run 0 "$profile" run --peak -o "$file" "${preload[@]}" ./leaks nested global lost
[ "$(folded_total "$file")" -ge "$live" ] || fail "below $live: $(cat "$file")"

echo "a file that cannot be written"
run 5 "$acre_run" --profile "$directory/none/p.folded" sh -c './leaks lost exit; echo on; exit 5'
grep -q '^on$' "$directory/said" || fail "the command was not waited for"
[ "$(grep -c '/p\.[0-9.]*folded: No such file or directory$' "$directory/errors")" -eq 2 ] ||
    fail "$(cat "$directory/errors")"

echo "children"
run 3 "$acre_run" --profile "$file" ./leaks lost fork exit
check_folded "$file" lose 1024
check_folded "$file" lose_in_child 0
check_folded "$(ls "${file%.folded}".[0-9]*)" lose_in_child 7168
if command -v python3 >/dev/null; then
    run 4 "$acre_run" --profile "$file" python3 -c '
import os, subprocess, sys, threading
subprocess.run(["true"])                      # vfork, or clone with its flags
for i in range(50):
    threading.Thread(target=lambda: None).start()
if os.fork() == 0: os._exit(0)
os.wait()
sys.exit(4)'
    [ -s "$file" ] || fail "python: $(cat "$directory/errors")"
fi

echo "signals"
for name in TERM HUP USR1; do
    # what would end acre-profile it passes on
    rm -f "$directory/said"
    "$acre_run" --profile "$file" sh -c 'trap "exit 9" TERM HUP USR1; echo $$
        for i in $(seq 300); do sleep 0.1; done' >"$directory/said" 2>"$directory/errors" &
    for _ in $(seq 200); do
        [ ! -s "$directory/said" ] || break
        sleep 0.05
    done
    kill -$name $!
    status=0
    wait $! || status=$?
    [ "$status" -eq 9 ] || fail "$name: status $status: $(cat "$directory/errors")"
    [ -s "$file" ] || fail "$name: no profile"
done
run 0 "$acre_run" --profile "$file" sh -c 'sleep 0.2 & kill -STOP $!; kill -CONT $!; wait'

echo "threads that end as their process does: each child has its profile"
run 7 "$profile" run -o "$file" "${preload[@]}" ./ending
[ "$(ls "${file%.folded}".[0-9]* | wc -l)" -eq 30 ] || fail "$(ls "$directory")"

echo "processes that are killed as they fork"
run 7 "$profile" run ./killed

echo "a file that cannot be written"
for part in 'exit 7' './leaks lost exit; ./leaks lost exit; sleep 0.1; exit 7'; do
    run 7 "$acre_run" --profile "$directory/none/p.txt" sh -c "$part"
    grep -q "$directory/none/p.*txt: No such file" "$directory/errors" ||
        fail "$(cat "$directory/errors")"
done
run 134 "$acre_run" --profile "$directory/none/p.txt" ./leaks lost abort

echo "what goes on after the command"
"$acre_run" --profile "$file" sh -c 'sleep 3 >/dev/null 2>&1 & echo $!' >"$directory/said"
kill -0 "$(cat "$directory/said")" || fail "a process that the command left running was ended"
kill "$(cat "$directory/said")"

echo "what cannot be"
run 127 "$profile" run "$directory/none"
run 126 "$profile" run "$directory"
run 125 "$acre_run" --profile
run 0 "$profile" run true
grep -q 'true has ended without acre in it: .*"acre-run --profile FILE COMMAND" preloads it' \
    "$directory/errors" || fail "$(cat "$directory/errors")"
run 0 env ACRE_OPTIONS= "$profile" run --interval 1 "${preload[@]}" true
if [ -x ./static ]; then
    run 0 "$profile" run -o "$file" ./static </dev/null
    [ -f "$file" ] || fail "static: $(cat "$directory/errors")"
fi
echo "all right"
