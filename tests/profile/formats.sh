#!/bin/bash
# What acre-profile writes, read by the programs for it: Go's pprof, google-pprof, jeprof. All formats
# have the same figures, which are known exactly: of a stopped process, each block of which was
# sampled; and of one of which few were, the same sums in each format.
set -euo pipefail

directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"
programs=$PWD
export PPROF_TMPDIR=$directory HOME=$directory

have() { # PROGRAM PACKAGE
    command -v "$1" >/dev/null || {
        echo "not tried: $1 is not installed (Debian: $2)"
        return 1
    }
}

dump_all() {
    kill -STOP "$subject_id"
    "$profile" dump -o "$directory/p.txt" "$subject_id"
    "$profile" dump -o "$directory/p.pb.gz" "$subject_id"
    "$profile" dump -o "$directory/p.heap" "$subject_id"
    "$profile" dump -o "$directory/p.folded" "$subject_id"
    "$profile" dump -o "$directory/all.folded" --allocated "$subject_id"
    "$profile" dump -o "$directory/peak.folded" --peak "$subject_id"
    "$profile" dump -o "$directory/p.html" "$subject_id"
    "$profile" dump -o "$directory/peak.heap" --peak "$subject_id"
    kill -CONT "$subject_id"
}

# Fails unless two figures are the same, up to a rounding of each of a number of summands.
check_same() { # WHAT A B SUMMANDS
    local difference=$(($2 - $3))
    [ "${difference#-}" -le "$4" ] || fail "$1: $2 and $3"
}

check_lines() {
    ! grep -v '^[^ ;].* [0-9][0-9]*$' "$directory/p.folded" || fail "folded lines"
    awk '{ stack = $0; sub(/ [0-9]+$/, "", stack); if (stack ~ /;;|^;|;$/) exit 1 }' \
        "$directory/p.folded" || fail "folded lines: $(cat "$directory/p.folded")"
}

# The heads of heap_v2 are the sums of its lines and those of the folded ones.
check_heap_v2() {
    awk '/^heap profile: / { split($0, part, /[^0-9]+/); for (i = 2; i <= 5; i++) head[i] = part[i]; next }
        /^ *[0-9]+: / { split($0, part, /[^0-9]+/); for (i = 2; i <= 5; i++) sum[i] += part[i] }
        END { for (i = 2; i <= 5; i++) if (head[i] != sum[i]) exit 1 }' "$directory/p.heap" ||
        fail "the sums of heap_v2: $(cat "$directory/p.heap")"
    local lines
    lines=$(grep -c '@ 0x' "$directory/p.heap")
    check_same "heap_v2 and folded" \
        "$(sed -n 's/^heap profile: *[0-9]*: *\([0-9]*\) .*/\1/p' "$directory/p.heap")" \
        "$(folded_total "$directory/p.folded")" "$lines"
    check_same "heap_v2 and folded, allocated" \
        "$(sed -n 's/^heap profile: .*\[ *[0-9]*: *\([0-9]*\)\].*/\1/p' "$directory/p.heap")" \
        "$(folded_total "$directory/all.folded")" "$lines"
    check_same "heap_v2 and folded, peak" \
        "$(sed -n 's/^heap profile: *[0-9]*: *\([0-9]*\) .*/\1/p' "$directory/peak.heap")" \
        "$(folded_total "$directory/peak.folded")" "$lines"
}

# Samples of `go tool pprof -raw`: five values, then ": " and locations.
raw_total() { # COLUMN
    awk -v column="$1" '/^Samples:/ { on = 1; next } /^Locations/ { on = 0 }
        on && /^ *[0-9]+ .*: / { sub(/:.*/, ""); sum += $column }
        END { printf "%.0f\n", sum }' "$directory/raw"
}

check_pprof() {
    go tool pprof -raw "$directory/p.pb.gz" >"$directory/raw" 2>"$directory/errors" ||
        fail "pprof: $(cat "$directory/errors")"
    grep -q '^alloc_objects/count alloc_space/bytes inuse_objects/count inuse_space/bytes\[dflt\] peak_space/bytes$' \
        "$directory/raw" || fail "pprof's types: $(head "$directory/raw")"
    local lines
    lines=$(grep -c '@ 0x' "$directory/p.heap")
    check_same "pprof and folded" "$(raw_total 4)" "$(folded_total "$directory/p.folded")" "$lines"
    check_same "pprof and folded, allocated" "$(raw_total 2)" \
        "$(folded_total "$directory/all.folded")" "$lines"
    check_same "pprof and folded, peak" "$(raw_total 5)" \
        "$(folded_total "$directory/peak.folded")" "$lines"
}

