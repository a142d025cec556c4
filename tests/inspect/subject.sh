# For tests that look at a process: sourced with $directory, an empty directory of the test's own.
# A test may change these variables.
subject_seconds=30  # for which it waits
subject_at=.        # the directory in which the process runs
subject_log=        # the file of its standard error; empty: that of the test
subject_ready=block # the line that it writes when it holds its blocks begins so
subject_prefix=()   # words before its command
subject_id=
trap 'end_subject; rm -rf "$directory"' EXIT

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Starts a subject in the background, waits until it holds its blocks: subject_id, $directory/out.
start_subject() { # COMMAND...
    rm -f "$directory/input" "$directory/out"
    mkfifo "$directory/input"
    (cd "$subject_at" && { [ -z "$subject_log" ] || exec 2>"$subject_log"; } &&
        exec "${subject_prefix[@]}" "$@") <"$directory/input" >"$directory/out" &
    subject_id=$!
    exec 7>"$directory/input"
    wait_for "$subject_ready"
}

# Waits until the subject has written COUNT lines that begin with BEGINNING.
wait_for() { # BEGINNING [COUNT=1]
    for _ in $(seq $((subject_seconds * 20))); do
        [ "$(grep -c "^$1" "$directory/out" || :)" -lt "${2:-1}" ] || return 0
        sleep 0.05
    done
    fail "the subject does not say \"$1\""
}

end_subject() {
    [ -z "$subject_id" ] || { kill -CONT "$subject_id" 2>/dev/null || :; exec 7>&- && wait "$subject_id" || :; }
    subject_id=
}

# True if a process that crashes leaves a core in its directory; else says why not.
has_cores() {
    local pattern
    pattern=$(cat /proc/sys/kernel/core_pattern)
    [[ $pattern != core* ]] || ! ulimit -c unlimited 2>/dev/null || return 0
    echo "no cores here: core_pattern is $pattern, ulimit -c is $(ulimit -c)"
    return 1
}
