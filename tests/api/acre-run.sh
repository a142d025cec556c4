#!/bin/sh
# acre-run in the built tree: where it finds the library, what it hands on in the environment, what it
# refuses and how, and that the command's result is its own.
#
# Each part that this machine cannot show is said to be skipped; the others still run.
. "$(dirname "$0")/shell.sh"

top_builddir=$(cd "${top_builddir:-../..}" && pwd)
acre_run=$top_builddir/tools/acre-run
library=$(realpath "$top_builddir/lib/.libs/libacre.so")
checks=0

# equal WHAT FOUND WANTED
equal() {
    checks=$((checks + 1))
    [ "$2" = "$3" ] || fail "$1: found \"$2\" instead of \"$3\""
}

# ends STATUS TEXT COMMAND...: the command exits so, and TEXT stands in its standard error, which is
# empty if TEXT is.
ends() {
    wanted=$1
    text=$2
    shift 2
    "$@" >"$directory/output" 2>"$directory/errors"
    equal "exit status of $*" $? "$wanted"
    checks=$((checks + 1))
    if [ -z "$text" ] && [ -s "$directory/errors" ]; then
        fail "$*: unexpected: $(cat "$directory/errors")"
    elif [ -n "$text" ] && ! grep -qF -e "$text" "$directory/errors"; then
        fail "$*: no \"$text\" in: $(cat "$directory/errors")"
    fi
}

# The value that a command under acre-run sees of a variable.
seen() { # VARIABLE ACRE-RUN-ARGUMENT...
    variable=$1
    shift
    "$acre_run" "$@" printenv "$variable"
}

preloading() {
    equal "LD_PRELOAD" "$(seen LD_PRELOAD)" "$library"
    "$acre_run" grep -q libacre /proc/self/maps || fail "the library is not mapped"
    "$acre_run" "$acre_run" -- grep -q libacre /proc/self/maps || fail "not mapped in a nested run"

    equal "an existing LD_PRELOAD" \
        "$(LD_PRELOAD=libm.so.6:libdl.so.2 seen LD_PRELOAD)" "$library:libm.so.6:libdl.so.2"
    LD_PRELOAD=libm.so.6 "$acre_run" grep -q libm.so.6 /proc/self/maps ||
        fail "what was preloaded before is not mapped"
}

options() {
    equal "options" "$(seen ACRE_OPTIONS --options decay:5)" "decay:5"
    equal "options, merged" \
        "$(ACRE_OPTIONS=decay:1 seen ACRE_OPTIONS --options huge_pages:never --options decay:2)" \
        "decay:1,huge_pages:never,decay:2"
    equal "options, untouched" "$(ACRE_OPTIONS=decay:1 seen ACRE_OPTIONS)" "decay:1"
    equal "options with --stats" \
        "$(ACRE_OPTIONS=stats:off seen ACRE_OPTIONS --stats 2>/dev/null)" "stats:off,stats:exit"
    ACRE_OPTIONS=colour:red ends 0 'ACRE_OPTIONS: unknown option "colour"' "$acre_run" true

    # acre-run reports a mistake on its command line once and does not start the command.
    ends 125 '--options: unknown option "colour"' "$acre_run" --options colour:red echo started
    equal "standard output after a wrong option" "$(cat "$directory/output")" ""
    equal "lines about a wrong option" "$(wc -l <"$directory/errors")" 1
    ends 125 '--options: "decay=5" must be written "decay:5"' "$acre_run" \
        --options stats:exit,decay=5 true
    equal "lines about an equals sign" "$(wc -l <"$directory/errors")" 1
    # its own copy of the library has read the options, too, but they are the command's
    ends 127 'nosuchcommand' "$acre_run" --options stats:exit nosuchcommand
    equal "lines about no command" "$(wc -l <"$directory/errors")" 1
    ends 125 "--options: large_stock has no value" "$acre_run" --options huge_pages:never \
        --options large_stock: true
    ends 0 "" "$acre_run" --options " decay : 5, large_stock:1k" true
    ACRE_OPTIONS=stats:exit ends 125 "--options: decay cannot be" "$acre_run" \
        "$acre_run" --options decay:x true

    ends 0 "arenas" "$acre_run" --stats echo hello
    equal "standard output with --stats" "$(cat "$directory/output")" "hello"
    ends 0 "" "$acre_run" --options "stats:exit,stats_file:$directory/%n.json" echo hello
    equal "a file of statistics" "$(grep -c '"process": "echo"' "$directory/echo.json")" 1
    ACRE_OPTIONS=stats:exit ends 0 "" "$acre_run" --help-options
    equal "options of --help-options" \
        "$(awk 'NR > 1 { printf "%s ", $1 }' "$directory/output")" \
        "on_error foreign decay large_stock dirty_limit huge_pages stats stats_file stats_seconds \
stats_signal stats_children background_thread profile profile_samples trace guard hardened fill mismatch limit "
}

