#!/bin/bash
# acre-inspect on programs of the distribution while they work: redis, memcached, node (C++ with
# threads), python, postgresql (which forks), and one in a file system of its own. What is not
# installed, or not permitted here, is left out and said; nothing at all is a skip.
#
# Environment: ACRE_LIBRARY, the library to preload; ACRE_REAL_ONLY="NAME..." chooses parts.
. "$(dirname "$0")/../preload/common.sh"

# Without the dynamic linker's log, which common.sh has it write.
set_environment() { # MODE
    environment=()
    [ "$1" != acre ] || environment=("LD_PRELOAD=$library")
}

cp "$OLDPWD/../../tools/acre-inspect" "$scratch/inspect" || skip "acre-inspect was left out"
inspect=$scratch/inspect
looks=15 # at a process that works
ran=()

# The first number of that name in a JSON file.
number() { # NAME FILE
    sed -n "s/.*\"$1\": \\([0-9]*\\).*/\\1/p" "$2" | head -n 1
}

at_most() { # NAME NAME FILE
    [ "$(number "$1" "$3")" -le "$(number "$2" "$3")" ] ||
        fail "$1 is $(number "$1" "$3"), $2 only $(number "$2" "$3"): $3"
}

# Reads a process once, whole: no figure is above what contains it.
look() { # PID
    "$inspect" --json "$1" >look.json 2>look.log || fail "acre-inspect $1: $(cat look.log)"
    [ "$(number pid look.json)" = "$1" ] || fail "another process: $(head -n 2 look.json)"
    at_most live mapped look.json
    at_most small_live in_slabs look.json
    at_most in_slabs heap_mapped look.json
    at_most large_live large_peak look.json
}

# Looks again and again while the load goes on; a slab that changes each time may be left out.
look_while() { # PID LOAD
    local seen=0
    while [ "$seen" -lt "$looks" ]; do
        has_ended "$2" && fail "the load ended after $seen looks"
        look "$1"
        seen=$((seen + 1))
    done
}

# A thread's name stands in the table of arenas.
has_thread() { # PID NAME
    "$inspect" "$1" >text 2>/dev/null || fail "acre-inspect $1"
    grep -q " $2 " text || fail "no thread $2: $(cat text)"
}

# Ends a server or load that does not end by itself in good order.
end_child() { # PID
    local left=() server
    kill "$1" 2>/dev/null
    wait "$1" 2>/dev/null
    for server in "${servers[@]}"; do
        [ "$server" = "$1" ] || left+=("$server")
    done
    servers=("${left[@]}")
}

in_redis() {
    timeout "$run_seconds" redis-cli -s "$scratch/redis" "$@"
}

try_redis() {
    start_server acre redis-server --port 0 --unixsocket "$scratch/redis" --dir "$scratch" --save '' \
        --daemonize no
    local server=$server_pid
    wait_until in_redis PING
    start_server plain redis-benchmark -s "$scratch/redis" -c 20 -r 20000 -d 400 -q -l -t set,get,lpush,hset
    look_while "$server" "$server_pid"
    end_child "$server_pid"
    in_redis FLUSHALL >/dev/null
    in_redis EVAL 'for i = 1, 50000 do redis.call("SET", "key" .. i, string.rep("x", 500)) end' 0 >/dev/null
    look "$server"
    # redis counts what malloc_usable_size says of its own blocks
    local used
    used=$(in_redis INFO memory | tr -d '\r' | sed -n 's/^used_memory://p')
    [ "$(number live look.json)" -ge "$used" ] || fail "live is $(number live look.json), redis has $used"
    [ "$(number small_blocks look.json)" -ge 50000 ] || fail "not 50000 blocks"
    "$inspect" --html map.html "$server" || fail "--html"
    grep -q 'redis-server' map.html || fail "no page"
    stop_server "$server" TERM
}

