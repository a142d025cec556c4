#!/bin/bash
# What a stranger does on a bare machine with redis on it, following the documents: installs the Debian
# packages, runs redis on acre by the drop-in, sees its heap, profiles it, reads the manual, removes all, and
# has the machine as it was. make check-stranger runs this in the build tree, as root.
#
#   DEBIAN_PACKAGES=DIRECTORY   where the packages are; if there are none make check-debian builds them first
#   and those of systems.sh
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/systems.sh"
need_systems

packages=${DEBIAN_PACKAGES-$work/packages}
if ! ls "$packages"/acre-tools_*.deb >/dev/null 2>&1; then
    say "the packages"
    DEBIAN_PACKAGES=$packages must bash "$(dirname "$0")/debian.sh"
fi

say "a machine with redis, systemd's tools and a reader of manuals"
machine=$work/machine
get_system "$machine" stranger man-db redis-server systemd
on() { in_system "$machine" "$@"; }
unit=/etc/systemd/system/redis-server.service.d/acre.conf
socket=/run/redis.socket
cli() { chroot "$machine" redis-cli -s $socket "$@"; }

# True once the server has loaded its data.
is_up() { [ "$(cli ping)" = PONG ]; }

# Each file with its content: what is left out is what is gone at the next start (/run), the caches and logs of the package manager, of the loader
# and of man, and redis's data.
contents() {
    (cd "$machine" && find . -xdev \( -path ./proc -o -path ./run -o -path ./tmp -o -path ./var/cache -o -path ./var/log \
        -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/lib/redis -o -path ./etc/ld.so.cache \
        \) -prune -o \( -type f -printf '%y %m %u %p ' -exec cksum {} \; \) -o -printf '%y %m %u %p %l\n') | sort
    chroot "$machine" dpkg-query -W
}

# Starts redis as its unit does: as its user, with what `Environment` says there.
start_redis() {
    local environment
    environment=$(chroot "$machine" sh -c 'cat /lib/systemd/system/redis-server.service \
        /etc/systemd/system/redis-server.service.d/*.conf' 2>/dev/null | sed -n 's/^Environment=//p')
    # shellcheck disable=SC2086  # assignments
    on setpriv --reuid=redis --regid=redis --init-groups env $environment \
        redis-server /etc/redis/redis.conf --supervised no --daemonize no --port 0 --unixsocket /tmp/redis.socket \
        --pidfile '""' --logfile '""' >>"$work/log" 2>&1 &
    shell=$!
    started=("$shell")
    await is_up
    server=$(cli info server | tr -d '\r' | sed -n 's/^process_id://p')
    started+=("$server")
}

stop_redis() {
    cli shutdown save >/dev/null 2>&1
    wait "$shell" || die "redis-server ended with status $?: $(tail -n 20 "$work/log")"
    started=()
}

is_on_acre() { grep -q '/libacre\.so\.0' "/proc/$server/maps"; }

socket=/tmp/redis.socket
start_redis
is_on_acre && die "redis is on acre before it is installed"
stop_redis
contents >"$work/before"

say "installs"
mkdir "$machine/tmp/packages"
cp "$packages"/*.deb "$machine/tmp/packages"
must on sh -c 'cd /tmp/packages && apt-get install -q -y --no-install-recommends \
    ./libacre0_*.deb ./libacre-jemalloc0_*.deb ./libacre-dev_*.deb ./acre-tools_*.deb'
mkdir -p "$machine$(dirname "$unit")"
cp "$machine/usr/share/doc/acre-tools/examples/acre.conf" "$machine$unit"
must on systemd-analyze verify redis-server.service
grep -i 'acre\.conf\|LD_PRELOAD' "$work/output" && die "systemd has something to say about the drop-in"
must on acre-run --stats sort --version
grep -q 'live TINY and SMALL' "$work/output" || die "acre-run shows no statistics"

say "runs redis on it"
start_redis
is_on_acre || die "redis is not on acre: $(cat "$work/log")"
benchmark() {
    chroot "$machine" redis-benchmark -s $socket -q -n 30000 -r 30000 -d 300 -P 16 -t set,lpush,hset,zadd >/dev/null
}
benchmark || die "the benchmark"
[ "$(cli dbsize)" -ge 10000 ] || die "redis has $(cli dbsize) keys"

say "sees its heap"
must on acre-inspect "$server"
cat "$work/output"
blocks=$(awk '/live TINY and SMALL/ { print $(NF - 1) + 0 }' "$work/output")
[ "$(wc -l <"$work/output")" -gt 10 ] || die "acre-inspect shows too little: $blocks"
must on acre-inspect --html /tmp/heap.html "$server"
grep -q '</html>' "$machine/tmp/heap.html" || die "the map is no page"
must on acre-inspect --json "$server"
python3 -m json.tool <"$work/output" >/dev/null || die "what acre-inspect --json writes is not JSON"

say "profiles it"
# A server that does nothing takes no slow path, on which it would do what it is asked for.
while_it_works() { # COMMAND...
    benchmark &
    local background=$!
    must "$@"
    wait "$background" || die "the benchmark"
}
while_it_works on acre-profile start --interval 4K "$server"
benchmark || die "the benchmark"
must on acre-profile dump "$server"
grep -q 'redis-server' "$work/output" || die "no stack of redis-server: $(cat "$work/output")"
must on acre-profile dump -o /tmp/stacks.html "$server"
grep -q '</html>' "$machine/tmp/stacks.html" || die "the flame graph is no page"
must on acre-profile dump -o /tmp/stacks.pb.gz "$server"
gzip -dc "$machine/tmp/stacks.pb.gz" | grep -aq inuse_space || die "pprof could not read stacks.pb.gz"
while_it_works on acre-profile stop "$server"

say "reads the manual"
for page in acre-run acre-inspect acre-profile libacre; do
    must on env MANWIDTH=80 man --warnings "$page"
    grep -q '^NAME' "$work/output" || die "man $page: $(head "$work/output")"
    grep -E '^(man|troff|<standard input>|grotty)[:(]' "$work/output" && die "man $page warns"
    [ "$(wc -l <"$work/output")" -gt 60 ] || die "man $page is short"
done
must on acre-run --help-options
on sh -c 'ls /usr/share/doc/libacre-dev' >"$work/output"
for document in README.md migrating.md loading.md security.md; do
    grep -qx $document "$work/output" || die "there is no document $document: $(cat "$work/output")"
done

say "removes it"
stop_redis
grep '^acre: ' "$work/log" | grep -v 'profile is .* now, set from outside$' && die "acre has reported something"
rm "$machine$unit"
rmdir "$machine$(dirname "$unit")"
keys=$(on sh -c 'wc -c </var/lib/redis/dump.rdb')
[ "$keys" -gt 100000 ] || die "redis saved $keys bytes"
must on sh -c 'apt-get purge -q -y libacre0 libacre-jemalloc0 libacre-dev acre-tools && apt-get autoremove -q -y --purge'
rm -rf "$machine/tmp"/*
start_redis
is_on_acre && die "redis is still on acre"
[ "$(cli dbsize)" -ge 10000 ] || die "redis has lost its data"
stop_redis
contents >"$work/after"
diff "$work/before" "$work/after" || die "removing the packages left something, or took something"
find "$machine" -xdev -path "$machine/proc" -prune -o -path "$machine/var/cache" -prune -o -name '*acre*' -print |
    grep -v '/sacre\|massacre' | grep . && die "these have acre's name"
say "ok"
