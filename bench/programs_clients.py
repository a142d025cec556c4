"""Clients of the servers: fixed conversations over sockets of the file system.

A conversation is a list of exchanges (request, reply), all of it made before the server starts. So
a client hardly uses the processor, and each byte of what the server answers is checked.
"""

import itertools
import random
import socket

from programs_process import RunFailure

ANSWER_SECONDS_MAX = 60
# A whole request fits into a socket's buffer, so that the client never waits to send while the
# server waits for it to read.
REQUEST_BYTES = 32 << 10
REPLY_BYTES = 64 << 10
VALUE_SIZES = (16, 100, 300, 2000, 20000)  # each value's size lies below one of these


def connect(path):
    """A connection to a server."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_SECONDS_MAX)
    try:
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection


def answers(path):
    """Whether a server takes connections there."""
    try:
        connect(path).close()
    except OSError:
        return False
    return True


def receive(connection, size):
    """Exactly `size` bytes of a reply, as a memoryview."""
    reply = bytearray(size)
    view, place = memoryview(reply), 0
    while place < size:
        count = connection.recv_into(view[place:])
        if count == 0:
            raise RunFailure("the server closed the connection")
        place += count
    return view


def converse(path, conversations):
    """Holds all conversations at once, each on its own connection: all requests of a turn are sent,
    then all replies read. RunFailure at the first wrong reply."""
    connections = [connect(path) for _ in conversations]
    try:
        for turn in itertools.zip_longest(*conversations):
            pending = [pair for pair in zip(connections, turn) if pair[1]]
            for connection, (request, _) in pending:
                connection.sendall(request)
            for connection, (_, reply) in pending:
                if receive(connection, len(reply)) != reply:
                    raise RunFailure("the server gave a wrong reply")
    finally:
        for connection in connections:
            connection.close()


class Script:
    """Gathers requests and their replies into the exchanges of a conversation."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.exchanges = []
        self._data = self.random.randbytes(2 * max(VALUE_SIZES)).replace(b"\r", b".")
        self._request, self._reply = bytearray(), bytearray()

    def value(self):
        """Some bytes of mixed size, mostly short."""
        size = self.random.randrange(1, self.random.choice(VALUE_SIZES))
        place = self.random.randrange(len(self._data) - size)
        return self._data[place:place + size]

    def add(self, request, reply):
        """One request of the pipeline."""
        self._request += request
        self._reply += reply
        if len(self._request) >= REQUEST_BYTES or len(self._reply) >= REPLY_BYTES:
            self.end()

    def end(self):
        """Ends the exchange that is being gathered; all exchanges."""
        if self._request:
            self.exchanges.append((bytes(self._request), bytes(self._reply)))
        self._request, self._reply = bytearray(), bytearray()
        return self.exchanges


def memcached_conversation(number, operations, keys):
    """Sets, gets, deletes and appends on keys of its own, in memcached's text protocol."""
    script, stored = Script(number), {}
    for _ in range(operations):
        key = b"client%d:%d" % (number, script.random.randrange(keys))
        kind = script.random.randrange(10)
        if kind < 4:
            data = stored[key] = script.value()
            script.add(b"set %b 0 0 %d\r\n%b\r\n" % (key, len(data), data), b"STORED\r\n")
        elif kind < 8:
            data = stored.get(key)
            found = b"" if data is None else b"VALUE %b 0 %d\r\n%b\r\n" % (key, len(data), data)
            script.add(b"get %b\r\n" % key, found + b"END\r\n")
        elif kind < 9:
            found = stored.pop(key, None) is not None
            script.add(b"delete %b\r\n" % key, b"DELETED\r\n" if found else b"NOT_FOUND\r\n")
        else:
            found = key in stored
            if found:
                stored[key] += b"tail"
            script.add(b"append %b 0 0 4\r\ntail\r\n" % key,
                       b"STORED\r\n" if found else b"NOT_STORED\r\n")
    return script.end()


