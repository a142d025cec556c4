#!/bin/bash
# acre.gdb: gdb's commands acre-find and acre-inspect, on a process and on a core of the program
# subject.
set -euo pipefail

command -v gdb >/dev/null && gdb -nx -batch -ex 'python print("python")' 2>/dev/null |
    grep -qx python || {
    echo "no gdb with python here"
    exit 77
}
commands=$(realpath "${srcdir:-.}/../../tools/acre.gdb")
PATH=$(realpath ../../tools):$PATH
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT

fail() {
    echo "gdb.sh: $*" >&2
    exit 1
}

# Runs gdb with acre's commands and the arguments; what it says is $said.
run_gdb() { # ARGUMENT...
    said=$(gdb -nx -batch -ex 'set debuginfod enabled off' -ex "source $commands" "$@" 2>&1 \
        </dev/null) || :
}

# What gdb has said of the first block, of one freed, of a LARGE one and all.
check() { # WHERE
    [[ $said == *"in a block: live"*"3072 bytes; the address is 0 bytes into it"* ]] ||
        fail "$1, acre-find of an array's element: $said"
    [[ $said == *"the address is 100 bytes into it"* ]] || fail "$1, of an expression: $said"
    [[ $said == *"freed by another thread"* ]] || fail "$1, a freed block: $said"
    [[ $said == *"not in a block"* ]] || fail "$1, of an array: $said"
    [[ $said == *'"small_blocks": '* ]] || fail "$1, acre-inspect --json: $said"
}
finds=(-ex 'acre-find blocks[0][0]' -ex 'acre-find blocks[0][0] + 100'
    -ex 'acre-find blocks[0][1]' -ex 'acre-find blocks' -ex 'acre-inspect --json')

echo "a process"
run_gdb -ex 'break read' -ex 'run quiet >/dev/null' "${finds[@]}" -ex kill ./subject
if [[ $said == *"ptrace: "* || $said == *"no right to read"* ]]; then
    echo "no right to trace a process here"
else
    check "a process"
fi

echo "a core"
run_gdb -ex 'run crash >/dev/null' -ex "generate-core-file $directory/the core" -ex kill ./subject
if [ -s "$directory/the core" ]; then
    run_gdb "${finds[@]}" ./subject "$directory/the core"
    check "a core"
else
    echo "gdb makes no core here: $said"
fi

echo "what it must refuse"
run_gdb -ex 'acre-find 1' ./subject
[[ $said == *"no process of this machine, and no core"* ]] || fail "no process: $said"
run_gdb -ex acre-find ./subject
[[ $said == *"an address is missing"* ]] || fail "no address: $said"
PATH=/usr/bin:/bin
if ! command -v acre-inspect >/dev/null && [ -s "$directory/the core" ]; then
    run_gdb -ex 'acre-find 1' ./subject "$directory/the core"
    [[ $said == *"acre-inspect cannot be run: No such file"* ]] || fail "no acre-inspect: $said"
fi
echo "all right"