# The flame graph's JSON object, by its own totals.
check_html() {
    local total
    total=$(tr '{' '\n' <"$directory/p.html" | sed -n 's/^"f":.*"live":\[\([0-9]*\),.*/\1/p' |
        awk '{ sum += $1 } END { printf "%.0f\n", sum }')
    check_same "html and folded" "$total" "$(folded_total "$directory/p.folded")" 0
}

# Fails unless a pprof program's table has these bytes, 0.1 MiB of them, at a function.
check_table() { # FILE FUNCTION MIB
    awk -v name="$2" -v wanted="$3" '$NF == name { found = $4; exit }
        END { sub(/MB$/, "", found); exit !(found - wanted < 0.051 && wanted - found < 0.051) }' "$1" ||
        fail "$2 in $(cat "$1")"
}

echo "figures that are known"
start_filled sml "$programs/subject"
dump_all
for file in p all; do
    check_folded "$directory/$file.folded" small 112000
    check_folded "$directory/$file.folded" large 9437184
done
check_folded "$directory/p.folded" middle 768000
check_folded "$directory/all.folded" middle 1536000
check_lines
check_heap_v2
check_html
if have go golang-go; then
    check_pprof
    go tool pprof -top -sample_index=alloc_space "$directory/p.pb.gz" >"$directory/table" \
        2>"$directory/errors" || fail "pprof -top: $(cat "$directory/errors")"
    grep -q ' middle$' "$directory/table" && grep -q '^Type: alloc_space' "$directory/table" ||
        fail "pprof -top: $(cat "$directory/table")"
    go tool pprof -top -cum -unit=mb "$directory/p.pb.gz" >"$directory/table" 2>"$directory/errors"
    check_table "$directory/table" large 9.00
    check_table "$directory/table" middle 0.73
    # by lines, of the function that calls malloc
    go tool pprof -source_path "${srcdir:-.}" -list '^get$' "$directory/p.pb.gz" >"$directory/table" 2>&1 || :
    grep -q 'malloc(size)' "$directory/table" || fail "pprof -list: $(cat "$directory/table")"
    go tool pprof -raw "$programs/subject" "$directory/p.heap" >"$directory/raw" \
        2>"$directory/errors" || fail "pprof of heap_v2: $(cat "$directory/errors")"
    check_same "Go's pprof of heap_v2" "$(raw_total 4)" "$(folded_total "$directory/p.folded")" 10
fi
for program in google-pprof jeprof; do
    have "$program" "$([ "$program" = jeprof ] && echo libjemalloc-dev || echo google-perftools)" ||
        continue
    "$program" --text "$programs/subject" "$directory/p.heap" >"$directory/table" 2>"$directory/errors" ||
        fail "$program: $(cat "$directory/errors")"
    check_table "$directory/table" large 9.0
    check_table "$directory/table" middle 0.7
    check_table "$directory/table" small 0.1
    "$program" --text --alloc_space "$programs/subject" "$directory/p.heap" >"$directory/table" \
        2>"$directory/errors"
    check_table "$directory/table" middle 1.5
done
end_subject

echo "estimates"
start_subject "$programs/subject"
"$profile" start --interval 8K --quiet "$subject_id" >/dev/null
for _ in $(seq 20); do
    for letter in s m l; do tell $letter; done
done
dump_all
check_lines
check_heap_v2
check_html
! command -v go >/dev/null || check_pprof
# 60 blocks of 3 MiB: each is sampled (the chance that one is not is e^-384)
check_folded "$directory/p.folded" large $((60 * 3145728))
# 5000 blocks of 3072 bytes, each sampled with p = 1 - e^(-3072/8192): 5 standard deviations are
# 5 sqrt(5000 (1-p)/p) blocks
check_same "the estimate at middle()" "$(folded_bytes middle "$directory/p.folded")" \
    $((5000 * 3072)) $((525 * 3072))
end_subject
echo "all right"
