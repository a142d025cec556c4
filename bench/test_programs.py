"""Unit tests of the bench of real programs, run by check.sh in the folder of the bench's own
programs. No real server is needed, and nothing is timed."""

import gzip
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import measure
import programs
import programs_bindings as bindings
import programs_clients as clients
import programs_inputs
import programs_process
import programs_servers
import report
from programs_process import RunFailure

LAUNCH = os.path.abspath("launch")
GONE_SECONDS_MAX = 30


def is_gone(pid):
    """Whether a process has ended, in the end; a zombie has."""
    end = time.monotonic() + GONE_SECONDS_MAX
    while time.monotonic() < end:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.01)
    return False


class Folder(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def path(self, name):
        """A file in the folder."""
        return os.path.join(self.folder, name)

    def read(self, name):
        """The text of a file in the folder."""
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def start(self, *command, **files):
        """A process under launch."""
        return programs_process.Process(LAUNCH, list(command), dict(os.environ), self.folder,
                                        **files)


class Processes(Folder):
    """What is told of a process, and that it is ended."""

    def test_peak_and_cpu_are_the_largest_descendants(self):
        work = "data = bytearray(b'x') * (200 << 20); sum(range(1000000))"
        with self.start("sh", "-c", f'"{sys.executable}" -c "{work}"; true') as process:
            usage = process.finish()
        self.assertGreater(usage.user, 0)
        self.assertGreater(usage.system, 0)
        self.assertTrue(200 << 20 <= usage.peak < 400 << 20, usage)

    def test_page_faults_are_the_descendants(self):
        faults = []
        for pages in (1, 4001):
            work = (f"import mmap; size = {pages} * mmap.PAGESIZE; m = mmap.mmap(-1, size)\n"
                    "m.madvise(mmap.MADV_NOHUGEPAGE)\n"
                    "for place in range(0, size, mmap.PAGESIZE): m[place] = 1")
            with self.start("sh", "-c", f'"{sys.executable}" -c "{work}"; true') as process:
                faults.append(process.finish().page_faults)
        self.assertTrue(3500 < faults[1] - faults[0] < 4500, faults)

    def test_peak_is_not_the_drivers(self):
        ballast = bytearray(b"x") * (64 << 20)
        with self.start("true") as process:
            usage = process.finish()
        self.assertLess(usage.peak, len(ballast))

    def test_files(self):
        with open(self.path("in"), "w", encoding="ascii") as file:
            file.write("text")
        with self.start("cat", stdin=self.path("in"), output=self.path("out")) as process:
            process.finish()
        self.assertEqual(self.read("out"), "text")

    def test_failures(self):
        errors = "echo first >&2; echo last >&2; exit 3"
        for command, why in ((("sh", "-c", errors), "status 3 last"),
                             (("sh", "-c", "kill -SEGV $$"), "signal 11"),
                             (("/does/not/exist",), "status 127 /does/not/exist: ")):
            with self.start(*command) as process, self.assertRaises(RunFailure) as caught:
                process.finish()
            self.assertTrue(str(caught.exception).startswith(why), caught.exception)

    def test_hanging(self):
        with self.start("sleep", "1000") as process:
            process.check_runs()
            with self.assertRaisesRegex(RunFailure, "longer than"):
                process.finish(0.01)

    def test_early_end(self):
        with self.start("true") as process, self.assertRaisesRegex(RunFailure, "ended early"):
            programs_process.wait_until(lambda: False, process, "nothing")

    def start_server(self):
        """A program that ends by SIGTERM with status 7, and leaves a file then."""
        script = "trap 'touch ended; exit 7' TERM; touch ready; while :; do sleep 0.01; done"
        process = self.start("sh", "-c", script, stop_signal=signal.SIGTERM)
        programs_process.wait_until(lambda: os.path.exists(self.path("ready")), process, "ready")
        return process

    def test_stop(self):
        with self.start_server() as process:
            process.stop()
            with self.assertRaisesRegex(RunFailure, "status 7"):
                process.finish()

    def test_servers_that_are_left_are_stopped(self):
        with self.start_server():
            pass
        self.assertTrue(os.path.exists(self.path("ended")))

    def test_children_that_are_left_are_killed(self):
        with self.start("sh", "-c", "sleep 1000 & echo $! >child") as process:
            process.finish()
        self.assertTrue(is_gone(int(self.read("child"))))

    def test_all_is_killed_with_the_driver(self):
        script = f"""if True:
            import os, signal, time
            from programs_process import Process, wait_until
            shell = "sleep 1000 & echo $! >child; touch ready; wait"
            process = Process({LAUNCH!r}, ["sh", "-c", shell], dict(os.environ), {self.folder!r})
            wait_until(lambda: os.path.exists({self.path("ready")!r}), process, "ready")
            os.kill(os.getpid(), signal.SIGKILL)
        """
        done = subprocess.run([sys.executable, "-B", "-c", script], check=False,
                              cwd=os.path.dirname(os.path.abspath(__file__)))
        self.assertEqual(done.returncode, -signal.SIGKILL)
        self.assertTrue(is_gone(int(self.read("child"))))


def binding(file, target, function):
    """A line of the dynamic linker's log."""
    return (f"   123:\tbinding file {file} [0] to {target} [0]: "
            f"normal symbol `{function}' [GLIBC_2.2.5]")


class Bindings(unittest.TestCase):
    """The dynamic linker's log."""

    def misbound(self, *found):
        """misbound of the program /p with the library /l."""
        lines = [binding(*one) for one in found]
        return bindings.misbound(bindings.parse_bindings(lines), "/p", "/l")

    def test_bound(self):
        self.assertEqual(self.misbound(("/p", "/l", "malloc"), ("/p", "/l", "free"),
                                       ("/libc.so.6", "/l", "free"), ("/l", "/libc.so.6", "calloc"),
                                       ("/p", "/libc.so.6", "printf")), "")

    def test_bound_elsewhere(self):
        self.assertEqual(self.misbound(("/p", "/l", "malloc"), ("/x.so", "/other", "free")),
                         "free of x.so comes from /other")
        self.assertEqual(self.misbound(("/p", "/other", "malloc")), "malloc of p comes from /other")

    def test_not_bound_by_the_program_itself(self):
        self.assertEqual(self.misbound(("/x.so", "/l", "malloc"), ("/p", "/l", "free")),
                         "p takes no malloc from /l")
        self.assertEqual(self.misbound(), "p takes no malloc from /l")

    def test_by_way_of_the_program(self):
        through = ("/x.so", "/p", "free"), ("/p", "/p", "free"), ("/p", "/l", "malloc")
        self.assertEqual(self.misbound(("/p", "/l", "free"), *through), "")
        self.assertEqual(self.misbound(*through), "free of p comes from /p")

    def test_real_program(self):
        probes = [("/bin/cat", ["/bin/cat", "--version"])]
        environment = bindings.preload_environment(probes, measure.Allocator(measure.BASELINE),
                                                   {"X": "y"})
        self.assertEqual(environment["X"], "y")
        self.assertNotIn("LD_PRELOAD", environment)

    def test_library_that_cannot_be_preloaded(self):
        with self.assertRaisesRegex(RunFailure, "comes from .*libc.so"):
            bindings.preload_environment([("/bin/cat", ["/bin/cat", "--version"])],
                                         measure.Allocator("none", __file__), {})


class Server(Folder):
    """A listening socket whose one connection gets the given replies, then its end."""

    def listen(self, *replies):
        """Starts it; the requests that came are in `heard` at the end."""
        self.heard = []
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path("socket"))
        listener.listen()

        def serve():
            with listener, listener.accept()[0] as connection:
                for reply in replies:
                    self.heard.append(connection.recv(100000))
                    connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        return thread


