# What the scripts of this directory share; sourced by each of them, with bash.
#
# Each script runs one real program twice, as it is ("plain") and with the library preloaded ("acre"),
# compares what the two runs gave, and checks in the dynamic linker's own log of the run that the
# program's malloc was the library's. It ends by `passed`, by `fail`, or, where the program is not
# installed, by `skip`. Everything happens in $scratch, which is removed at exit, as are the servers.
#
# Environment: ACRE_LIBRARY    the library to preload (default: the one in the build tree)
#              top_builddir    the top of the build tree (default: ../.. of the current directory)
# shellcheck shell=bash

set -u
set -o pipefail
unset LD_PRELOAD LD_DEBUG LD_DEBUG_OUTPUT
export LC_ALL=C

readonly skip_status=77   # automake's exit status for a skipped test
readonly run_seconds=60   # a program that takes longer hangs
readonly wait_seconds=15  # as does a server that does not answer or end by then
readonly poll_seconds=0.05

script=$(basename "$0" .sh)
servers=()       # process numbers of the servers that run
run_as=()        # command prefix that changes the user, for programs that refuse to run as root
server_pid=      # the server that start_server started last
scratch=

# skip REASON: ends the script; automake counts it as skipped.
skip() {
    echo "SKIP: $script: $*"
    exit "$skip_status"
}

# fail REASON: ends the script after the last lines of all logs.
fail() {
    local log
    for log in "$scratch"/*.log; do
        [ -s "$log" ] && { echo "--- ${log##*/}"; tail -n 20 "$log"; }
    done
    echo "FAIL: $script: $*"
    exit 1
}

# Kills the servers that are left and removes $scratch.
clean_up() {
    local pid
    for pid in "${servers[@]}"; do
        kill -KILL "$pid" && wait "$pid"
    done 2>/dev/null
    [ -z "$scratch" ] || rm -rf "$scratch"
}

# need PROGRAM...: skips the script unless all of them are installed.
need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "$program is not installed"
    done
}

# need_python: skips without Python 3; sets $python, the system's where there are several.
need_python() {
    python=/usr/bin/python3
    [ -x "$python" ] || python=$(command -v python3) || skip "python3 is not installed"
}

# set_environment MODE: sets $environment, the variables that MODE (plain or acre) adds to a command.
set_environment() {
    environment=()
    if [ "$1" = acre ]; then
        environment=("LD_PRELOAD=$library" LD_DEBUG=bindings "LD_DEBUG_OUTPUT=$bindings/process"
            LD_BIND_NOW=1)
    fi
}

# in_mode MODE COMMAND...: runs the command, for $run_seconds at most; its status is the command's.
# Standard error goes to a log of the mode.
in_mode() {
    local mode=$1
    shift
    set_environment "$mode"
    timeout -k 5 "$run_seconds" "${run_as[@]}" env "${environment[@]}" "$@" 2>>"$scratch/$mode.log"
}

# start_server MODE COMMAND...: starts it in the background, its process number in $server_pid.
start_server() {
    local mode=$1
    shift
    set_environment "$mode"
    "${run_as[@]}" env "${environment[@]}" "$@" >>"$scratch/$mode.log" 2>&1 </dev/null &
    server_pid=$!
    servers+=("$server_pid")
}

# wait_until COMMAND...: polls the command until it succeeds; fails after $wait_seconds.
wait_until() {
    local end=$((SECONDS + wait_seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || fail "waited $wait_seconds s in vain for: $*"
        sleep "$poll_seconds"
    done
}

# has_ended PID: whether the child process is gone or a zombie.
has_ended() {
    ! grep -qs '^State:[[:space:]]*[^Z]' "/proc/$1/status"
}

# stop_server PID SIGNAL: ends a server by the signal that it takes as a request to end in good
# order, and fails unless it ends with status 0.
stop_server() {
    local pid=$1 status=0 left=() server
    kill "-$2" "$pid" || fail "server $pid has ended early"
    wait_until has_ended "$pid"
    wait "$pid" || status=$?
    for server in "${servers[@]}"; do
        [ "$server" = "$pid" ] || left+=("$server")
    done
    servers=("${left[@]}")
    [ "$status" = 0 ] || fail "server ended with status $status"
}

# expect_same FILE FILE: the two files, or directories, must be equal byte for byte.
expect_same() {
    diff -r "$1" "$2" >"$scratch/difference.log" || fail "$1 and $2 differ"
}

# expect_equal TEXT TEXT WHAT: the two strings must be equal.
expect_equal() {
    [ "$1" = "$2" ] || fail "$3: '$1' is not '$2'"
}

# bindings_of PROGRAM: for each allocation symbol of the program itself, the object that it was bound
# to in the runs with acre, from the logs of the dynamic linker.
bindings_of() {
    sed -n "s|.*binding file \(.*/\)\{0,1\}$1 \[0\] to \(.*\) \[0\]: normal symbol \`\(.*\)'.*|\3 -> \2|p" \
        "$bindings"/process.* |
        grep -E '^((je_)?(malloc|calloc|realloc|free|posix_memalign|aligned_alloc|memalign|malloc_usable_size)|mall[a-z]*|[a-z]*allocx) ' |
        sort -u
}

# expect_bound PROGRAM: fails unless the program (its file's name) got an allocation function from the
# library in the runs with acre, and no process of these runs got one from elsewhere.
expect_bound() {
    bindings_of "$1" | grep -qE "^(malloc|calloc|realloc) -> $library\$" ||
        fail "malloc of $1 is not bound to $library"
    bound_elsewhere >"$scratch/elsewhere.log" || fail "the dynamic linker's log cannot be read"
    [ ! -s "$scratch/elsewhere.log" ] || fail "allocation functions are bound elsewhere"
}

# bound_elsewhere: prints the bindings of allocation functions that do not lead to the library. A
# program at a fixed address that takes the address of malloc offers the others its own jump to
# malloc, so a binding to a program whose own one leads to the library does as well.
bound_elsewhere() {
    awk -v library="$library" '
        $2 != "binding" || $9 != "normal" { next }
        $11 !~ /^.(malloc|calloc|realloc|free|posix_memalign|aligned_alloc|memalign)\047$/ { next }
        $7 == library { reaches[$1, $4, $11] = 1; next }
        { line[$1, $7, $11] = $0 }
        END {
            for (key in line)
                if (!(key in reaches))
                    print line[key]
        }' "$bindings"/process.*
}

# same_output PROGRAM COMMAND...: runs the command in both modes; it must print something, the same in
# both, and get its malloc from the library.
same_output() {
    local program=$1 mode
    shift
    for mode in plain acre; do
        in_mode "$mode" "$@" >"$mode.output" || fail "$program: $mode"
    done
    [ -s plain.output ] || fail "$program: no output"
    expect_same plain.output acre.output
    expect_bound "$program"
}

# passed: ends the script well, unless the library had something to say.
passed() {
    ! grep -h '^acre: ' "$scratch"/*.log || fail "the library reported something"
    echo "PASS: $script: same output with and without acre"
    exit 0
}

library=$(realpath -e "${ACRE_LIBRARY:-${top_builddir:-../..}/lib/.libs/libacre.so}") || {
    echo "FAIL: $script: no library to preload: set ACRE_LIBRARY" >&2
    exit 1
}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/acre-preload-XXXXXX") || exit 1
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# A copy, because another user that a server runs as may not reach the build tree.
cp "$library" "$scratch/libacre.so" || exit 1
library=$scratch/libacre.so
bindings=$scratch/bindings
mkdir -m 1777 "$bindings"
chmod 755 "$scratch" "$library"
cd "$scratch" || exit 1
