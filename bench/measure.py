"""Allocators, and runs of the bench programs under them.

A run is one process with the allocator preloaded. Its CPU seconds come from wait4, its peak resident
size from the program itself: what wait4 says of that is never less than the driver's own size, for
the kernel hands the mark on to a child.
"""

import dataclasses
import glob
import os
import re
import signal
import statistics
import subprocess
import threading
import time

BASELINE = "glibc"

# Name, Debian 12's package and the patterns of its library's file, the first match counts.
DEBIAN_PEERS = (
    ("jemalloc", "libjemalloc2", ("libjemalloc.so.2",)),
    ("mimalloc", "libmimalloc2.0", ("libmimalloc.so.2.0", "libmimalloc.so.2")),
    ("tcmalloc", "libtcmalloc-minimal4", ("libtcmalloc_minimal.so.4",)),
)
LIBRARY_FOLDERS = ("/usr/lib/*-linux-gnu*", "/usr/lib64", "/usr/lib")
RUN_SECONDS_MAX = 300


class BenchError(Exception):
    """The bench cannot go on; the text says why."""


@dataclasses.dataclass(frozen=True)
class Allocator:
    """Something to preload; `path` is None for the C library's own malloc. `variables` are pairs of
    name and value that its programs find in their environment besides."""

    name: str
    path: str | None = None
    version: str = ""
    variables: tuple = ()

    def environment(self):
        """The environment of a program under this allocator, with no other one preloaded."""
        environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
        environment.update(self.variables)
        if self.path:
            environment["LD_PRELOAD"] = self.path
        return environment


@dataclasses.dataclass
class Sample:
    """One run. `figures` are the lines that the program printed: name -> (value, unit)."""

    cpu_seconds: float
    user_seconds: float
    wall_seconds: float
    figures: dict
    failure: str = ""  # what became of a run that did not end well


@dataclasses.dataclass(frozen=True)
class Pattern:
    """A line of `pattern --list` or `latency --list`."""

    name: str
    work: int
    threads: int


def package_version(package):
    """The version of an installed Debian package; "" where there is no dpkg or no such package."""
    try:
        done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                              capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def find_peers():
    """glibc, and those of Debian's allocator packages that are installed."""
    peers = [Allocator(BASELINE, None, os.confstr("CS_GNU_LIBC_VERSION").removeprefix("glibc "))]
    for name, package, file_names in DEBIAN_PEERS:
        matches = [path for file_name in file_names for folder in LIBRARY_FOLDERS
                   for path in sorted(glob.glob(os.path.join(folder, file_name)))]
        if matches:
            peers.append(Allocator(name, matches[0], package_version(package)))
    return peers


def parse_allocator(text):
    """The allocator of a --allocator NAME=PATH option."""
    name, separator, path = text.partition("=")
    if not separator or not re.fullmatch(r"[\w.+-]+", name):
        raise BenchError(f"--allocator {text}: NAME=PATH is wanted")
    if not os.path.isfile(path):
        raise BenchError(f"--allocator {text}: there is no such file")
    path = os.path.realpath(path)
    return Allocator(name, path, os.path.basename(path))


def check_preload(program, allocator):
    """Dies unless the bench program's malloc comes from the allocator: the dynamic linker only warns
    about a library that it cannot preload, and the run would count for it all the same."""
    done = subprocess.run([program, "--where"], env=allocator.environment(), capture_output=True,
                          text=True, check=False)
    where = os.path.realpath(done.stdout.strip())
    if done.returncode != 0:
        why = f"the program ends with status {done.returncode}"
    elif allocator.path and where != os.path.realpath(allocator.path):
        why = f"malloc comes from {where}"
    else:
        return
    raise BenchError(f"{allocator.name} cannot be preloaded: {done.stderr.strip() or why}")


def list_patterns(program):
    """All patterns, or latency benches, that the program knows, in its order."""
    lines = subprocess.run([program, "--list"], capture_output=True, text=True, check=True).stdout
    fields = (line.split() for line in lines.splitlines())
    return [Pattern(name, int(work), int(threads)) for name, work, threads in fields]