command_line() {
    ends 0 "" "$acre_run" --help
    ends 0 "" "$acre_run" --version
    checks=$((checks + 1))
    grep -q '^acre-run [0-9]*\.[0-9]*\.[0-9]*$' "$directory/output" || fail "no version"
    ends 125 "usage:" "$acre_run"
    ends 125 "usage:" "$acre_run" --no-such-option true
    ends 127 "--stats: command not found" "$acre_run" -- --stats
    ends 0 "" "$acre_run" -- true
    equal "arguments" "$("$acre_run" printf '%s|' -- --stats 'a  b' '')" "--|--stats|a  b||"
}

results() {
    ends 7 "" "$acre_run" sh -c 'exit 7'
    "$acre_run" sh -c 'kill -TERM $$' 2>/dev/null # some shells tell of the signal
    equal "exit status after SIGTERM" $? 143
    ends 127 "acre-no-such-command: command not found" "$acre_run" acre-no-such-command
    ends 127 "/nonexistent/command: command not found" "$acre_run" /nonexistent/command
    ends 127 ": command not found" "$acre_run" ""
    ends 126 "Is a directory" "$acre_run" /
    echo 'echo ran' >"$directory/plain"
    ends 126 "Permission denied" "$acre_run" "$directory/plain"
}

# A directory of PATH, the current directory as an empty element of it, and scripts.
lookup() {
    printf '#! /bin/sh -e\necho script $1\n' >"$directory/script"
    chmod +x "$directory/script" "$directory/plain"
    equal "through PATH" "$(PATH=/nonexistent:$directory:$PATH "$acre_run" script 1)" "script 1"
    equal "through an empty element of PATH" \
        "$(cd "$directory" && PATH=:$PATH "$acre_run" script 2)" "script 2"
    equal "a script without #!" "$("$acre_run" "$directory/plain")" "ran"
    printf '#!/nonexistent/interpreter\n' >"$directory/broken"
    chmod +x "$directory/broken"
    ends 126 "its interpreter /nonexistent/interpreter: No such file" \
        "$acre_run" "$directory/broken"
}

# Whose rights a copy of id gets, the kernel says itself: as root, with another owner and group.
set_ids() {
    cp "$(command -v id)" "$directory/own"
    chmod 6755 "$directory/own"
    ends 0 "" "$acre_run" "$directory/own"
    if [ "$(id -u)" -ne 0 ]; then
        set_id_of_the_system
        return
    fi
    for mode in 4755 2755; do
        cp "$(command -v id)" "$directory/other"
        chown 65534:65534 "$directory/other"
        chmod $mode "$directory/other"
        if [ "$("$directory/other" -u):$("$directory/other" -g)" = 0:0 ]; then
            skip "set-id programs gain no rights in $directory"
            ends 0 "" "$acre_run" "$directory/other"
        elif [ $mode = 4755 ]; then
            ends 126 "runs as another user (set-user-ID)" "$acre_run" "$directory/other"
        else
            ends 126 "runs as another group (set-group-ID)" "$acre_run" "$directory/other"
        fi
    done
}

set_id_of_the_system() {
    for program in su passwd mount; do
        path=$(command -v $program) || continue
        [ -u "$path" ] || continue
        if grep -q '^NoNewPrivs:.*1' /proc/self/status; then
            skip "this process can gain no rights, so no program is secure"
        else
            ends 126 "runs as another user (set-user-ID)" "$acre_run" $program --help
        fi
        return
    done
    skip "set-user-ID: neither root nor a set-user-ID program here"
}

# File capabilities mean nothing to root, so another user must try.
capabilities() {
    cp "$(command -v id)" "$directory/capable"
    if [ "$(id -u)" -ne 0 ] || ! command -v setpriv >/dev/null ||
        ! setcap cap_net_raw+ep "$directory/capable" 2>/dev/null; then
        skip "file capabilities: needs root, setpriv and setcap"
        return
    fi
    mkdir -p "$directory/moved/bin" "$directory/moved/lib"
    cp "$acre_run" "$directory/moved/bin"
    cp "$library" "$directory/moved/lib/libacre.so"
    ends 126 "has file capabilities" setpriv --reuid 65534 --regid 65534 --clear-groups \
        "$directory/moved/bin/acre-run" "$directory/capable" -u
    ends 0 "" "$acre_run" "$directory/capable"
}

static_programs() {
    echo 'int main(void) { return 0; }' >"$directory/main.c"
    for flag in -static -static-pie; do
        if ! ${CC:-cc} $flag -o "$directory/static" "$directory/main.c" 2>/dev/null; then
            skip "$flag: the compiler cannot link such a program"
            continue
        fi
        ends 126 "$directory/static is statically linked" "$acre_run" "$directory/static"
        printf '#!%s\n' "$directory/static" >"$directory/static-script"
        chmod +x "$directory/static-script"
        ends 126 "its interpreter $directory/static is statically linked" \
            "$acre_run" "$directory/static-script"
    done
}

# A program of musl is one whose dynamic linker is musl's; it need not be there.
other_libcs() {
    ${CC:-cc} -Wl,--dynamic-linker=/lib/ld-musl-x86_64.so.1 -o "$directory/other-libc" \
        "$directory/main.c"
    ends 126 "$directory/other-libc runs on the C library musl" "$acre_run" "$directory/other-libc"
    ${CC:-cc} -o "$directory/same-libc" "$directory/main.c"
    ends 0 "" "$acre_run" "$directory/same-libc"
}

