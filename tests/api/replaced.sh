#!/bin/bash
# C++ programs that define some of operators new and delete, malloc, free, realloc and aligned_alloc
# themselves (replaced.h lists them). What each use of them calls of the program's own definitions
# must be what it calls in a run without acre: with acre preloaded, linked, and linked as an archive,
# static too. Further: programs that have a malloc family of their own, or are at a fixed address,
# and a library with operators of its own that is opened by dlopen.
# REPLACED_STANDARDS="17": with these C++ standards alone. CC, CXX and OBJCOPY are the tools.
source_directory=$(cd "${srcdir:-$(dirname "$0")}" && pwd)
: "${ACRE_LIBRARY:?is not set: run this by make check}"
library=$(realpath "$ACRE_LIBRARY")
. "$source_directory/shell.sh"
archive=$(dirname "$library")/libacre.a
read -ra cc <<<"${CC:-cc}"
read -ra cxx <<<"${CXX:-c++}"
objcopy=${OBJCOPY:-objcopy}
cd "$directory" || exit 1
runs=0

# Runs a command without which nothing here can be tested.
must() {
    "$@" && return
    echo "FAILED: $*" >&2
    exit 1
}

command -v "$objcopy" >/dev/null || {
    skip "$objcopy is not installed"
    exit 77
}

# The functions by number, and where the aligned forms and the malloc family begin.
mapfile -t functions < <(sed -n 's/^ *X(\([a-zA-Z_0-9]*\)).*/\1/p' "$source_directory/replaced.h")
readonly aligned=10 family=20
[ "${#functions[@]}/${functions[aligned]}/${functions[family]}" = 24/_ZnwmSt11align_val_t/malloc ] ||
    must false "the list of replaced.h is not as expected: ${functions[*]}"

# ---- building ----

compile() { must "${cc[@]}" -c -O1 -fPIC -fexceptions -fno-builtin "$@"; }

compile "$source_directory/replaced_forms.c" -o forms.o
compile "$source_directory/replaced_malloc.c" -o malloc.o
compile -DPOOL "$source_directory/replaced_malloc.c" -o pool.o

# program STANDARD OPTION...: compiles the program; false if the compiler does not have the standard.
program() {
    local standard=$1
    shift
    "${cxx[@]}" "-std=c++$standard" -E -x c++ /dev/null >/dev/null 2>&1 || return 1
    must "${cxx[@]}" "-std=c++$standard" -c -fPIC "$@" "$source_directory/replaced_program.cc"
}

# define SET: makes set.o, with the functions of SET (bit i: number i) and no others; sets $arguments.
# Blocks have a header in front where the forms in which others end are in the set, since then all
# blocks come from the program's own forms.
define() {
    local set=$(($1)) i
    echo replaced >names
    for i in "${!functions[@]}"; do
        [ $((set >> i & 1)) = 0 ] || echo "${functions[i]}"
    done >>names
    must "$objcopy" --keep-global-symbols=names forms.o forms_kept.o
    objects=(forms_kept.o)
    if [ $((set >> family)) != 0 ]; then
        must "$objcopy" --keep-global-symbols=names malloc.o malloc_kept.o
        objects+=(malloc_kept.o)
    fi
    arguments=()
    [ $((set & 0x11)) != $((0x11)) ] || arguments+=(header)
    [ $((set >> aligned & 0x11)) != $((0x11)) ] || arguments+=(aligned-header)
}

# link OUTPUT OPTION...
link() {
    local output=$1
    shift
    must "${cxx[@]}" -pthread -o "$output" "$@"
}

linked_options=("$library" "-Wl,-rpath,$(dirname "$library")")

# ---- running ----

# run WAY COMMAND...: WAY.output is what it wrote, WAY.errors what it wrote to standard error.
run() {
    local way=$1 status=0
    shift
    runs=$((runs + 1))
    timeout 60 "$@" >"$way.output" 2>"$way.errors" || status=$?
    [ $status = 0 ] || fail "$what: $way: exit status $status: $(head -n 3 "$way.errors")"
}