def _redis_request(*words):
    """A command in Redis' protocol."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word)
                                              for word in words)


def _redis_bulk(data):
    """A string, or nothing, in a reply of Redis."""
    return b"$-1\r\n" if data is None else b"$%d\r\n%b\r\n" % (len(data), data)


class _RedisModel:
    """What the keys of one connection hold; each method is a command: (words, reply)."""

    def __init__(self, script, number, keys):
        self.script, self.number, self.keys = script, number, keys
        self.strings, self.hashes, self.lists = {}, {}, {}

    def _key(self, kind, share):
        """A random key, of one in `share` keys."""
        number = self.script.random.randrange(max(1, self.keys // share))
        return b"%b%d:%d" % (kind, self.number, number)

    def set(self):
        """SET"""
        key = self._key(b"string", 1)
        self.strings[key] = self.script.value()
        return (b"SET", key, self.strings[key]), b"+OK\r\n"

    def get(self):
        """GET"""
        key = self._key(b"string", 1)
        return (b"GET", key), _redis_bulk(self.strings.get(key))

    def append(self):
        """APPEND"""
        key = self._key(b"string", 1)
        self.strings[key] = self.strings.get(key, b"") + b"tail of a string"
        return (b"APPEND", key, b"tail of a string"), b":%d\r\n" % len(self.strings[key])

    def delete(self):
        """DEL"""
        key = self._key(b"string", 1)
        return (b"DEL", key), b":%d\r\n" % (self.strings.pop(key, None) is not None)

    def hset(self):
        """HSET"""
        fields = self.hashes.setdefault(key := self._key(b"hash", 50), {})
        field, old = b"field:%d" % self.script.random.randrange(100), len(fields)
        fields[field] = self.script.value()[:300]
        return (b"HSET", key, field, fields[field]), b":%d\r\n" % (len(fields) - old)

    def lpush(self):
        """LPUSH"""
        items = self.lists.setdefault(key := self._key(b"list", 50), [])
        items.append(self.script.value()[:300])
        return (b"LPUSH", key, items[-1]), b":%d\r\n" % len(items)

    def lpop(self):
        """LPOP"""
        items = self.lists.get(key := self._key(b"list", 50), [])
        item = items.pop() if items else None
        if not items:
            self.lists.pop(key, None)
        return (b"LPOP", key), _redis_bulk(item)


def redis_conversation(number, operations, keys):
    """Strings, hashes and lists of mixed sizes under keys of its own, in Redis' protocol."""
    script = Script(number)
    model = _RedisModel(script, number, keys)
    kinds = (model.set, model.set, model.get, model.get, model.append, model.delete, model.hset,
             model.hset, model.lpush, model.lpop)
    for _ in range(operations):
        words, reply = script.random.choice(kinds)()
        script.add(_redis_request(*words), reply)
    return script.end()


class Page:
    """A request over HTTP/1.1 and its reply, which is the same each time but for the date."""

    DATE = b"\r\nDate: "
    DATE_SIZE = len("Thu, 01 Jan 1970 00:00:00 GMT")

    def __init__(self, connection, name, compressed):
        encoding = b"Accept-Encoding: gzip\r\n" if compressed else b""
        self.request = (b"GET /%b HTTP/1.1\r\nHost: localhost\r\n"
                        b"User-Agent: bench\r\nAccept: */*\r\n"
                        b"Cookie: session=0123456789abcdef\r\n%b\r\n" % (name, encoding))
        connection.sendall(self.request)
        self.head, self.body = self._read(connection)
        date = self.head.find(self.DATE)
        if not self.head.startswith(b"HTTP/1.1 200 ") or date < 0:
            first = self.head.partition(b"\r\n")[0].decode("ascii", "replace")
            raise RunFailure(f"the server answers {first}")
        self._reply = self.head + self.body
        self._date = date + len(self.DATE)

    @staticmethod
    def _read(connection):
        """The head and the body of one reply: of known length, or in chunks of which the last one
        is empty."""
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            data += bytes(receive(connection, 1))
        head = data[:end + 4]
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return head, bytes(receive(connection, int(line.split(b":")[1])))
        body = b""
        while not body.endswith(b"\r\n0\r\n\r\n"):
            body += bytes(receive(connection, 1))
        return head, body

    def __len__(self):
        return len(self._reply)

    def is_reply(self, view):
        """Whether the bytes are this reply, whatever the date."""
        after = self._date + self.DATE_SIZE
        return view[:self._date] == self._reply[:self._date] and view[after:] == self._reply[after:]
