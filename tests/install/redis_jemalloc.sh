#!/bin/bash
# redis, which is written for jemalloc, on libacre-jemalloc: built from Debian's source against the acre of
# this build tree, with jemalloc's header in name only; then its server, its MEMORY commands, its benchmark,
# a dump by a child, and a restart from that. make check-redis-jemalloc runs this in the build tree.
#
#   REDIS_SOURCE=FILE   redis's archive (.tar.gz); else the Debian source is fetched, by an apt with lists of
#                       its own: the machine's stay as they are
#   DEBIAN_SUITE=bookworm DEBIAN_MIRROR=URL
#
# libdir and pkgconfigdir are as configured; ACRE_SHARED and ACRE_PREFIX say what was configured.
. "$(dirname "$0")/common.sh"
: "${libdir:?is not set: run this by make check-redis-jemalloc}"
suite=${DEBIAN_SUITE-bookworm}
mirror=${DEBIAN_MIRROR-http://deb.debian.org/debian}
[ -z "$ACRE_PREFIX" ] || skip "with a prefix there is no libacre-jemalloc"
[ "$ACRE_SHARED" = yes ] || skip "there is no shared library"

# Fetches redis's archive into $work.
fetch_source() {
    local options=(-o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o Dir::State::Lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root)
    command -v apt-get >/dev/null || skip "there is no apt, and REDIS_SOURCE is not set"
    mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
    echo "deb-src $mirror $suite main" >"$work/sources.list"
    (cd "$work" && apt-get "${options[@]}" update -q && apt-get "${options[@]}" source -q --download-only redis) \
        >"$work/output" 2>&1 || skip "redis's source cannot be fetched: $(tail -n 1 "$work/output")"
    ls "$work"/redis_*.orig.tar.*
}

say "redis's source"
source=${REDIS_SOURCE-$(fetch_source)} || exit
mkdir "$work/redis"
must tar -xf "$source" -C "$work/redis" --strip-components=1
redis=$work/redis/src
[ -f "$redis/zmalloc.c" ] || die "$source is not redis"

say "redis on acre"
must make -s -C "$build_tree" install DESTDIR="$work/root"
export PKG_CONFIG_SYSROOT_DIR=$work/root PKG_CONFIG_LIBDIR=$work/root$pkgconfigdir LD_LIBRARY_PATH=$work/root$libdir
unset ACRE_OPTIONS LD_PRELOAD
# Redis's own jemalloc is neither built nor looked at.
rm -rf "$work/redis/deps/jemalloc"
must make -s -C "$redis" -j"$(nproc)" MALLOC=libc OPTIMIZATION=-O1 BUILD_TLS=no USE_SYSTEMD=no \
    REDIS_CFLAGS="-DUSE_JEMALLOC $(pkg-config --cflags acre-jemalloc)" \
    FINAL_LIBS="-lm -ldl -pthread -lrt $(pkg-config --libs acre-jemalloc)" redis-server redis-cli redis-benchmark
for library in libacre-jemalloc.so.0 libacre.so.0; do
    readelf -d "$redis/redis-server" | grep -q "NEEDED.*\[$library\]" || die "redis-server does not need $library"
done

mkdir "$work/data"
socket=$work/data/socket
cli() { "$redis/redis-cli" -s "$socket" "$@"; }

# True once the server has loaded its data.
is_up() { [ "$(cli ping)" = PONG ]; }

start() {
    "$redis/redis-server" --port 0 --unixsocket "$socket" --dir "$work/data" --save "" \
        --enable-debug-command yes --jemalloc-bg-thread no >>"$work/data/log" 2>&1 &
    server=$!
    started=("$server")
    await is_up
}

stop() { # ARGUMENT...
    cli shutdown "$@" >/dev/null 2>&1
    wait "$server" || die "the server ended with status $?: $(tail -n 20 "$work/data/log")"
    started=()
}

# A figure of INFO memory.
info() { # NAME
    cli info memory | tr -d '\r' | sed -n "s/^$1://p"
}

# The answer of a command has to match.
answers() { # PATTERN COMMAND...
    local pattern=$1 answer
    shift
    answer=$(cli "$@" 2>&1)
    grep -Eq -- "$pattern" <<<"$answer" || die "redis-cli $*: no \"$pattern\" in: $answer"
}

say "the server"
start
[ "$(info mem_allocator)" = "jemalloc-5.3.0" ] || die "mem_allocator is $(info mem_allocator)"
must cli config set maxmemory-policy noeviction
must cli debug populate 200000 key 300
# True if the figures, which the server takes ten times a second, are those of jemalloc's stats.
are_figures() {
    [ "$(info allocator_allocated)" -ge 60000000 ] &&
        [ "$(info allocator_active)" -ge "$(info allocator_allocated)" ] &&
        [ "$(info allocator_resident)" -ge "$(info allocator_active)" ]
}
await are_figures
answers '^allocator.allocated' memory stats
answers '^[1-9][0-9]+$' memory usage key:100
answers '^OK$' memory purge
answers 'live TINY and SMALL' memory malloc-stats
answers 'Sam' memory doctor
answers '^4096$' debug mallctl arenas.page
answers '^[1-9][0-9]+$' debug mallctl stats.allocated
answers '^"?5\.3\.0-' debug mallctl-str version
# needs a jemalloc that was made for redis
answers 'Active defragmentation cannot be enabled' config set activedefrag yes

say "its benchmark"
must "$redis/redis-benchmark" -s "$socket" -q -n 20000 -r 10000 -d 200 -P 16 \
    -t set,get,incr,lpush,rpush,lpop,sadd,hset,spop,zadd,zpopmin,lrange_100,mset
awk -v RS='[\r\n]+' '/requests per second/ { print "    " $0 }' "$work/output"
grep -aq 'requests per second' "$work/output" || die "the benchmark gave no figures"

say "what is freed goes back"
held=$(info allocator_resident)
count_threads() { find "/proc/$server/task" -mindepth 1 -maxdepth 1 | wc -l; }
threads=$(count_threads)
answers '^OK$' config set jemalloc-bg-thread yes
must cli flushall sync
# acre's own, which starts where memory becomes idle
has_thread() { [ "$(count_threads)" -gt "$threads" ]; }
await has_thread
must cli memory purge
gave_back() { [ $(($(info allocator_resident) + 50000000)) -lt "$held" ]; }
await gave_back
echo "    allocator_resident: $held, then $(info allocator_resident)"

say "a dump by a child, and a restart from it"
must cli debug populate 100000 again 500
must cli bgsave
saved() { cli info persistence | grep -q '^rdb_bgsave_in_progress:0' && [ -s "$work/data/dump.rdb" ]; }
await saved
cli info persistence | grep -q '^rdb_last_bgsave_status:ok' || die "the dump failed: $(tail "$work/data/log")"
stop nosave
start
answers '^100000$' dbsize
answers '^500$' strlen again:99999
[ ! -x "$build_tree/tools/acre-inspect" ] || {
    must "$build_tree/tools/acre-inspect" "$server"
    grep -q 'live TINY and SMALL' "$work/output" || die "acre-inspect shows no figures"
}
stop nosave
grep '^acre: ' "$work/data/log" && die "acre has reported something"
say "passed"
