# Programs with a sanitizer, and acre preloaded. Where the sanitizer is in the executable (clang; gcc
# with -static-lib...), its malloc comes before acre's: the program is as without acre, and mistakes are
# found. With gcc's shared AddressSanitizer the program does not start, and says so, unless that library
# stands in front of acre in LD_PRELOAD.
source=$(realpath -e "${srcdir:-$(dirname "$0")}/damage.c") || exit 1
. "$(dirname "$0")/common.sh"

# build COMPILER FLAG...: compiles ./damage; false if the compiler has no such sanitizer.
build() {
    command -v "$1" >/dev/null && "$@" -g -fno-builtin -pthread "$source" -o damage 2>build.log &&
        ./damage none >output 2>run.log && [ "$(cat output)" = done ]
}

# run PRELOAD WHAT: its status in $status, its output in output and run.log.
run() {
    status=0
    timeout -k 5 "$run_seconds" env "LD_PRELOAD=$1" ./damage "$2" >output 2>run.log || status=$?
}

# expect_found PRELOAD TEXT WHAT: a good run ends well, and without a word; a bad one is found.
expect_found() {
    run "$1" none
    [ "$status" = 0 ] && [ "$(cat output)" = done ] && [ ! -s run.log ] || fail "no good run of $built"
    run "$1" "$3"
    [ "$status" != 0 ] && grep -q "$2" run.log || fail "$built: $3 is not found"
}

tried=0
for built in 'gcc -fsanitize=address -static-libasan' 'clang -fsanitize=address'; do
    build $built || continue
    tried=$((tried + 1))
    expect_found "$library" 'AddressSanitizer: heap-buffer-overflow' overflow
    expect_found "$library" 'AddressSanitizer: heap-use-after-free' after-free
done
for built in 'gcc -fsanitize=thread -static-libtsan' 'clang -fsanitize=thread'; do
    build $built || continue
    tried=$((tried + 1))
    expect_found "$library" 'ThreadSanitizer: data race' race
done
built='gcc -fsanitize=address'
if build $built && ldd damage | grep -q libasan; then
    tried=$((tried + 1))
    run "$library" none
    [ "$status" != 0 ] && grep -q 'ASan runtime does not come first' run.log || fail "$built: it starts"
    expect_found "$(gcc -print-file-name=libasan.so):$library" 'AddressSanitizer: heap-buffer-overflow' overflow
fi
[ "$tried" != 0 ] || skip "no compiler has sanitizers"
rm -f run.log
passed
