# Redis with two I/O threads under redis-benchmark's four, a background save by fork under that load
# whose dump another server loads, and a reload; data sets are compared by DEBUG DIGEST. Debian's
# redis-server is linked with jemalloc, so the script shows where each allocation symbol is bound.
. "$(dirname "$0")/common.sh"
need redis-server redis-cli redis-benchmark awk

# start_redis MODE NAME [OPTION...]: a server on the socket $scratch/NAME.
start_redis() {
    local mode=$1 name=$2
    shift 2
    start_server "$mode" redis-server --port 0 --unixsocket "$scratch/$name" --dir "$scratch" --save '' \
        --io-threads 2 --io-threads-do-reads yes --enable-debug-command local --daemonize no "$@"
    wait_until ask "$name" PING
}

# ask NAME COMMAND...: the server's answer.
ask() {
    local name=$1
    shift
    timeout "$run_seconds" redis-cli -s "$scratch/$name" -e "$@"
}

# info NAME FIELD: a field of INFO.
info() {
    ask "$1" INFO | tr -d '\r' | sed -n "s/^$2://p"
}

# not_saving NAME: whether no background save is going on.
not_saving() {
    [ "$(info "$1" rdb_bgsave_in_progress)" = 0 ]
}

# save NAME: a background save, to its end.
save() {
    ask "$1" BGSAVE >/dev/null || fail "BGSAVE"
    wait_until not_saving "$1"
    expect_equal "$(info "$1" rdb_last_bgsave_status)" ok "status of the background save"
}

# Four client threads on data base 1 of the server on socket "acre".
benchmark=(redis-benchmark -s "$scratch/acre" --threads 4 -c 40 -P 8 --dbnum 1 -r 10000 -d 300 -q
    -t 'set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd')

# Data base 0: every type, small and large values, what was overwritten and removed.
awk 'BEGIN {
    for (i = 0; i < 12000; i++) {
        text = sprintf("%0" (i * 7919 % 500 + 1) "d", i)
        print "SET string:" i % 9000, text
        print "HSET hash:" i % 200, "field:" i, text
        print "RPUSH list:" i % 100, text
        print "SADD set:" i % 50, i, "member:" text
        print "ZADD zset:" i % 30, i % 997, "member:" i
        if (i % 10 == 0)
            print "DEL string:" i % 4000
    }
}' >commands

start_redis plain plain
ask plain --pipe <commands >/dev/null || fail "redis-cli --pipe"
expected=$(ask plain DEBUG DIGEST)
stop_server "$server_pid" TERM

start_redis acre acre --dbfilename acre.rdb
redis_pid=$server_pid
ask acre --pipe <commands >/dev/null || fail "redis-cli --pipe"
expect_equal "$(ask acre DEBUG DIGEST)" "$expected" "digest of the same commands"

# Two background saves while the clients go on, then a benchmark to its end.
start_server acre "${benchmark[@]}" -l
load=$server_pid
writing() {
    [ "$(ask acre -n 1 DBSIZE)" -gt 1000 ]
}
wait_until writing
save acre
save acre
cp acre.rdb loaded.rdb
has_ended "$load" && fail "the load ended before the save"
kill "$load"
wait "$load"
expect_equal "$?" 143 "status of the load, ended by SIGTERM"
servers=("$redis_pid")
in_mode acre "${benchmark[@]}" -n 3000 >benchmark.output || fail "redis-benchmark"
[ "$(info acre io_threaded_reads_processed)" -gt 0 ] || fail "the I/O threads had nothing to do"

# A server without acre loads the dump taken under load: data base 0 is complete in it.
start_redis plain loader --dbfilename loaded.rdb
[ "$(ask loader -n 1 DBSIZE)" -gt 1000 ] || fail "the dump lacks the data of the load"
ask loader -n 1 FLUSHDB >/dev/null
expect_equal "$(ask loader DEBUG DIGEST)" "$expected" "digest of the dump taken under load"
stop_server "$server_pid" TERM

# A dump of the quiet server has all it holds; and so has the server after loading it itself.
expected=$(ask acre DEBUG DIGEST)
save acre
start_redis plain loader --dbfilename acre.rdb
expect_equal "$(ask loader DEBUG DIGEST)" "$expected" "digest of the last dump"
stop_server "$server_pid" TERM
ask acre DEBUG RELOAD >/dev/null || fail "DEBUG RELOAD"
expect_equal "$(ask acre DEBUG DIGEST)" "$expected" "digest after a reload"
ask acre FLUSHALL >/dev/null
stop_server "$redis_pid" TERM

echo "allocation symbols of redis-server:"
bindings_of redis-server
expect_bound redis-server
expect_bound redis-benchmark
passed