class Clients(Server):
    """Conversations with servers."""

    def test_converse(self):
        thread = self.listen(b"reply one", b"two")
        clients.converse(self.path("socket"), [[(b"a", b"reply one"), (b"b", b"two")]])
        thread.join()
        self.assertEqual(self.heard, [b"a", b"b"])

    def test_wrong_reply(self):
        self.listen(b"reply 1")
        with self.assertRaisesRegex(RunFailure, "wrong reply"):
            clients.converse(self.path("socket"), [[(b"a", b"reply 2")]])

    def test_lost_connection(self):
        self.listen(b"rep")
        with self.assertRaisesRegex(RunFailure, "closed"):
            clients.converse(self.path("socket"), [[(b"a", b"reply")]])

    def test_no_server(self):
        self.assertFalse(clients.answers(self.path("socket")))

    def test_conversations_repeat_and_fit_into_buffers(self):
        largest = max(clients.VALUE_SIZES)
        for make in (clients.memcached_conversation, clients.redis_conversation):
            exchanges = make(1, 3000, 100)
            self.assertTrue(exchanges == make(1, 3000, 100))  # no list of 100 KB of differences
            self.assertFalse(exchanges == make(2, 3000, 100))
            self.assertGreater(len(exchanges), 10)
            for request, reply in exchanges:
                self.assertLess(len(request), clients.REQUEST_BYTES + 2 * largest)
                self.assertLess(len(reply), clients.REPLY_BYTES + 2 * largest)

    def test_memcached_replies(self):
        """Each key's last value is what the next get finds."""
        exchanges = clients.memcached_conversation(0, 2000, 20)
        requests = b"".join(request for request, _ in exchanges)
        replies = b"".join(reply for _, reply in exchanges)
        stored, expected = {}, b""
        while requests:
            line, _, requests = requests.partition(b"\r\n")
            verb, key, *rest = line.split()
            data = b""
            if rest:
                size = int(rest[-1])
                data, requests = requests[:size], requests[size + 2:]
            if verb == b"set":
                stored[key], answer = data, b"STORED"
            elif verb == b"get":
                found = b"VALUE %b 0 %d\r\n%b\r\n" % (key, len(stored[key]), stored[key]) \
                    if key in stored else b""
                answer = found + b"END"
            elif verb == b"append":
                answer = b"STORED" if key in stored else b"NOT_STORED"
                if key in stored:
                    stored[key] += data
            else:
                answer = b"NOT_FOUND" if stored.pop(key, None) is None else b"DELETED"
            expected += answer + b"\r\n"
        self.assertEqual(replies, expected)

    def test_page(self):
        def reply(day, body):
            return (b"HTTP/1.1 200 OK\r\nServer: s\r\nDate: Thu, %02d Jan 1970 00:00:00 GMT\r\n"
                    b"Content-Length: 4\r\n\r\n%b" % (day, body))

        self.listen(reply(1, b"body"))
        with clients.connect(self.path("socket")) as connection:
            page = clients.Page(connection, b"x", False)
        self.assertEqual(page.body, b"body")
        self.assertEqual(len(page), len(reply(1, b"body")))
        for right in reply(1, b"body"), reply(2, b"body"):
            self.assertTrue(page.is_reply(memoryview(right)))
        for wrong in reply(1, b"bode"), reply(1, b"body").replace(b"Server: s", b"Server: t"):
            self.assertFalse(page.is_reply(memoryview(wrong)))

    def test_page_of_an_error(self):
        self.listen(b"HTTP/1.1 404 Not Found\r\nDate: \r\nContent-Length: 0\r\n\r\n")
        with clients.connect(self.path("socket")) as connection:
            with self.assertRaisesRegex(RunFailure, "answers HTTP/1.1 404"):
                clients.Page(connection, b"x", False)

    def test_chunks(self):
        packed = gzip.compress(b"some text")
        body = b"5\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (packed[:5], len(packed) - 5, packed[5:])
        self.assertEqual(programs_servers.unchunk(body), b"some text")


