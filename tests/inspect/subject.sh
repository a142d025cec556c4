# For tests that look at a process: sourced with $directory, an empty directory of the test's own.
# A test may change subject_seconds, for which it waits, and subject_at, where the process runs.
subject_id=
subject_seconds=30
subject_at=.
trap 'end_subject; rm -rf "$directory"' EXIT

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Starts a subject in the background, waits until it holds its blocks: subject_id, $directory/out.
start_subject() { # COMMAND...
    rm -f "$directory/input" "$directory/out"
    mkfifo "$directory/input"
    (cd "$subject_at" && exec "$@") <"$directory/input" >"$directory/out" &
    subject_id=$!
    exec 7>"$directory/input"
    wait_for_line
}

wait_for_line() {
    for _ in $(seq $((subject_seconds * 20))); do
        ! grep -q '^block' "$directory/out" || return 0
        sleep 0.05
    done
    fail "the subject does not begin"
}

end_subject() {
    [ -z "$subject_id" ] || { exec 7>&- && wait "$subject_id" || :; }
    subject_id=
}