# ends_sanitized NAME COMPILER FLAGS: a program that is built so is refused with a message that names
# NAME, also if it is stripped or an interpreter.
ends_sanitized() {
    name=$1
    shift
    if ! "$@" -o "$directory/sanitized" "$directory/main.c" 2>/dev/null; then
        skip "$*: the compiler cannot link such a program"
        return
    fi
    ends 126 "$directory/sanitized is built with $name:" "$acre_run" "$directory/sanitized"
    equal "lines about $*" "$(wc -l <"$directory/errors")" 1
    strip "$directory/sanitized"
    ends 126 "$directory/sanitized is built with $name:" "$acre_run" "$directory/sanitized"
    printf '#!%s\n' "$directory/sanitized" >"$directory/sanitized-script"
    chmod +x "$directory/sanitized-script"
    ends 126 "its interpreter $directory/sanitized is built with $name:" \
        "$acre_run" "$directory/sanitized-script"
}

# With the runtime as a library (gcc's default) and linked in (clang's), and the other way round.
# UndefinedBehaviorSanitizer replaces no malloc.
sanitizers() {
    for flag in address:AddressSanitizer thread:ThreadSanitizer leak:LeakSanitizer; do
        ends_sanitized ${flag#*:} gcc -fsanitize=${flag%:*}
        ends_sanitized ${flag#*:} clang -fsanitize=${flag%:*}
    done
    ends_sanitized MemorySanitizer clang -fsanitize=memory
    ends_sanitized AddressSanitizer clang -fsanitize=address -shared-libasan
    ends_sanitized ThreadSanitizer clang -fsanitize=thread -shared-libsan
    ends_sanitized "a sanitizer" gcc -fsanitize=address -static-libasan
    ends_sanitized "a sanitizer" gcc -fsanitize=thread -static-libtsan
    for compiler in gcc clang; do
        if $compiler -fsanitize=undefined -o "$directory/undefined" "$directory/main.c" \
            2>/dev/null; then
            ends 0 "" "$acre_run" "$directory/undefined"
        else
            skip "$compiler -fsanitize=undefined: the compiler cannot link such a program"
        fi
    done
}

# Bytes of the ELF header: 4 is the class, 18 the machine; 243 is RISC-V.
other_machines() {
    cp "$(command -v id)" "$directory/narrow"
    printf '\001' | dd of="$directory/narrow" bs=1 seek=4 conv=notrunc 2>/dev/null
    ends 126 "is a program for 32-bit" "$acre_run" "$directory/narrow"
    cp "$(command -v id)" "$directory/foreign"
    printf '\363' | dd of="$directory/foreign" bs=1 seek=18 conv=notrunc 2>/dev/null
    ends 126 "is a program for 64-bit riscv" "$acre_run" "$directory/foreign"
}

# A chosen library, a moved installation, and a program far from any library.
libraries() {
    mkdir -p "$directory/with space" "$directory/prefix/bin" "$directory/prefix/lib" \
        "$directory/alone/bin"
    cp "$library" "$directory/chosen.so"
    cp "$library" "$directory/with space/libacre.so"
    cp "$library" "$directory/prefix/lib/libacre.so"
    cp "$acre_run" "$directory/prefix/bin"
    cp "$acre_run" "$directory/alone/bin"

    equal "ACRE_LIBRARY" "$(cd "$directory" && ACRE_LIBRARY=chosen.so seen LD_PRELOAD)" \
        "$directory/chosen.so"
    ACRE_LIBRARY=/nonexistent.so ends 125 "ACRE_LIBRARY is /nonexistent.so: No such file" \
        "$acre_run" true
    ACRE_LIBRARY=$directory/main.c ends 125 "is not a shared library" "$acre_run" true
    libm=$(LD_PRELOAD=libm.so.6 grep -om1 '/.*libm.so.6' /proc/self/maps)
    ACRE_LIBRARY=$libm ends 125 "$(realpath "$libm") is not acre" "$acre_run" true
    ACRE_LIBRARY=$libm ends 125 "is not acre" "$acre_run" --help-options
    ACRE_LIBRARY=$libm ends 125 "is not acre" "$acre_run" --options decay:5 true
    ACRE_LIBRARY="$directory/with space/libacre.so" \
        ends 125 "which LD_PRELOAD cannot express" "$acre_run" true

    equal "moved installation" "$("$directory/prefix/bin/acre-run" printenv LD_PRELOAD)" \
        "$directory/prefix/lib/libacre.so"

    if installed=$("$directory/alone/bin/acre-run" printenv LD_PRELOAD 2>"$directory/errors"); then
        checks=$((checks + 1))
        [ -f "$installed" ] || fail "alone: LD_PRELOAD is \"$installed\""
    else
        ends 125 "libacre.so was found neither" "$directory/alone/bin/acre-run" true
    fi
}

preloading
options
command_line
results
lookup
set_ids
capabilities
static_programs
other_libcs
sanitizers
other_machines
libraries

echo "$checks checks, $faults failed"
[ "$faults" -eq 0 ]