# on_acre WAY COMMAND...: the same; it must run with acre, which has nothing to say, and its output
# must be that of "plain".
on_acre() {
    local way=$1
    run "$@"
    grep -q '^acre [0-9]' "$way.errors" || fail "$what: $way: acre was not there"
    ! grep '^acre: ' "$way.errors" >&2 || fail "$what: $way: acre reported something"
    diff plain.output "$way.output" >&2 || fail "$what: $way: not what is called without acre"
}

with_acre=(env ACRE_OPTIONS=stats:exit)

# dynamic OBJECT...: the program as it is, preloaded and linked.
dynamic() {
    link plain "$@"
    link linked "$@" "${linked_options[@]}"
    run plain ./plain "${arguments[@]}"
    on_acre preloaded "${with_acre[@]}" LD_PRELOAD="$library" ./plain "${arguments[@]}"
    on_acre linked "${with_acre[@]}" ./linked "${arguments[@]}"
}

# with_archive OBJECT...: linked with the archive, and static where there is a static libc.
with_archive() {
    [ -n "$archive" ] || return 0
    link archived "$@" "$archive"
    on_acre archived "${with_acre[@]}" ./archived "${arguments[@]}"
    [ -n "$static" ] || return 0
    link static -static "$@" "$archive" 2>static.warnings
    [ ! -s static.warnings ] || fail "$what: the linker warns: $(cat static.warnings)"
    on_acre static "${with_acre[@]}" ./static "${arguments[@]}"
}

[ -f "$archive" ] || {
    skip "libacre.a: it was not built"
    archive=
}
static=yes
echo 'int main() {}' >empty.cc
"${cxx[@]}" -static empty.cc -o empty 2>/dev/null || {
    skip "static programs: there is no static libc"
    static=
}

# ---- sets of replaced functions, in each standard ----

# Prints sets for a standard: each function in which others end, alone; all of them (0x4411), all
# their array forms (0x8822), what Firefox has (0x33f), and some of the malloc family.
sets_of() { # STANDARD
    case $1 in
    11) echo 0x1 0x20 0x100000 ;;
    14) echo 0x4411 0x10 0x200000 ;;
    17) echo 0x8822 0x400 0x4000 0x400000 0x800000 ;;
    20) echo 0x8000 0x33f 0x30033f ;;
    esac
}

for standard in ${REPLACED_STANDARDS:-11 14 17 20}; do
    program $standard -o program.o || {
        skip "C++$standard: the compiler does not have it"
        continue
    }
    for set in $(sets_of $standard); do
        what="C++$standard, set $set"
        define "$set"
        dynamic program.o "${objects[@]}"
        # of the malloc family a program that is linked with the archive defines nothing or all
        [ $((set >> family)) != 0 ] || with_archive program.o "${objects[@]}"
    done
done

# ---- a program that needs nothing else of the C++ runtime than what throws ----

cat >throw.cc <<'END'
#include <new>
int main()
{
    volatile unsigned long size = ~0ul / 4;
    try {
        operator delete(operator new(size));
    } catch (...) {
        return 0;
    }
    return 1;
}
END
what="out of memory"
must "${cxx[@]}" -c throw.cc -o throw.o
define 0
dynamic throw.o
with_archive throw.o
what="out of memory, the runtime linked in"
if "${cxx[@]}" -static-libstdc++ -static-libgcc empty.cc -o empty 2>/dev/null; then
    dynamic -static-libstdc++ -static-libgcc throw.o
else
    skip "$what: there is no static runtime"
fi

# ---- a malloc family of the program's own, which gives and takes no block but its own ----

program 17 -o program.o || exit 1
what="own malloc family, acre's operators"
define 0
dynamic program.o "${objects[@]}" pool.o
what="own malloc family, own operators new and delete"
define $((0x11))
dynamic program.o "${objects[@]}" pool.o

# ---- programs at a fixed address, whose own jumps to a function stand in its place ----

cat >jumps.c <<'END'
void *malloc(unsigned long), free(void *), *realloc(void *, unsigned long), _ZdlPv(void *);
void *jump(int i)
{
    return i == 0 ? malloc : i == 1 ? free : i == 2 ? realloc : (void *)_ZdlPv;
}
END
must "${cc[@]}" -fno-pie -fno-builtin -c jumps.c -o jumps.o

