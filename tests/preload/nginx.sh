# nginx with two worker processes, before and after a reload: files of many sizes, plain, compressed,
# in parts and through a proxy, fetched by several clients at once and compared with the files.
. "$(dirname "$0")/common.sh"
PATH=$PATH:/usr/sbin
need nginx awk
need_python

mkdir files temporary
for size in 0 1 100 1460 4096 10000 65536 300000 2000000; do
    awk -v size="$size" 'BEGIN { while (done < size) { text = size " " ++line " "; done += length(text); printf "%s", text } }' |
        head -c "$size" >"files/$size.txt"
done

# write_configuration MODE: two servers on sockets; the second takes what it serves from the first.
write_configuration() {
    [ "$(id -u)" != 0 ] || echo "user root;"
    cat <<END
daemon off;
worker_processes 2;
pid $scratch/$1.pid;
error_log $scratch/$1.error.log;
events { worker_connections 256; }
http {
    access_log $scratch/$1.access;
    client_body_temp_path $scratch/temporary/body;
    proxy_temp_path $scratch/temporary/proxy;
    fastcgi_temp_path $scratch/temporary/fastcgi;
    uwsgi_temp_path $scratch/temporary/uwsgi;
    scgi_temp_path $scratch/temporary/scgi;
    default_type text/plain;
    gzip on;
    gzip_min_length 50;
    gzip_types text/plain;
    gzip_proxied any;
    server { listen unix:$scratch/$1.files; root $scratch/files; }
    server {
        listen unix:$scratch/$1.proxy;
        location / { proxy_pass http://unix:$scratch/$1.files:; proxy_buffers 4 4k; }
    }
}
END
}

cat >client.py <<'END'
import gzip
import hashlib
import http.client
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

SIZES = (0, 1, 100, 1460, 4096, 10000, 65536, 300000, 2000000)
CLIENTS = 8


class Connection(http.client.HTTPConnection):
    """HTTP over a socket of the file system."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def ask(connection, name, headers):
    connection.request("GET", f"/{name}", headers=headers)
    response = connection.getresponse()
    return response.status, response.getheader("Content-Encoding"), response.read()


def fetch(path):
    connection = Connection(path)
    lines = []
    for size in SIZES:
        name = f"{size}.txt"
        with open(f"files/{name}", "rb") as file:
            content = file.read()
        assert ask(connection, name, {}) == (200, None, content)
        status, encoding, body = ask(connection, name, {"Accept-Encoding": "gzip"})
        assert status == 200 and (encoding == "gzip" or size < 50)
        assert (gzip.decompress(body) if encoding else body) == content
        if size > 100:
            assert ask(connection, name, {"Range": "bytes=50-99"}) == (206, None, content[50:100])
        lines.append(f"{name} {encoding} {len(body)} {hashlib.sha256(body).hexdigest()}")
    status, _, body = ask(connection, "missing", {})
    lines.append(f"missing {status} {hashlib.sha256(body).hexdigest()}")
    connection.close()
    return lines


def main():
    with ThreadPoolExecutor(CLIENTS) as pool:
        for lines in pool.map(fetch, [path for path in sys.argv[1:] for _ in range(CLIENTS)]):
            print("\n".join(lines))


main()
END

# fetch MODE: all files from both servers, many times over.
fetch() {
    timeout "$run_seconds" "$python" client.py "$scratch/$1.files" "$scratch/$1.proxy" \
        >>"$1.output" 2>>"$1.log" || fail "client: $1"
}

# workers MODE: the numbers of the worker processes, and of them alone.
workers() {
    tr ' ' '\n' <"/proc/$server_pid/task/$server_pid/children" | sort
}

# all_workers_are_new: whether a reload has replaced the workers that $old_workers names.
all_workers_are_new() {
    [ "$(workers | grep -c .)" = 2 ] && ! workers | grep -qFx "$old_workers"
}

for mode in plain acre; do
    write_configuration "$mode" >"$mode.conf"
    start_server "$mode" nginx -p "$scratch" -e "$scratch/$mode.error.log" -c "$scratch/$mode.conf"
    wait_until test -S "$mode.proxy"
    wait_until test -s "$mode.pid"
    fetch "$mode"
    old_workers=$(workers)
    kill -HUP "$server_pid"
    wait_until all_workers_are_new
    fetch "$mode"
    stop_server "$server_pid" QUIT
    ! grep -E '\[(alert|emerg|crit)\]' "$mode.error.log" || fail "nginx reports errors"
done
expect_same plain.output acre.output
expect_bound nginx
passed