try_memcached() {
    start_server acre memcached -s "$scratch/memcached" -t 4 -m 64 -u "$(id -un)"
    local server=$server_pid
    wait_until test -S memcached
    cat >load.py <<'END'
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
f = s.makefile("rb")
i = 0
while True:
    size = i * 7919 % 9000
    s.sendall(b"set k%d 0 0 %d\r\n%s\r\n" % (i % 5000, size, b"x" * size))
    assert f.readline() == b"STORED\r\n"
    i += 1
END
    start_server plain "$python" load.py "$scratch/memcached"
    look_while "$server" "$server_pid"
    end_child "$server_pid"
    has_thread "$server" mc-worker
    stop_server "$server" TERM
}

try_node() {
    cat >server.js <<'END'
const http = require('http'), crypto = require('crypto');
http.createServer((request, response) => {
    crypto.pbkdf2('a', 'b', 100, 64, 'sha512', (error, key) => response.end(Buffer.alloc(200000, key)));
}).listen(process.argv[2]);
END
    cat >load.js <<'END'
const http = require('http');
const agent = new http.Agent({keepAlive: true, maxSockets: 8});
function ask() {
    http.get({socketPath: process.argv[2], agent}, response => {
        response.resume();
        response.on('end', ask);
    });
}
for (let i = 0; i < 8; i++)
    ask();
END
    start_server acre node server.js "$scratch/node"
    local server=$server_pid
    wait_until test -S node
    start_server plain node load.js "$scratch/node"
    look_while "$server" "$server_pid"
    end_child "$server_pid"
    "$inspect" "$server" >text || fail "acre-inspect"
    # the table of arenas follows its head; node's main thread, V8's and libuv's have one each
    [ "$(sed '1,/^  arena /d' text | grep -c .)" -ge 4 ] || fail "no threads: $(cat text)"
    end_child "$server"
}

# A python program whose objects are blocks of acre; then the core that it leaves.
try_python() {
    cat >program.py <<'END'
import os, sys
objects = [bytes(3000) for _ in range(10000)]
print(hex(id(objects[77])), flush=True)
sys.stdin.readline()
os.abort()
END
    mkfifo input
    # PYTHONMALLOC: else small objects share blocks of python's own
    PYTHONMALLOC=malloc LD_PRELOAD=$library "$python" program.py <input >output 2>/dev/null &
    local program=$! address
    servers+=("$program")
    exec 8>input
    wait_until test -s output
    address=$(cat output)
    look "$program"
    # an object of 3000 bytes has 33 more, and the class is of 3072 or 3584
    [ "$("$inspect" --class 3033 "$program" | sed -n 's/.*: \([0-9]*\) live blocks,.*/\1/p')" -ge 10000 ] ||
        fail "not 10000 blocks: $("$inspect" --class 3033 "$program")"
    "$inspect" --find "$address" "$program" | grep -q ': in a block: live$' || fail "--find $address"
    "$inspect" --json "$program" >process.json
    if [[ $(cat /proc/sys/kernel/core_pattern) != core* ]]; then
        echo "no core here: core_pattern is $(cat /proc/sys/kernel/core_pattern)"
    else
        prlimit --core=unlimited --pid "$program" || fail "prlimit"
        echo >&8
        wait "$program" 2>/dev/null
        local core
        core=$(find . -name 'core*')
        "$inspect" --find "$address" "$core" | grep -q ': in a block: live$' || fail "--find $address $core"
        "$inspect" --json "$core" >core.json || fail "a core of python"
        [ "$(number small_blocks core.json)" -ge 10000 ] || fail "not 10000 blocks in the core"
        rm "$core"
    fi
    exec 8>&-
    end_child "$program"
}

in_postgres() {
    in_mode plain psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$scratch" -U tester -d postgres "$@"
}

