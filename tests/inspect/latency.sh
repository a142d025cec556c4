#!/bin/bash
# What a reader costs a server that works: the latency of redis and of memcached, with acre preloaded,
# without a reader, with acre-inspect once a second, and with one after the other. Prints p50 and p99,
# each the median of ROUNDS rounds in turn; nothing is asserted. "make latency-inspect" runs it.
#
#   latency.sh [ROUNDS=5]
#
# Environment: ACRE_LIBRARY, the library to preload.
rounds=${1:-5}
. "$(dirname "$0")/../preload/common.sh"
need redis-server redis-cli redis-benchmark memcached
need_python
inspect=$OLDPWD/../../tools/acre-inspect
[ -x "$inspect" ] || skip "acre-inspect was left out"

set_environment() { # MODE
    environment=()
    [ "$1" != acre ] || environment=("LD_PRELOAD=$library")
}

# Reads a process with pauses, or without (0), as long as the file `reading` is there; counts in the
# file `reads`.
read_again() { # PID PAUSE
    while [ -e reading ]; do
        "$inspect" --json "$1" >look.json || exit 1
        echo >>reads
        sleep "$2"
    done
}

# Runs a command that prints "p50 p99" in each of the three ways; adds lines to the file of its name.
measure() { # NAME PID COMMAND...
    local name=$1 pid=$2 way
    shift 2
    for way in none 1 0; do
        local reader=
        touch reading
        [ "$way" = none ] || { read_again "$pid" "$way" & reader=$!; }
        echo "$("$@")" >>"$name.$way"
        rm reading
        [ -z "$reader" ] || wait "$reader" || fail "a reader: $name"
    done
}

# The median of a column.
median() { # FILE COLUMN
    awk -v column="$2" '{ print $column }' "$1" | sort -g | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

in_redis() {
    redis-cli -s "$scratch/redis" "$@"
}

load_redis() {
    redis-benchmark -s "$scratch/redis" -c 8 -r 200000 -d 500 -n 150000 -t set --csv |
        awk -F, 'NR == 2 { gsub(/"/, ""); print $5 * 1000, $7 * 1000 }'
}

cat >load.py <<'END'
import socket, sys, time
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rb")
times = []
for i in range(int(sys.argv[2])):
    size = i * 7919 % 4000
    begin = time.perf_counter_ns()
    s.sendall(b"set k%d 0 0 %d\r\n%s\r\n" % (i * 104729 % 100000, size, b"x" * size))
    assert f.readline() == b"STORED\r\n"
    times.append(time.perf_counter_ns() - begin)
times.sort()
print(times[len(times) // 2] / 1000, times[len(times) * 99 // 100] / 1000)
END

load_memcached() {
    "$python" load.py "$scratch/memcached" 60000
}

start_server acre redis-server --port 0 --unixsocket "$scratch/redis" --dir "$scratch" --save '' --daemonize no
redis=$server_pid
wait_until in_redis PING
start_server acre memcached -s "$scratch/memcached" -t 4 -m 512 -u "$(id -un)"
memcached=$server_pid
wait_until test -S memcached
in_redis EVAL 'for i = 0, 199999 do redis.call("SET", string.format("key:%012d", i), string.rep("x", 500)) end' 0 >/dev/null
load_memcached >/dev/null
for _ in $(seq "$rounds"); do
    measure redis "$redis" load_redis
    measure memcached "$memcached" load_memcached
done
echo "$rounds rounds, $(wc -l <reads) reads; microseconds, medians of the rounds"
printf '%-10s %-26s %8s %8s\n' server reader p50 p99
for server in redis memcached; do
    for way in none 1 0; do
        case $way in none) reader="none" ;; 1) reader="each second" ;; 0) reader="one after the other" ;; esac
        printf '%-10s %-26s %8.0f %8.0f\n' "$server" "$reader" "$(median "$server.$way" 1)" "$(median "$server.$way" 2)"
    done
done
for pid in "$redis" "$memcached"; do
    "$inspect" "$pid" | head -n 15
done
exit 0
