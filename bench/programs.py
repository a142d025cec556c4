#!/usr/bin/env python3
"""Runs real programs under several allocators, interleaved, and compares them.

README.md in this folder describes the method. Exit status: 0; 1 if a run of the subject failed, or
the bench cannot run at all.
"""

import sys

sys.dont_write_bytecode = True  # the source folder may be read-only, and stays clean in any case

import argparse
import dataclasses
import functools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import chart
import measure
import report
import run
from programs_bindings import preload_environment
from programs_commands import COMMANDS
from programs_process import Process, RunFailure
from programs_servers import SERVERS

ROUNDS = 5
ROUNDS_QUICK = 2
SCALE_QUICK = 0.3
FAILED = "failed"
METRICS = (report.TIME_LOWEST, report.TIME_MEDIAN, report.PEAK, report.PAGE_FAULTS)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--programs", default=os.path.dirname(os.path.abspath(__file__)), metavar="FOLDER",
        help="where the bench's own programs lie (default: beside this file)")
    add("--allocator", action="append", default=[], metavar="NAME=PATH",
        help="a library to preload besides those found; may be repeated")
    add("--subject", metavar="NAME",
        help="the allocator to compare with the others (default: the first --allocator)")
    add("--no-peers", action="store_true", help="leave out Debian's allocators, but not glibc")
    add("--only", action="append", default=[], metavar="GLOB",
        help="only programs whose names match; may be repeated")
    add("--rounds", type=int, help=f"rounds of each program (default {ROUNDS})")
    add("--scale", type=float, help="part of the full work (default 1)")
    add("--quick", action="store_true",
        help=f"a short look: {ROUNDS_QUICK} rounds at a scale of {SCALE_QUICK}")
    add("--cpus", metavar="LIST", help="run on these processors only, as 0,1")
    add("--json", metavar="FILE", help="write all figures")
    add("--markdown", metavar="FILE", help="write the machine, the versions and the tables")
    add("--svg", metavar="FILE", help="draw the ratios")
    parser.set_defaults(floor=False)  # run.py's; what frees nothing does not last in a server
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (ROUNDS_QUICK if arguments.quick else ROUNDS)
    arguments.scale = arguments.scale or (SCALE_QUICK if arguments.quick else 1)
    if arguments.rounds < 1 or arguments.scale <= 0:
        parser.error("--rounds and --scale are positive")
    return arguments


def may_be_read_by_all(path):
    """Whether any user can read a file: some servers run as another one than the bench."""
    if not os.stat(path).st_mode & 0o004:
        return False
    while (folder := os.path.dirname(path)) != path:
        if not os.stat(folder).st_mode & 0o001:
            return False
        path = folder
    return True


def offer_to_all(allocators, folder):
    """The allocators, each with a library that any user can read: a copy where it is not."""
    offered = []
    for allocator in allocators:
        if allocator.path and not may_be_read_by_all(allocator.path):
            copy = shutil.copy(allocator.path, os.path.join(folder, f"{allocator.name}.so"))
            os.chmod(copy, 0o755)
            allocator = dataclasses.replace(allocator, path=copy)
        offered.append(allocator)
    return offered


def version_of(program):
    """The first line of what the program says of its version."""
    _, command = program.probes()[0]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    return "".join(done.stdout.strip().splitlines()[:1])


class ProgramRuns:
    """The runs of one program: its environments, and what its output must be."""

    def __init__(self, program, launch, folder, work):
        self.program = program
        self.folder = folder
        self.launch = launch
        program.prepare(folder, work)
        self.usual = {"LC_ALL": "C", "HOME": folder, "TMPDIR": folder} | program.environment
        self.environments = {}  # allocator's name -> environment, or what keeps it from running
        # The first run is not measured. It reads all files into memory, and has no library
        # preloaded: what it gives is what every other run must give.
        plain = measure.Allocator(measure.BASELINE)
        _, self.expected = program.run(self._starter(plain.environment() | self.usual))

    def _starter(self, environment):
        """What Program.run starts its process with."""
        return functools.partial(Process, self.launch, environment=environment, folder=self.folder)

    def _environment(self, allocator):
        """The environment of the runs under an allocator; made at the first one."""
        if allocator.name not in self.environments:
            self.environments[allocator.name] = preload_environment(
                self.program.probes(), allocator, self.usual)
        return self.environments[allocator.name]

    def run_once(self, allocator):
        """A measure.Sample of one run, also of one that failed or gave something else."""
        begin = time.monotonic()
        try:
            start = self._starter(self._environment(allocator))
            begin = time.monotonic()
            usage, result = self.program.run(start)
            if result != self.expected:
                raise RunFailure("the output differs from that without a library preloaded")
        except (OSError, RunFailure, subprocess.SubprocessError) as error:
            return measure.Sample(0, 0, time.monotonic() - begin, {}, str(error) or repr(error))
        return measure.Sample(usage.user + usage.system, usage.user, time.monotonic() - begin,
                              {report.PEAK: (usage.peak, "bytes"),
                               report.PAGE_FAULTS: (usage.page_faults, "number")})


