# memcheck with acre preloaded: it sees the program's blocks, in its own heap or in acre's place by the
# synonym that older versions need, and finds an overflow, a use after free, and a leak. Told not to
# replace malloc, it runs acre itself, and has no complaint about it.
. "$(dirname "$0")/common.sh"
need valgrind
program=$(realpath "${top_builddir:-../..}/tests/preload/damage") || exit 1

# memcheck STATUS FLAG... WHAT: runs the program; standard error to memcheck.log.
memcheck() {
    local wanted=$1 status=0 what=${*: -1}
    shift
    timeout -k 5 "$run_seconds" env "LD_PRELOAD=$library" valgrind -q --error-exitcode=3 "${@:1:$#-1}" \
        "$program" "$what" >output 2>memcheck.log || status=$?
    [ "$status" = "$wanted" ] || fail "memcheck's exit status for $what (${*:1:$#-1}) is $status"
    [ "$(tail -n 1 output)" = done ] || fail "$what has not run to its end"
}

# A system that valgrind does not support, or whose libc lacks the symbols it needs.
valgrind -q "$program" >output 2>memcheck.log || skip "valgrind does not run here"

for names in '' --soname-synonyms='somalloc=libacre*'; do
    memcheck 0 --leak-check=full $names none
    [ ! -s memcheck.log ] || fail "memcheck has a complaint about a program without a mistake"
    memcheck 3 --leak-check=full $names overflow
    grep -q '0 bytes after a block of size 100 alloc.d' memcheck.log || fail "no overflow was found"
    memcheck 3 --leak-check=full $names after-free
    grep -q '5 bytes inside a block of size 100 free.d' memcheck.log || fail "no use after free was found"
    memcheck 3 --leak-check=full $names leak
    grep -q '1,234 bytes in 1 blocks are definitely lost' memcheck.log || fail "no leak was found"
done
memcheck 0 --soname-synonyms=somalloc=nouserintercepts none
[ ! -s memcheck.log ] || fail "memcheck has a complaint about acre"
passed
