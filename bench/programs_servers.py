"""Real programs that serve: Redis, memcached, nginx, PostgreSQL.

What counts is the server's own CPU time, from its start to its end in good order, and its peak; not
its clients'.
"""

import glob
import gzip
import os
import pwd
import random
import shutil
import signal
import subprocess

import programs_clients as clients
from measure import RUN_SECONDS_MAX
from programs_process import START_SECONDS_MAX, Program, RunFailure, wait_until

CRASH_SECONDS_MAX = 5  # from a lost connection to the end of the server


def run_client(command, **options):
    """What a client prints, run without any library preloaded. RunFailure unless it ends well."""
    environment = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(command, env=environment | {"LC_ALL": "C"}, capture_output=True,
                          text=True, check=False, timeout=RUN_SECONDS_MAX,
                          **({"stdin": subprocess.DEVNULL} | options))
    if done.returncode != 0:
        last = "".join(done.stderr.strip().splitlines()[-1:])
        raise RunFailure(f"{os.path.basename(command[0])}: status {done.returncode} {last}".strip())
    return done.stdout


class Server(Program):
    """A server on a socket of the file system, and the work that its clients have for it."""

    stop_signal = signal.SIGTERM

    def prepare(self, folder, work):
        self.folder = folder
        self.make_work(work)

    def make_work(self, work):
        """Makes what the clients will say."""
        raise NotImplementedError

    def socket(self):
        """The socket's path."""
        return os.path.join(self.folder, "socket")

    def command(self):
        """The command line of the server."""
        raise NotImplementedError

    def before_run(self):
        """Makes the folder as it was before the first run."""
        if os.path.exists(self.socket()):
            os.unlink(self.socket())

    def answers(self):
        """Whether the server is ready."""
        return clients.answers(self.socket())

    def serve(self):
        """Lets the clients do the work; the text that must be equal each time."""
        raise NotImplementedError

    def run(self, start):
        self.before_run()
        with start(self.command(), stop_signal=self.stop_signal) as process:
            wait_until(self.answers, process, "the server does not answer")
            try:
                result = self.serve()
            except (OSError, RunFailure, subprocess.SubprocessError):
                process.check_runs(CRASH_SECONDS_MAX)  # its end, if it came to that, is the reason
                raise
            process.stop()
            return process.finish(START_SECONDS_MAX), result


class Redis(Server):
    """Redis: a conversation that is checked, then redis-benchmark, whose keys are random."""

    name = "redis"
    executables = ("redis-server", "redis-benchmark", "redis-cli")
    work = 60_000
    connections = 4
    keys = 5000  # of each connection
    # Rehashing in the background would take time as the clock says, not as the work does.
    options = ("--port", "0", "--save", "", "--appendonly", "no", "--activerehashing", "no",
               "--enable-debug-command", "local", "--daemonize", "no", "--loglevel", "warning")
    value_sizes = (16, 200, 1500)
    tests = "set,get,lpush,hset"

    def make_work(self, work):
        self.requests = max(100, work)  # of each test of redis-benchmark
        self.conversations = [clients.redis_conversation(number, work // self.connections + 1,
                                                         self.keys)
                              for number in range(self.connections)]

    def command(self):
        return [self.path(), "--unixsocket", self.socket(), "--dir", self.folder, *self.options]

    def _ask(self, *words):
        """The answer to one command."""
        return run_client([self.paths["redis-cli"], "-s", self.socket(), "-e", *words]).strip()

    def serve(self):
        clients.converse(self.socket(), self.conversations)
        digest = self._ask("DEBUG", "DIGEST")
        for size in self.value_sizes:
            run_client([self.paths["redis-benchmark"], "-s", self.socket(), "-q", "-t", self.tests,
                        "-n", str(self.requests), "-r", str(self.requests), "-c", "4", "-P", "16",
                        "-d", str(size)])
        length = int(self._ask("LLEN", "mylist"))
        if length < self.requests * len(self.value_sizes):
            raise RunFailure(f"the list of redis-benchmark has {length} entries")
        return digest


class Memcached(Server):
    """memcached with two threads. It takes its items from slabs of its own, of a MiB each."""

    name = "memcached"
    executables = ("memcached",)
    work = 200_000
    connections = 4
    keys = 1500  # of each connection

    def make_work(self, work):
        self.conversations = [clients.memcached_conversation(number, work // self.connections + 1,
                                                             self.keys)
                              for number in range(self.connections)]

    def probes(self):
        return [(self.path(), [self.path(), "-V"])]

    def command(self):
        # As much memory as nothing is ever evicted.
        return [self.path(), "-s", self.socket(), "-t", "2", "-m", "512",
                "-u", pwd.getpwuid(os.getuid()).pw_name]

    def serve(self):
        clients.converse(self.socket(), self.conversations)
        return "all replies"


