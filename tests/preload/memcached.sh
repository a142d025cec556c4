# memcached with four threads under four clients that check every byte of its answers: those of the
# benchmarks.
bench=$(cd "$(dirname "$0")/../../bench" && pwd)
. "$(dirname "$0")/common.sh"
need memcached
need_python

cat >client.py <<'END'
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import programs_clients

programs_clients.converse(sys.argv[2], [programs_clients.memcached_conversation(number, 3000, 300)
                                        for number in range(4)])
END

for mode in plain acre; do
    start_server "$mode" memcached -s "$scratch/$mode" -t 4 -m 64 -u "$(id -un)"
    wait_until test -S "$mode"
    timeout "$run_seconds" "$python" client.py "$bench" "$scratch/$mode" 2>>"$mode.log" ||
        fail "client: $mode"
    stop_server "$server_pid" TERM
done
expect_bound memcached
passed