# Each backend has heaps of its own; the server runs under another user where this is root.
try_postgresql() {
    if [ "$(id -u)" = 0 ]; then
        user=postgres
        id "$user" >/dev/null 2>&1 || user=nobody
        run_as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
        chown "$user" "$scratch"
    fi
    in_mode plain initdb -N --no-instructions -A trust -U tester -D "$scratch/data" >initdb.log || fail "initdb"
    start_server acre postgres -D "$scratch/data" -k "$scratch" -c listen_addresses= -c fsync=off
    local server=$server_pid backends pid status said
    wait_until in_postgres -c 'SELECT 1'
    in_mode plain pgbench -h "$scratch" -U tester -i -q postgres >/dev/null 2>&1 || fail "pgbench -i"
    start_server plain pgbench -h "$scratch" -U tester -c 4 -j 2 -T 600 postgres
    local load=$server_pid
    clients() {
        pgrep -P "$server" | while read -r pid; do
            ! grep -qs 'tester postgres' "/proc/$pid/cmdline" || echo "$pid"
        done
    }
    four_clients() {
        [ "$(clients | wc -l)" -ge 4 ]
    }
    wait_until four_clients
    backends=$(clients)
    for _ in 1 2 3 4; do
        for pid in $backends; do
            look "$pid"
            grep -q '"process": "postgres"' look.json || fail "another program: $(head -n 2 look.json)"
        done
    done
    look "$server"
    pid=$(head -n 1 <<<"$backends")
    if [ "$(id -u)" = 0 ]; then
        status=0
        said=$(setpriv --reuid=1 --regid=1 --clear-groups "$inspect" "$pid" 2>&1) || status=$?
        [ "$status" = 1 ] && [[ $said == *"which is user $user's: run this as root" ]] ||
            fail "as another user: status $status, $said"
    fi
    "$inspect" --set decay:50 --quiet "$pid" >text || fail "--set"
    grep -q 'decay is 50$' text || fail "$(cat text)"
    end_child "$load"
    stop_server "$server" INT
    run_as=()
}

# A program in namespaces and a file system of its own, where this program's files are not.
try_container() {
    local file inner
    mkdir -p root/proc
    for file in /bin/sleep /bin/sh $(ldd /bin/sleep /bin/sh | grep -o '/[^ )]*'); do
        case $file in *:) continue ;; esac
        mkdir -p "root$(dirname "$file")"
        cp -L "$file" "root$file"
    done
    cp "$library" root/libacre.so
    start_server plain unshare --mount --pid --fork --kill-child chroot root /bin/sh -c \
        'LD_PRELOAD=/libacre.so exec /bin/sleep 60'
    local outer=$server_pid
    wait_until pgrep -P "$outer" -x sleep
    inner=$(pgrep -P "$outer" -x sleep)
    wait_until "$inspect" "$inner"
    look "$inner"
    [ "$(number arenas look.json)" -ge 1 ] || fail "no arena"
    "$inspect" "$inner" >text
    grep -q ' sleep ' text || fail "no thread: $(cat text)"
    rm root/libacre.so
    look "$inner"
    kill -KILL "$inner" # unshare passes no signal on
    end_child "$outer"
}

# Whether a part can be tried here; says why not.
can() { # PART
    case $1 in
    redis) command -v redis-server redis-cli redis-benchmark >/dev/null ;;
    memcached) command -v memcached >/dev/null ;;
    node) command -v node >/dev/null ;;
    python) true ;;
    postgresql) command -v initdb pgbench psql >/dev/null && command -v setpriv >/dev/null ;;
    container) [ "$(id -u)" = 0 ] && unshare --mount --pid --fork true 2>/dev/null ;;
    esac
}

for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -V); do
    [ -x "$directory/initdb" ] && PATH=$directory:$PATH
done
need_python
chmod 755 "$inspect"
# A process without acre is refused as such, where there is the right to read it.
start_server plain sleep 60
started() {
    [ "$(cat "/proc/$server_pid/comm")" = sleep ]
}
wait_until started
said=$("$inspect" "$server_pid" 2>&1)
end_child "$server_pid"
[[ $said == "inspect: there is no acre in process"* ]] || skip "no right to read a process: $said"
for part in ${ACRE_REAL_ONLY:-redis memcached node python postgresql container}; do
    if can "$part"; then
        echo "$part"
        "try_$part"
        ran+=("$part")
    else
        echo "$part is not here, or not permitted"
    fi
done
! grep -h '^acre: ' "$scratch"/*.log || fail "the library reported something"
echo "PASS: ${ran[*]}"