class Nginx(Server):
    """nginx with one worker: files as they are, compressed, and by way of a proxy."""

    name = "nginx"
    executables = ("nginx",)
    work = 40_000
    connections = 4
    pipeline = 8  # requests in one exchange
    file_sizes = (100, 1460, 8000, 20000)
    stop_signal = signal.SIGQUIT

    def make_work(self, work):
        self.turns = work // (self.connections * self.pipeline) + 1
        self.contents = {}
        for size in self.file_sizes:
            lines = "".join(f"{size} line {line}\n" for line in range(size // 10 + 1))
            self.contents[size] = lines[:size].encode()
            path = os.path.join(self.folder, f"{size}.txt")
            with open(path, "wb") as file:
                file.write(self.contents[size])
            os.utime(path, (10**9, 10**9))
        with open(os.path.join(self.folder, "configuration"), "w", encoding="ascii") as file:
            file.write(self.configuration())

    def configuration(self):
        """The configuration file."""
        temporary = "\n".join(f"    {kind}_temp_path {self.folder}/{kind};" for kind in
                              ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        return f"""{"user root;" if os.getuid() == 0 else ""}
daemon off;
worker_processes 1;
pid {self.folder}/pid;
error_log {self.folder}/log;
events {{ worker_connections 256; }}
http {{
    access_log off;
{temporary}
    keepalive_requests 100000000;
    default_type text/plain;
    gzip on;
    gzip_min_length 50;
    gzip_types text/plain;
    upstream files {{ server unix:{self.socket()}; keepalive 8; }}
    server {{
        listen unix:{self.socket()};
        location / {{ root {self.folder}; }}
        location /proxy/ {{
            proxy_pass http://files/;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
        }}
    }}
}}
"""

    def probes(self):
        return [(self.path(), [self.path(), "-v"])]

    def command(self):
        return [self.path(), "-p", self.folder, "-e", os.path.join(self.folder, "log"), "-c",
                os.path.join(self.folder, "configuration")]

    def _pages(self, connection):
        """Each file in its three ways, asked for once and compared with the file."""
        pages = []
        for size, content in self.contents.items():
            plain = clients.Page(connection, b"%d.txt" % size, False)
            packed = clients.Page(connection, b"%d.txt" % size, True)
            proxied = clients.Page(connection, b"proxy/%d.txt" % size, False)
            if plain.body != content or proxied.body != content or unchunk(packed.body) != content:
                raise RunFailure(f"the file of {size} bytes came otherwise")
            pages += [plain, packed, proxied]
        return pages

    def serve(self):
        connections = [clients.connect(self.socket()) for _ in range(self.connections)]
        try:
            pages = self._pages(connections[0])
            numbers = random.Random(1)
            for _ in range(self.turns):
                chosen = [numbers.choices(pages, k=self.pipeline) for _ in connections]
                for connection, turn in zip(connections, chosen):
                    connection.sendall(b"".join(page.request for page in turn))
                for connection, turn in zip(connections, chosen):
                    for page in turn:
                        if not page.is_reply(clients.receive(connection, len(page))):
                            raise RunFailure("the server gave a wrong reply")
        finally:
            for connection in connections:
                connection.close()
        return "all replies"


def unchunk(body):
    """The content of a compressed body that came in chunks."""
    content = b""
    while True:
        size, _, body = body.partition(b"\r\n")
        if int(size, 16) == 0:
            return gzip.decompress(content)
        content += body[:int(size, 16)]
        body = body[int(size, 16) + 2:]


class Postgresql(Server):
    """PostgreSQL: pgbench with one client, then queries with sorts, joins, JSON and functions."""

    name = "postgresql"
    executables = ("postgres", "initdb", "pgbench", "psql", "cp")
    work = 1500
    stop_signal = signal.SIGINT
    # Nothing that takes time as the clock says.
    options = ("-c", "listen_addresses=", "-c", "fsync=off", "-c", "autovacuum=off",
               "-c", "bgwriter_lru_maxpages=0", "-c", "checkpoint_timeout=1d", "-c", "jit=off",
               "-c", "shared_buffers=32MB", "-c", "max_connections=10",
               "-c", "max_parallel_workers_per_gather=0", "-c", "dynamic_shared_memory_type=mmap")

    def __init__(self):
        super().__init__()
        self.run_as = []

    def missing(self):
        # The server's programs are in a folder of their own; the newest, where there are several.
        folders = [folder for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
                   for folder in glob.glob(pattern)]
        newest = max(folders, key=lambda path: [int(number) for number in digits(path)], default="")
        for name in self.executables:
            self.paths[name] = shutil.which(name, path=newest) or shutil.which(name)
            if not self.paths[name]:
                return name
        if os.getuid() == 0:  # as whom the server refuses to run
            return self._choose_user()
        return None

    def _choose_user(self):
        """Sets `run_as`; what is missing for that, or None."""
        setpriv = shutil.which("setpriv")
        if not setpriv:
            return "setpriv"
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        user = names.get("postgres") or names.get("nobody")
        if not user:
            return "a user to run as"
        self.run_as = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                       "--clear-groups"]
        self.owner = (user.pw_uid, user.pw_gid)
        return None

    def make_work(self, work):
        self.transactions = max(10, work)
        self.rows = 20 * self.transactions
        if self.run_as:
            os.chown(self.folder, *self.owner)
        self.cluster = os.path.join(self.folder, "cluster")
        self.data = os.path.join(self.folder, "data")
        run_client(self.run_as + [self.paths["initdb"], "-N", "--no-instructions", "-A", "trust",
                                  "-E", "UTF8", "--locale=C", "-U", "tester", "-D", self.cluster],
                   cwd=self.folder)
        with open(os.path.join(self.folder, "script.sql"), "w", encoding="ascii") as file:
            file.write(SCRIPT % {"rows": self.rows})

    def probes(self):
        return [(self.path(), self.run_as + [self.path(), "--version"])]

    def socket(self):
        return os.path.join(self.folder, ".s.PGSQL.5432")

    def before_run(self):
        super().before_run()
        shutil.rmtree(self.data, ignore_errors=True)
        run_client([self.paths["cp"], "-a", self.cluster, self.data])

    def command(self):
        return self.run_as + [self.path(), "-D", self.data, "-k", self.folder] + list(self.options)

    def _client(self, name, *arguments):
        """Runs one of PostgreSQL's clients."""
        return run_client([self.paths[name], "-h", self.folder, "-U", "tester"] + list(arguments),
                          cwd=self.folder)

    def answers(self):
        try:
            self._client("psql", "-X", "-q", "-d", "postgres", "-c", "SELECT 1")
        except RunFailure:
            return False
        return True

    def serve(self):
        self._client("pgbench", "-i", "-q", "-n", "postgres")
        self._client("pgbench", "-n", "--random-seed=1", "-t", str(self.transactions), "postgres")
        return self._client("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
                            "postgres", "-f", "script.sql")


def digits(text):
    """The numbers in a text."""
    return "".join(letter if letter.isdigit() else " " for letter in text).split()


SCRIPT = """
CREATE TABLE word AS
  SELECT i, md5(i::text) AS text, i %% 97 AS part, repeat('x', i %% 700) AS filling
  FROM generate_series(1, %(rows)d) AS i;
CREATE INDEX ON word (text);
ANALYZE word;
SELECT count(*), sum(length(filling)), min(text), max(text) FROM word;
SELECT part, count(*), md5(string_agg(text, ',' ORDER BY i)) FROM word GROUP BY part ORDER BY part;
SELECT count(*), sum(a.i - b.part) FROM word a JOIN word b ON a.text = b.text WHERE a.part < b.i;
SELECT md5(string_agg(text, '')) FROM (SELECT text FROM word ORDER BY filling, text) AS sorted;
SELECT md5(jsonb_agg(jsonb_build_object('i', i, 'text', text) ORDER BY i)::text) FROM word;
DO $$
DECLARE
  total bigint := 0;
BEGIN
  FOR k IN 1..%(rows)d LOOP
    total := total + length(repeat('y', k %% 300));
  END LOOP;
  INSERT INTO word VALUES (0, total::text, 0, '');
END $$;
UPDATE word SET filling = reverse(text) WHERE part < 40;
SELECT count(*), md5(string_agg(filling || text, '' ORDER BY i)) FROM word;
SELECT sum(delta), count(*) FROM pgbench_history;
SELECT sum(abalance), sum(abalance * aid) FROM pgbench_accounts;
"""

SERVERS = (Redis, Memcached, Nginx, Postgresql)