def list_scenarios(program):
    """The names of all memory scenarios that the program knows."""
    return subprocess.run([program, "--list"], capture_output=True, text=True,
                          check=True).stdout.split()


def parse_figures(text):
    """The lines "name value unit" of a program's output: name -> (value, unit)."""
    figures = {}
    for line in text.splitlines():
        name, value, unit = line.split()
        figures[name] = (float(value), unit)
    return figures


def run_once(command, allocator):
    """Runs a command under an allocator; a Sample, also of a run that crashed or hung."""
    begin = time.monotonic()
    with subprocess.Popen(command, env=allocator.environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        # The output is a few lines, less than a pipe holds: it can be read after the end.
        watchdog = threading.Timer(RUN_SECONDS_MAX, os.kill, (process.pid, signal.SIGKILL))
        watchdog.start()
        _, status, usage = os.wait4(process.pid, 0)
        watchdog.cancel()
        wall = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        output, errors = process.stdout.read(), process.stderr.read()
    failure = ""
    if wall >= RUN_SECONDS_MAX:
        failure = f"longer than {RUN_SECONDS_MAX} s"
    elif process.returncode:
        code = process.returncode
        last = errors.strip().splitlines()[-1:]
        failure = " ".join([f"signal {-code}" if code < 0 else f"status {code}"] + last)
    figures = {} if failure else parse_figures(output)
    return Sample(usage.ru_utime + usage.ru_stime, usage.ru_utime, wall, figures, failure)


def order_of_round(allocators, number):
    """The allocators as they come in that round.

    What a run leaves behind, free huge pages above all, decides how fast the next one is. So within
    rounds every allocator follows every other one equally often, in as many rounds as there are
    allocators, or twice as many if their number is odd (Williams, "Experimental designs balanced
    for the estimation of residual effects of treatments", 1949).
    """
    count = len(allocators)
    places = [(number + ((i + 1) // 2 if i % 2 else -i // 2)) % count for i in range(count)]
    if count % 2 and number // count % 2:
        places.reverse()
    return [allocators[place] for place in places]


def interleave(allocators, rounds, command, progress, run=run_once):
    """Runs `command` under each allocator `rounds` times by `run`: name -> list of samples.

    Each round runs all allocators one after the other, in another order, so that what slows the
    machine down for a while slows them all. After a failure an allocator takes no further part.
    """
    samples = {allocator.name: [] for allocator in allocators}
    for number in range(rounds):
        for allocator in order_of_round(allocators, number):
            mine = samples[allocator.name]
            if mine and mine[-1].failure:
                continue
            mine.append(run(command, allocator))
            progress()
    return samples


def startup_times(allocators, launches):
    """Microseconds of wall time from the start to the end of `true`: name -> list."""
    times = {allocator.name: [] for allocator in allocators}
    for number in range(launches):
        for allocator in order_of_round(allocators, number):
            environment = allocator.environment()
            begin = time.monotonic()
            pid = os.posix_spawnp("true", ["true"], environment)
            os.waitpid(pid, 0)
            times[allocator.name].append((time.monotonic() - begin) * 1e6)
    return times


def summarize(samples):
    """The figures of one allocator's runs of one command, ready for JSON."""
    failure = next((sample.failure for sample in samples if sample.failure), "")
    if failure:
        return {"failure": failure}
    cpu = [sample.cpu_seconds for sample in samples]
    summary = {
        "rounds": len(samples),
        "cpu_lowest": min(cpu),
        "cpu_median": statistics.median(cpu),
        "user_median": statistics.median(sample.user_seconds for sample in samples),
        "wall_median": statistics.median(sample.wall_seconds for sample in samples),
        "figures": {},
    }
    for name, (_, unit) in samples[0].figures.items():
        values = [sample.figures[name][0] for sample in samples]
        summary["figures"][name] = {"value": statistics.median(values), "lowest": min(values),
                                    "unit": unit}
    return summary
