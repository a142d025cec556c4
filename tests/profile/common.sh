# For the tests of acre-profile: sourced with $directory, an empty directory of the test's own.
profile=$PWD/../../tools/acre-profile
inspect=$PWD/../../tools/acre-inspect
acre_run=$PWD/../../tools/acre-run
. "${srcdir:-.}/../inspect/subject.sh"
subject_at=$directory # a core is written there
subject_log=$directory/log
subject_ready=ready
subject_prefix=(env LD_PRELOAD="$ACRE_LIBRARY") # static programs ignore it

# Has the subject do what a letter says, and waits until it is done.
tell() { # LETTER
    local told
    told=$(grep -c '^done' "$directory/out" || :)
    printf %s "$1" >&7
    wait_for "done" $((told + 1))
}

# Starts a subject, which uses the class of small() first, since the first few blocks of a class are
# larger ones. From then on each block is sampled, and the subject does what the letters say.
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

# The bytes of the folded lines that have a function.
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

# Fails unless a command ends with that status and says that text.
check_refusal() { # STATUS TEXT COMMAND...
    local wanted=$1 text=$2 status=0 said
    shift 2
    said=$("$@" 2>&1) || status=$?
    [ "$status" -eq "$wanted" ] && [[ $said == *"$text"* ]] ||
        fail "$*: status $status, not $wanted; \"$said\" has no \"$text\""
}