def measure_program(program, arguments, allocators, folder, progress):
    """allocator -> summary of one program."""
    launch = os.path.join(arguments.programs, "launch")
    try:
        runs = ProgramRuns(program, os.path.abspath(launch), folder,
                           max(1, round(program.work * arguments.scale)))
    except (OSError, RunFailure, subprocess.SubprocessError) as error:
        why = f"without a library preloaded: {error}"
        return {allocator.name: {"failure": why} for allocator in allocators}
    samples = measure.interleave(allocators, arguments.rounds, runs, progress, ProgramRuns.run_once)
    return {name: measure.summarize(mine) for name, mine in samples.items()}


def run_all(arguments):
    """Everything that the command line asks for, as report.py's dictionary with these parts
    instead: programs (program -> allocator -> summary), versions (program -> text), skipped
    (program -> what is missing)."""
    for name in ("launch", "pattern"):
        if not os.access(os.path.join(arguments.programs, name), os.X_OK):
            raise measure.BenchError(f"{name} is not in {arguments.programs}; "
                                     "build it, or name its folder with --programs")
    if arguments.cpus:
        os.sched_setaffinity(0, {int(number) for number in arguments.cpus.split(",")})
    allocators = run.choose_allocators(arguments, os.path.join(arguments.programs, "pattern"))
    results = {
        "machine": run.describe_machine(), "rounds": arguments.rounds, "scale": arguments.scale,
        "subject": run.choose_subject(arguments, allocators),
        "allocators": [{"name": a.name, "version": a.version} for a in allocators],
        "programs": {}, "versions": {}, "skipped": {},
    }
    known = {program.name: program for program in (make() for make in COMMANDS + SERVERS)}
    progress = run.Progress()
    with tempfile.TemporaryDirectory(prefix="acre-bench-") as folder:
        os.chmod(folder, 0o711)
        allocators = offer_to_all(allocators, folder)
        for name in run.wanted(known, arguments.only):
            missing = known[name].missing()
            if missing:
                results["skipped"][name] = f"{missing} is not installed"
                continue
            progress.what = name
            results["versions"][name] = version_of(known[name])
            own = os.path.join(folder, name)
            os.mkdir(own, 0o755)
            results["programs"][name] = measure_program(known[name], arguments, allocators, own,
                                                        progress)
            shutil.rmtree(own)
    progress.end()
    return results


def as_patterns(results):
    """The results as report.py takes them: a program is what is a pattern there."""
    return results | {part: {} for part in run.PARTS} | {"patterns": results["programs"]}


def make_table(results, metric):
    """A table of one figure of all programs; runs that failed are named in it."""
    view = as_patterns(results)
    table = report.pattern_table(view, metric)
    table.header[0] = "program"
    for row in table.rows[:-1]:
        summaries = results["programs"][row[0]]
        for place, title in enumerate(table.header[1:], 1):
            for name in (title.removeprefix("/ ").partition(",")[0], results["subject"]):
                if row[place] == report.NOTHING and "failure" in summaries.get(name, {}):
                    row[place] = f"{name} {FAILED}"
    return table


def tables(results):
    """All tables."""
    return [make_table(results, metric) for metric in METRICS] if results["programs"] else []


def remarks(results):
    """Lines on what is not in the tables, or not in full."""
    return ([f"skipped: {name}: {why}" for name, why in results["skipped"].items()] +
            [f"failed: {line}" for line in report.failures(as_patterns(results))])


def markdown(results):
    """The whole report: machine, versions, tables, what was skipped or failed."""
    versions = ", ".join(f"{allocator['name']} {allocator['version']}".strip()
                         for allocator in results["allocators"])
    programs = "; ".join(f"{name}: {version}" for name, version in results["versions"].items())
    head = ["# Real programs", "", f"Machine: {'; '.join(results['machine'])}.", "",
            f"Allocators: {versions}.", "", f"Programs: {programs}.", "",
            f"{results['rounds']} interleaved rounds at {results['scale']:g} of the full work. "
            "A ratio below 1 means that less was used than by that peer.", ""]
    parts = ["\n".join(head)] + [table.markdown() for table in tables(results)]
    if remarks(results):
        parts.append("\n".join(["## Not measured", ""] +
                               [f"- {line}" for line in remarks(results)]) + "\n")
    return "\n".join(parts)


def draw_chart(results):
    """The SVG."""
    view = as_patterns(results)
    panels = [(f"{report.METRICS[metric][0]}, over the best peer's; less is better",
               report.ratios_to_best(view, metric))
              for metric in (report.TIME_LOWEST, report.PEAK)]
    title = f"{results['subject'] or 'Allocators'} against the best peer, real programs"
    return chart.draw(title, panels, results["subject"], report.peers(results))


def main():
    """The exit status."""
    arguments = parse_arguments()
    # An end by a signal is one in good order: servers end, the folder goes.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        results = run_all(arguments)
    except measure.BenchError as error:
        print(f"programs.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    for table in tables(results):
        print(table.text())
    for line in remarks(results):
        print(line)
    run.write_file(arguments.json, json.dumps(results, indent=1) + "\n")
    run.write_file(arguments.markdown, markdown(results))
    if results["programs"]:
        run.write_file(arguments.svg, draw_chart(results))
    failed = any("failure" in summaries.get(results["subject"], {})
                 for summaries in results["programs"].values())
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
