"""Real programs as processes: started, watched, measured and always ended.

Each program is started by `launch` (launch.c), which leads a process group of its own, so that
nothing of it is left when the run is over, however that comes.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import time
import typing

import measure

START_SECONDS_MAX = 30  # a server that does not answer by then, or end when told to, hangs
STOP_SECONDS_MAX = 5  # for a server that is to end early
POLL_SECONDS = 0.005


class RunFailure(Exception):
    """A run did not end well, or gave something else than it should; the text says what."""


class Usage(typing.NamedTuple):
    """What a process and the descendants that it waited for used."""

    user: float  # CPU seconds
    system: float
    peak: float  # resident bytes of the largest of them
    page_faults: float  # those for which no file was read


class Process:
    """A program under `launch`; a context at whose end the program and its children are gone.

    `folder` is for its figures and its standard error; `output` is the file for its standard
    output. A server has a `stop_signal`, which it takes as a request to end in good order.
    """

    def __init__(self, launch, command, environment, folder, stdin=None, output=os.devnull,
                 stop_signal=None):
        self._stop_signal = stop_signal
        self._figures_path = os.path.join(folder, "figures")
        self._errors_path = os.path.join(folder, "errors")
        with open(stdin or os.devnull, "rb") as source, open(output, "wb") as target, \
                open(self._errors_path, "wb") as errors:
            self._launch = subprocess.Popen(
                [launch, self._figures_path] + command, env=environment, cwd=folder, stdin=source,
                stdout=target, stderr=errors, start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._stop_signal and self._launch.poll() is None:
            self.stop()  # it may have things to remove
            try:
                self._launch.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                pass
        # The group may outlive its leader: a server's children.
        try:
            os.killpg(self._launch.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._launch.wait()

    def _last_error(self):
        """The last line of standard error."""
        with open(self._errors_path, encoding="utf-8", errors="replace") as errors:
            return "".join(errors.read().strip().splitlines()[-1:])

    def stop(self):
        """Asks a server to end."""
        self._launch.send_signal(self._stop_signal)

    def check_runs(self, seconds=0):
        """Raises RunFailure if the program has ended, or ends in the next `seconds`."""
        try:
            self._launch.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        self.finish()
        raise RunFailure("ended early with status 0")

    def finish(self, seconds_max=measure.RUN_SECONDS_MAX):
        """Waits for the end: a Usage. RunFailure if it is no good end."""
        try:
            status = self._launch.wait(seconds_max)
        except subprocess.TimeoutExpired:
            raise RunFailure(f"longer than {seconds_max} s") from None
        if status != 0:
            raise RunFailure(f"launch ended with status {status} {self._last_error()}".strip())
        with open(self._figures_path, encoding="utf-8") as file:
            parsed = measure.parse_figures(file.read())
        figures = {name: value for name, (value, _) in parsed.items()}
        code = os.waitstatus_to_exitcode(int(figures["status"]))
        if code:
            what = f"signal {-code}" if code < 0 else f"status {code}"
            raise RunFailure(f"{what} {self._last_error()}".strip())
        return Usage(figures["user"], figures["system"], figures["peak-rss"],
                     figures["page-faults"])


def wait_until(condition, process, what):
    """Polls `condition` until it holds; RunFailure if the process ends first, or it takes long."""
    end = time.monotonic() + START_SECONDS_MAX
    while not condition():
        process.check_runs()
        if time.monotonic() > end:
            raise RunFailure(f"waited {START_SECONDS_MAX} s in vain: {what}")
        time.sleep(POLL_SECONDS)


def digest_file(path):
    """A checksum of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


class Program:
    """A real program and a fixed amount of work for it.

    `work` is the amount at full scale; `environment` is what its runs need besides the usual.
    """

    name = ""
    executables = ()  # names of files to be found in PATH; the first is the one that is measured
    work = 1
    environment = {}

    def __init__(self):
        self.folder = None  # its own, from prepare on
        self.paths = {}  # executable -> where it is

    def missing(self):
        """The first executable that is not installed, or None."""
        for name in self.executables:
            self.paths[name] = shutil.which(name, path=search_path())
            if not self.paths[name]:
                return name
        return None

    def path(self):
        """The program's own file."""
        return self.paths[self.executables[0]]

    def prepare(self, folder, work):
        """Makes the inputs, in a folder of the program's own, for an amount of work."""
        raise NotImplementedError

    def probes(self):
        """(binary, command) of a short run of each binary that does the work; the first command
        prints the version."""
        return [(self.path(), [self.path(), "--version"])]

    def run(self, start):
        """Does the work: (Usage, a text that must be equal each time). `start` is Process with all
        but the command, the files and the signal given."""
        raise NotImplementedError


def search_path():
    """Where programs are looked for: servers are often in folders that only root's PATH names."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
