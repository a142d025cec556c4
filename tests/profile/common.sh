# For the tests of acre-profile: sourced with $directory, an empty directory of the test's own.
profile=$PWD/../../tools/acre-profile
inspect=$PWD/../../tools/acre-inspect
acre_run=$PWD/../../tools/acre-run
subject_id=
trap 'end_subject; rm -rf "$directory"' EXIT
ulimit -c unlimited 2>/dev/null || :

fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# Waits until the subject has written lines that begin so, as many as that.
wait_for() { # BEGINNING [COUNT]
    for _ in $(seq 600); do
        [ "$(grep -c "^$1" "$directory/out" || :)" -lt "${2:-1}" ] || return 0
        sleep 0.05
    done
    fail "the subject does not say \"$1\""
}

# Starts a program that acre is preloaded into, unless it is static: subject_id, $directory/out.
start_subject() { # COMMAND...
    rm -f "$directory/input" "$directory/out"
    mkfifo "$directory/input"
    if [[ $1 == *static ]]; then
        (cd "$directory" && exec "$@") <"$directory/input" >"$directory/out" 2>"$directory/log" &
    else
        (cd "$directory" && exec env LD_PRELOAD="$ACRE_LIBRARY" "$@") \
            <"$directory/input" >"$directory/out" 2>"$directory/log" &
    fi
    subject_id=$!
    told=0
    exec 7>"$directory/input"
    wait_for ready
}

# Has the subject do what a letter says; waits until it has.
tell() { # LETTER
    told=$((told + 1))
    printf %s "$1" >&7
    wait_for "done" "$told"
}

end_subject() {
    [ -z "$subject_id" ] || { kill -CONT "$subject_id" 2>/dev/null; exec 7>&- && wait "$subject_id" || :; }
    subject_id=
}

# Starts a subject, and once it has used the class of small() each block is sampled: the first few
# blocks of a class are larger ones. Then it does what the letters say.
start_filled() { # LETTERS COMMAND...
    local letters=$1 i
    shift
    start_subject "$@"
    tell s
    "$profile" start --interval 1 --quiet "$subject_id" >/dev/null
    for ((i = 0; i < ${#letters}; i++)); do
        tell "${letters:i:1}"
    done
}

# The bytes and blocks of the stacks that have a function: of folded lines the bytes.
folded_bytes() { # FUNCTION FILE
    awk -v name="$1" '{ bytes = $NF; sub(/ [0-9]+$/, ""); count = split($0, part, ";")
        for (i = 1; i <= count; i++) if (part[i] == name) { sum += bytes; next } }
        END { printf "%.0f\n", sum }' "$2"
}

folded_total() { # FILE
    awk '{ sum += $NF } END { printf "%.0f\n", sum }' "$1"
}

# Fails unless a folded file has these bytes at a function.
check_folded() { # FILE FUNCTION BYTES
    local found
    found=$(folded_bytes "$2" "$1")
    [ "$found" = "$3" ] || fail "$2: $found bytes, $3 are right: $(cat "$1")"
}

# Fails unless a command fails with that text.
check_refusal() { # STATUS TEXT COMMAND...
    local wanted=$1 text=$2 status=0 said
    shift 2
    said=$("$@" 2>&1) || status=$?
    [ "$status" -eq "$wanted" ] && [[ $said == *"$text"* ]] ||
        fail "$*: status $status, not $wanted; \"$said\" has no \"$text\""
}
