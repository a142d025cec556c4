#!/bin/bash
# Names: of C++ as in the source, of inlined functions, of a program without symbols, of code made just
# in time, and of files that are gone or were replaced.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"
programs=$PWD

dump() {
    "$profile" dump "$subject_id" >"$directory/text"
    "$profile" dump --format folded "$subject_id" >"$directory/folded"
}

echo "C++"
ACRE_OPTIONS=profile:1 start_subject "$programs/cxx"
dump
name='shop::cart<std::.*string.*>::add(std::.*string.* const&, int)'
grep -q "^      $name" "$directory/text" || fail "demangled: $(cat "$directory/text")"
grep -q '^      shop::cart<.*>::grow(int) .*cxx.cc:[0-9]* (inlined)$' "$directory/text" ||
    fail "inlined: $(cat "$directory/text")"
grep -q ";$name;shop::cart<.*>::grow(int) $((100 * 3072))$" "$directory/folded" ||
    fail "folded: $(cat "$directory/folded")"
end_subject

echo "an inlined function"
start_filled i "$programs/subject"
dump
line=$(grep -n 'keep(inlined());' "${srcdir:-.}/subject.c" | head -1 | cut -d: -f1)
grep -A1 '^      inlined .*subject.c:[0-9]* (inlined)$' "$directory/text" |
    grep -q "^      outer  *[^ ]*subject.c:$line\$" || fail "inlined: $(cat "$directory/text")"
end_subject

echo "a program without symbols"
cp "$programs/subject" "$directory/stripped"
strip --strip-all "$directory/stripped"
start_filled sml "$directory/stripped"
dump
[ "$(folded_total "$directory/folded")" = $((112000 + 768000 + 9437184)) ] ||
    fail "stripped: $(cat "$directory/folded")"
# the offset is what addr2line takes of the program that has symbols
offset=$(sed -n 's/.*;stripped+0x\([0-9a-f]*\);stripped+0x[0-9a-f]* 9437184$/\1/p' "$directory/folded")
[ -n "$offset" ] || fail "stripped: $(cat "$directory/folded")"
if command -v addr2line >/dev/null; then
    function=$(addr2line -f -e "$programs/subject" "$(printf '%x' $((0x$offset - 1)))" | head -1)
    [ "$function" = large ] || fail "stripped+0x$offset is $function"
fi

echo "a file that is gone, and one that has taken its place"
end_subject
cp "$programs/subject" "$directory/gone"
start_filled s "$directory/gone"
rm "$directory/gone"
cp "$programs/leaks" "$directory/gone"
dump
if [ "$(folded_bytes small "$directory/folded")" != 112000 ]; then
    # no right to open it by /proc/PID/map_files: but no name of the other program
    grep -q ';gone (deleted)+0x[0-9a-f]* 112000$' "$directory/folded" ||
        fail "gone: $(cat "$directory/folded")"
fi
end_subject

if has_cores; then
    echo "a core, and a file that has taken the place of the program's"
    cp --remove-destination "$programs/subject" "$directory/gone"
    start_filled s "$directory/gone"
    printf a >&7
    end_subject 2>/dev/null
    "$profile" dump --format folded "$directory"/core* >"$directory/folded"
    check_folded "$directory/folded" small 112000
    cp --remove-destination "$programs/leaks" "$directory/gone"
    "$profile" dump --format folded "$directory"/core* >"$directory/folded"
    grep -q ';gone+0x[0-9a-f]* 112000$' "$directory/folded" ||
        fail "another program's names: $(cat "$directory/folded")"
fi

echo "code made just in time"
start_filled j "$programs/subject"
if read -r _ address size < <(grep '^jit ' "$directory/out"); then
    dump
    # as an address alone
    grep -q "^      0x${address%????}" "$directory/text" || fail "jit: $(cat "$directory/text")"
    # the program's own code, at a place of another mapping of its file
    grep -q '^      again  *(subject)$' "$directory/text" || fail "again: $(cat "$directory/text")"
    map=/tmp/perf-$subject_id.map
    printf '%s %s made<int>\033[7m\n%x 10 another\n' "$address" "$size" \
        $((0x$address + 0x$size)) >"$map"
    dump
    grep -q '^      made<int>?\[7m  *(\[jit\])$' "$directory/text" ||
        fail "jit: $(cat "$directory/text")"
    if [ "$(id -u)" -eq 0 ]; then
        chown nobody "$map" # any user may write to /tmp
        dump
        ! grep -q 'made<int>' "$directory/text" || fail "another user's list was taken"
    fi
    rm -f "$map"
    mkfifo "$map"
    dump # does not wait for it
    rm -f "$map"
else
    echo "not on this machine"
fi
end_subject
echo "all right"