class Inputs(Folder):
    """What is made for the programs to read."""

    def test_repeatable(self):
        for make in (programs_inputs.write_text, programs_inputs.write_c_source):
            make(self.path("a"), 50)
            make(self.path("b"), 50)
            make(self.path("c"), 51)
            self.assertGreaterEqual(self.read("a").count("\n"), 50)
            self.assertEqual(self.read("a"), self.read("b"))
            self.assertNotEqual(self.read("a"), self.read("c"))


class Echo(programs_process.Program):
    """Prints MODE, and fails where that is "crash"."""

    name = "echo"
    executables = ("sh",)

    def prepare(self, folder, work):
        self.folder = folder

    def run(self, start):
        script = 'echo "$MODE"; [ "$MODE" != crash ] || kill -SEGV $$'
        with start(["sh", "-c", script], output=os.path.join(self.folder, "output")) as process:
            usage = process.finish()
        with open(os.path.join(self.folder, "output"), encoding="ascii") as file:
            return usage, file.read()


class Driver(Folder):
    """Runs, tables and remarks."""

    def run_in_mode(self, mode):
        """The sample of a run with another environment than the first one."""
        runs = programs.ProgramRuns(Echo(), LAUNCH, self.folder, 1)
        runs.environments["x"] = os.environ | {"MODE": mode}
        return runs.run_once(measure.Allocator("x"))

    def test_run(self):
        sample = self.run_in_mode("")
        self.assertEqual(sample.failure, "")
        self.assertEqual(list(sample.figures), [report.PEAK, report.PAGE_FAULTS])
        self.assertIn("cpu_lowest", measure.summarize([sample]))

    def test_other_output_is_a_failure(self):
        self.assertIn("output differs", self.run_in_mode("other").failure)

    def test_crash_is_a_failure(self):
        self.assertEqual(self.run_in_mode("crash").failure, "signal 11")

    def test_missing_program(self):
        program = Echo()
        program.executables = ("sh", "no-such-program")
        self.assertEqual(program.missing(), "no-such-program")
        self.assertIsNone(Echo().missing())

    def test_library_that_others_cannot_read(self):
        with open(self.path("library"), "w", encoding="ascii") as file:
            file.write("code")
        os.chmod(self.path("library"), 0o600)
        os.mkdir(self.path("copies"))
        given = [measure.Allocator("none"), measure.Allocator("mine", self.path("library"))]
        offered = programs.offer_to_all(given, self.path("copies"))
        self.assertEqual(offered[0], given[0])
        self.assertEqual(offered[1].path, self.path("copies/mine.so"))
        self.assertTrue(os.stat(offered[1].path).st_mode & 0o004)
        self.assertTrue(programs.may_be_read_by_all(os.path.realpath("/bin/sh")))
        os.chmod(self.path("library"), 0o644)
        os.chmod(self.folder, 0o700)
        self.assertFalse(programs.may_be_read_by_all(self.path("library")))

    def results(self, subject="mine"):
        """Two programs, two allocators, a failure of each."""

        def summary(seconds):
            return {"cpu_lowest": seconds, "cpu_median": 2 * seconds, "wall_median": 1,
                    "figures": {report.PEAK: {"value": seconds * (1 << 20), "unit": "bytes"},
                                report.PAGE_FAULTS: {"value": 3000 * seconds, "unit": "number"}}}

        return {"machine": ["m"], "rounds": 2, "scale": 1, "subject": subject,
                "allocators": [{"name": name, "version": ""}
                               for name in ("mine", "glibc", "other")],
                "versions": {"a": "a 1.0"}, "skipped": {"d": "d is not installed"},
                "programs": {
                    "a": {"mine": summary(1.0), "glibc": summary(2.0), "other": summary(4.0)},
                    "b": {"mine": summary(1.0), "glibc": summary(2.0), "other": {"failure": "x"}},
                    "c": {"mine": {"failure": "signal 11"}, "glibc": summary(1.0),
                          "other": summary(2.0)}}}

    def test_table(self):
        table = programs.make_table(self.results(), report.TIME_LOWEST)
        self.assertEqual(table.header,
                         ["program", "mine, s", "best peer, s", "/ best", "/ glibc", "/ other"])
        self.assertEqual(table.rows, [
            ["a", "1.000", "glibc 2.000", "0.50", "0.50", "0.25"],
            ["b", "1.000", "glibc 2.000", "0.50", "0.50", "other failed"],
            ["c", "mine failed", "glibc 1.000", "mine failed", "mine failed", "mine failed"],
            ["geometric mean", "", "", "0.50", "0.50", "0.25"]])

    def test_page_faults_in_a_table(self):
        table = programs.make_table(self.results(), report.PAGE_FAULTS)
        self.assertEqual(table.header[1], "mine, thousands")
        self.assertEqual(table.rows[0], ["a", "3.0", "glibc 6.0", "0.50", "0.50", "0.25"])

    def test_table_without_subject(self):
        table = programs.make_table(self.results(None), report.TIME_MEDIAN)
        self.assertEqual(table.rows[1], ["b", "mine 2.000", "1.00", "2.00", "other failed"])

    def test_remarks(self):
        text = programs.markdown(self.results())
        for line in ("skipped: d: d is not installed", "failed: b: other: x",
                     "failed: c: mine: signal 11"):
            self.assertIn(line, programs.remarks(self.results()))
            self.assertIn("- " + line, text)
        self.assertIn("a: a 1.0", text)

    def test_chart(self):
        self.assertIn("mine against the best peer, real programs",
                      programs.draw_chart(self.results()))


if __name__ == "__main__":
    unittest.main()
