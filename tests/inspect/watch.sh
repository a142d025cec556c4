#!/bin/bash
# acre-inspect --watch in a terminal of tmux: what it shows, the keys, other sizes, and the terminal
# afterwards.
set -euo pipefail

command -v tmux >/dev/null || {
    echo "no tmux here"
    exit 77
}
inspect=$(realpath ../../tools/acre-inspect)
directory=$(mktemp -d)
subject_id=
trap 'tmux -S "$directory/socket" kill-server 2>/dev/null || :
    [ -z "$subject_id" ] || kill "$subject_id" 2>/dev/null || :
    rm -rf "$directory"' EXIT

fail() {
    echo "watch.sh: $*" >&2
    exit 1
}
terminal() { # ARGUMENT...
    tmux -S "$directory/socket" -f /dev/null "$@"
}
screen() {
    terminal capture-pane -p -t watch
}
# Waits until the screen has a line of that form.
shows() { # PATTERN
    for _ in $(seq 200); do
        ! screen | grep -q -- "$1" || return 0
        sleep 0.05
    done
    fail "no \"$1\" on the screen: $(screen)"
}
# Starts a subject, which lives until it is killed.
start_subject() {
    rm -f "$directory/out"
    tail -f /dev/null | ./subject busy >"$directory/out" &
    for _ in $(seq 600); do
        ! grep -q '^block' "$directory/out" 2>/dev/null || break
        sleep 0.05
    done
    subject_id=$!
}
start_watch() { # ARGUMENT...
    terminal send-keys -t watch "clear; '$inspect' $* $subject_id; echo status=\$?" Enter
}
# The first numbers of the table whose head begins so.
column() { # HEAD
    screen | awk -v head="$1" 'found && NF == 0 { exit } found && $1 !~ /^[0-9]/ { exit }
        found { print $1 } $1 == head { found = 1 }'
}

start_subject
terminal new-session -d -s watch -x 80 -y 24 "env -i PATH='$PATH' TERM=screen PS1='ready> ' sh"
shows '^ready>'
terminal send-keys -t watch 'stty -g >'"'$directory/before'" Enter

echo "80 columns"
start_watch --watch=0.2
shows '^acre [0-9.]*, subject\['"$subject_id"'\], arenas 4 (0 without thread)$'
shows '^each second: windows [1-9]'
shows ' subject-thread '
shows '^ *class *slabs *live *live bytes *pinned *windows/s$'
shows '^ *arena *thread *name *in slabs *live *pinned *resident$'
screen | awk 'length > 80 { exit 1 }' || fail "a line is too long: $(screen)"

echo "keys"
terminal send-keys -t watch n
shows '^sorted by n '
column class >"$directory/numbers"
[ "$(wc -l <"$directory/numbers")" -ge 5 ] && sort -n -c "$directory/numbers" ||
    fail "not by number: $(screen)"
[ "$(column arena | tr '\n' ' ')" = "1 2 3 4 " ] || fail "not by number: $(screen)"
terminal send-keys -t watch l
shows '^sorted by l '
! column class | sort -n -c 2>/dev/null || fail "by number still: $(screen)"

echo "other sizes"
terminal resize-window -t watch -x 120 -y 50
terminal send-keys -t watch n
sleep 0.5
column class >"$directory/more"
[ "$(wc -l <"$directory/more")" -gt "$(wc -l <"$directory/numbers")" ] ||
    fail "no more rows on a larger screen: $(screen)"
terminal resize-window -t watch -x 30 -y 6
shows '^live '
terminal resize-window -t watch -x 80 -y 24
shows ' subject-thread '

echo "the terminal afterwards"
terminal send-keys -t watch q
shows '^status=0$'
! screen | grep -q 'sorted by' || fail "the view is left: $(screen)"
terminal send-keys -t watch 'stty -g >'"'$directory/after'"'; echo kept' Enter
shows '^kept$'
cmp "$directory/before" "$directory/after" || fail "the terminal is set otherwise"

echo "a signal"
start_watch --watch
shows '^sorted by'
pkill -INT -P "$(terminal list-panes -t watch -F '#{pane_pid}')" || fail "no acre-inspect"
shows '^status='
terminal send-keys -t watch 'stty -g >'"'$directory/after'"'; echo "kept "too' Enter
shows '^kept too$'
cmp "$directory/before" "$directory/after" || fail "the terminal is set otherwise after SIGINT"

echo "the process ends"
start_watch --watch=0.2
shows '^sorted by'
kill "$subject_id"
shows '^acre-inspect: process .* (subject) has ended'
shows '^status=1$'
subject_id=

echo "what it must refuse"
said=$("$inspect" --watch $$ 2>&1 </dev/null) || :
[[ $said == *"there is no acre"* ]] || fail "$said"
said=$("$inspect" --watch=0 $$ 2>&1) && fail "--watch=0" || :
[[ $said == *"allowed: 0.1 to 86400 seconds"* ]] || fail "--watch=0: $said"
echo "all right"