# reports FORM COMMAND...: the program, which frees twice by the form of that number, is ended by a
# report that names the form.
reports() {
    local form=$1 names=('delete' 'delete\[\]' 'delete' 'delete\[\]') status=0
    shift
    runs=$((runs + 1))
    # a shell of its own, so that the signal is not told of here
    (
        ulimit -c 0
        "$@" "$form"
        exit $?
    ) >/dev/null 2>errors || status=$?
    [ $status = 134 ] || fail "$what: form $form: exit status $status"
    grep -q "^acre: [^ ]*: double free: operator ${names[form]}(0x" errors ||
        fail "$what: form $form: reported as $(cat errors)"
}

what="fixed address"
define 0
dynamic -no-pie program.o "${objects[@]}" jumps.o
readelf -W --dyn-syms plain | awk '$7 == "UND" && $8 ~ /^free/ && $2 != 0 { found = 1 } END { exit !found }' ||
    skip "jumps of programs at a fixed address: the linker makes none"
for form in 0 1 2 3; do
    reports $form env LD_PRELOAD="$library" ./plain
    reports $form ./linked
done
what="fixed address, own operators new and delete"
define $((0x11))
dynamic -no-pie program.o "${objects[@]}" jumps.o
what="own aligned operators"
define $((0x11 << aligned))
dynamic program.o "${objects[@]}"
for form in 0 1 2 3; do
    reports $form env LD_PRELOAD="$library" ./plain
done

# ---- another library that defines them all, which acre comes before ----

program 17 -o program.o || exit 1
define 0xfffff
must "${cc[@]}" -shared "${objects[@]}" -o libother.so
other=(./libother.so "-Wl,-rpath,$directory")
what="another library's operators"
link plain program.o "${other[@]}"
link linked program.o "${linked_options[@]}" "${other[@]}"
run plain ./plain "${arguments[@]}"
grep -q '_ZnwmRKSt9nothrow_t 1' plain.output || fail "$what: they are not called without acre"
sed -i -E 's/ (_Z[a-zA-Z0-9_]*) [0-9]+//g' plain.output # with acre none of them is
on_acre preloaded "${with_acre[@]}" LD_PRELOAD="$library" ./plain "${arguments[@]}"
on_acre linked "${with_acre[@]}" ./linked "${arguments[@]}"

# ---- a library with operators of its own, opened by a program that may have a C++ runtime ----

cat >open.c <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(int count, char **arguments)
{
    int scope = count > 1 && strcmp(arguments[1], "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL;
    void *library = dlopen("./library.so", RTLD_NOW | scope);
    if (library == NULL)
        return fprintf(stderr, "%s\n", dlerror()), 1;
    int (*run)(int, char **);
    *(void **)&run = dlsym(library, "_Z3runiPPc");
    int status = run(count - 1, arguments + 1);
    return fflush(stdout) != 0 || dlclose(library) != 0 ? 1 : status;
}
END
program 17 -Dmain=run -o library.o || exit 1
define $((0x11 | 0x11 << aligned))
link library.so -shared library.o "${objects[@]}"
must "${cc[@]}" open.c -ldl -o open_c
must "${cc[@]}" open.c -ldl -Wl,--no-as-needed -lstdc++ -o open_cxx
for scope in local global; do
    what="a library opened by a C++ program, $scope"
    run plain ./open_cxx $scope "${arguments[@]}"
    on_acre preloaded "${with_acre[@]}" LD_PRELOAD="$library" ./open_cxx $scope "${arguments[@]}"
    # without acre the library has its own operators here, with it acre's
    what="a library opened by a C program, $scope"
    run plain env LD_PRELOAD="$library" ./open_cxx $scope "${arguments[@]}"
    on_acre preloaded "${with_acre[@]}" LD_PRELOAD="$library" ./open_c $scope "${arguments[@]}"
done

echo "$runs runs, $faults faults"
[ $faults = 0 ]
