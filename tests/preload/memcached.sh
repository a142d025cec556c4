# memcached with four threads under four clients that check every answer; what is stored at the end is
# the same as in a server without acre.
. "$(dirname "$0")/common.sh"
need memcached
need_python

cat >client.py <<'END'
import hashlib
import random
import socket
import sys
import threading

CLIENTS = 4
KEYS = 300
OPERATIONS = 3000


class Client:
    """One connection and the random, but repeatable, operations of one client on keys of its own."""

    def __init__(self, path, number):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect(path)
        self.stream = self.socket.makefile("rwb")
        self.random = random.Random(number)
        self.number = number
        self.stored = {}
        self.error = None

    def command(self, line, data=None):
        self.stream.write(line.encode() + b"\r\n")
        if data is not None:
            self.stream.write(data + b"\r\n")
        self.stream.flush()
        return self.stream.readline().strip()

    def get(self, key):
        answer = self.command("get " + key)
        if answer == b"END":
            return None
        data = self.stream.read(int(answer.split()[3]))
        self.stream.readline()
        assert self.stream.readline().strip() == b"END"
        return data

    def operate(self):
        key = f"client{self.number}:{self.random.randrange(KEYS)}"
        kind = self.random.randrange(10)
        if kind < 5:
            length = self.random.choice((10, 300, 5000, 60000))
            data = self.random.randbytes(self.random.randrange(1, length))
            assert self.command(f"set {key} 0 0 {len(data)}", data) == b"STORED"
            self.stored[key] = data
        elif kind < 8:
            assert self.get(key) == self.stored.get(key)
        elif kind < 9:
            found = self.stored.pop(key, None) is not None
            assert self.command("delete " + key) == (b"DELETED" if found else b"NOT_FOUND")
        elif key in self.stored:
            assert self.command(f"append {key} 0 0 4", b"tail") == b"STORED"
            self.stored[key] += b"tail"

    def run(self):
        try:
            for _ in range(OPERATIONS):
                self.operate()
        except BaseException as error:
            self.error = error


def main():
    clients = [Client(sys.argv[1], number) for number in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for client in clients:
        if client.error:
            raise client.error
        for key in sorted(client.stored):
            data = client.get(key)
            assert data == client.stored[key]
            print(key, len(data), hashlib.sha256(data).hexdigest())


main()
END

for mode in plain acre; do
    start_server "$mode" memcached -s "$scratch/$mode" -t 4 -m 64 -u "$(id -un)"
    wait_until test -S "$mode"
    timeout "$run_seconds" "$python" client.py "$scratch/$mode" >"$mode.output" 2>>"$mode.log" ||
        fail "client: $mode"
    stop_server "$server_pid" TERM
done
[ -s plain.output ] || fail "the clients stored nothing"
expect_same plain.output acre.output
expect_bound memcached
passed
