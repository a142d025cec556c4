#!/bin/bash
# Which programs' stacks are seen, and by which way: a table, as it stands in doc/profile.md. Where all
# code has tables, each stack must be as libgcc's unwinder sees it; with code made at run time, at least
# as deep, and nearly all must be seen to their end.
set -euo pipefail

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
programs=$PWD
faults=0
cd "$out"

fault() {
    echo "$1" >&2
    faults=$((faults + 1))
}

# run NAME all|most COMMAND: runs it with the library that takes stacks. `all` must be as libgcc sees
# them, or of `most`, 95 in 100, the end must be seen, and the depth be that of libgcc or more.
run() {
    local name=$1 rule=$2 status=0
    shift 2
    command -v "$1" >/dev/null || { echo "| $name | not tried: no $1 |"; return; }
    rm -f "$out/counts"
    STACKS_OUTPUT=$out/counts LD_PRELOAD=$programs/.libs/libstacks.so timeout 100 "$@" \
        >"$out/output" 2>&1 || status=$?
    [ "$status" = 0 ] || fault "$name: exit status $status: $(tail -n 3 "$out/output")"
    [ -s "$out/counts" ] || { fault "$name: no stack was taken"; return; }
    awk -v name="$name" -v rule="$rule" '
    { taken += $2; same += $4; whole += $6; depth += $8; libgcc += $10; pointers += $12 }
    END {
        if (taken < 50)
            exit 1
        printf "| %s | %d | %.1f %% | %.1f %% | %.1f | %.1f | %.1f |\n", name, taken, 100 * same / taken, \
            100 * whole / taken, depth / taken, libgcc / taken, pointers / taken
        if (rule == "all")
            exit same < taken
        exit whole < 0.95 * taken || depth < libgcc
    }' "$out/counts" || fault "$name: stacks are missing or wrong"
}

cat >program.py <<'END'
import json, re, threading
def work():
    for i in range(3000):
        json.loads(json.dumps({"a": [i] * 20, "b": "text" * 40}))
        sorted(range(50), key=lambda x: [-x])
    re.compile("(a|b)*c" * 200)
threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]
work()
[t.join() for t in threads]
END
cat >program.js <<'END'
function deep(n) { return n === 0 ? Buffer.from('x'.repeat(9000)).length : deep(n - 1) + 1; }
let sum = 0;
for (let i = 0; i < 20000; i++) {
    sum += deep(i % 30) + JSON.parse(JSON.stringify({ a: [i], b: 'x'.repeat(50) })).a.length;
    if (i % 1000 === 0) require('zlib').gzipSync('a'.repeat(10000));
}
[3, 1, 2].sort((a, b) => { sum += deep(5); return a - b; });
console.log(sum);
END

echo "| program | stacks | as libgcc | whole | frames | libgcc's | by frame pointers alone |"
echo "| --- | --- | --- | --- | --- | --- | --- |"
run "C, -O2 -fomit-frame-pointer" all "$programs/recursion"
run "C, -O2 -fno-omit-frame-pointer" all "$programs/recursion_framed"
run "C, coroutines by makecontext" all "$programs/recursion" coroutines
run "C++, exceptions, threads" all "$programs/exceptions"
PYTHONMALLOC=malloc run "python3" all python3 program.py
run "perl" all perl -e 'my %h; for (1..20000) { $h{"k$_"} = [$_, "x" x 100]; } print join ",", sort { $a cmp $b } keys %h;'
run "node" most node program.js
# the map is named by the process, which the shell becomes
run "node --perf-basic-prof" most bash -c 'echo $$ >pid; exec node --perf-basic-prof program.js'
rm -f "/tmp/perf-$(cat pid).map"
run "node --interpreted-frames-native-stack" most \
    node --interpreted-frames-native-stack program.js

[ "$faults" = 0 ]
