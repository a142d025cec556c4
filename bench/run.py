#!/usr/bin/env python3
"""Runs the bench programs under several allocators, interleaved, and compares them.

README.md in this folder describes the method. Exit status: 0; 1 if a run of the subject failed, or
the bench cannot run at all.
"""

import sys

sys.dont_write_bytecode = True  # the source folder may be read-only, and stays clean in any case

import argparse
import fnmatch
import json
import os
import platform
import statistics

import chart
import floor
import instructions
import measure
import report
import rss
from table import FLOOR

LAUNCHES = 200  # of `true`
MEMORY_ROUNDS_MAX = 3
DIVISOR_MAX = 1000  # what the memory programs take
PARTS = ("patterns", "memory", "startup", "latency", "rss")
IDLE_STEP_MS = 500  # of the phases
SCALE_QUICK = 0.1  # below it idle time shrinks too
ROUNDS_QUICK = 3
ROUNDS = 7


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--programs", default=os.path.dirname(os.path.abspath(__file__)), metavar="FOLDER",
        help="where the bench programs lie (default: beside this file)")
    add("--allocator", action="append", default=[], metavar="NAME=PATH",
        help="a library to preload besides those found; may be repeated")
    add("--subject", metavar="NAME",
        help="the allocator to compare with the others (default: the first --allocator)")
    add("--no-peers", action="store_true", help="leave out Debian's allocators, but not glibc")
    add("--floor", action="store_true",
        help="run an allocator that frees nothing beside them, to show how far they are from it")
    add("--only", action="append", default=[], metavar="GLOB",
        help="only patterns and scenarios whose names match; may be repeated")
    add("--skip", action="append", default=[], metavar="PART",
        choices=PARTS, help=f"one of {', '.join(PARTS)}; may be repeated")
    add("--rounds", type=int, help=f"rounds of each pattern (default {ROUNDS})")
    add("--scale", type=float, help="part of the full work and of the scenarios' sizes (default 1)")
    add("--quick", action="store_true",
        help=f"a short look: {ROUNDS_QUICK} rounds at a scale of {SCALE_QUICK}")
    add("--callgrind", action="store_true",
        help="count instructions for each block with valgrind instead of measuring time")
    add("--cpus", metavar="LIST", help="run on these processors only, as 0,1")
    add("--json", metavar="FILE", help="write all figures")
    add("--markdown", metavar="FILE", help="write the machine, the versions and the tables")
    add("--svg", metavar="FILE", help="draw the ratios")
    add("--rss-svg", metavar="FILE", help="draw the resident size over the run in phases")
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (ROUNDS_QUICK if arguments.quick else ROUNDS)
    arguments.scale = arguments.scale or (SCALE_QUICK if arguments.quick else 1)
    if arguments.rounds < 1 or arguments.scale <= 0:
        parser.error("--rounds and --scale are positive")
    return arguments


def choose_allocators(arguments, program):
    """glibc, Debian's peers, those of the command line and the floor, each known to load."""
    found = measure.find_peers()
    if arguments.no_peers:
        found = found[:1]
    given = [measure.parse_allocator(text) for text in arguments.allocator]
    taken = {allocator.name for allocator in given}
    allocators = given + [peer for peer in found if peer.name not in taken]
    if arguments.floor:
        allocators.append(floor.find(arguments.programs))
    if len({allocator.name for allocator in allocators}) < len(allocators):
        raise measure.BenchError("two allocators have the same name")
    for allocator in allocators:
        measure.check_preload(program, allocator)
    return allocators


def choose_subject(arguments, allocators):
    """The name of the allocator under test, or None."""
    given = arguments.subject
    if given is None:
        return allocators[0].name if arguments.allocator else None
    if given not in [allocator.name for allocator in allocators]:
        raise measure.BenchError(f"--subject {given}: there is no such allocator")
    return given


def describe_machine():
    """What the figures depend on, in a few words each."""
    lines = [f"{os.cpu_count()} processors, {len(os.sched_getaffinity(0))} used"]
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            models = {line.split(":", 1)[1].strip() for line in info
                      if line.startswith("model name")}
        lines = sorted(models) + lines
    except OSError:
        pass
    return lines + [f"{platform.system()} {platform.release()}", platform.machine()]


def wanted(names, globs):
    """Those of `names` that match one of the globs; all if there are none."""
    return [name for name in names
            if not globs or any(fnmatch.fnmatchcase(name, glob) for glob in globs)]


class Progress:
    """Counts runs on standard error, if that is a terminal."""

    def __init__(self):
        self.what = ""
        self.runs = 0

    def __call__(self):
        self.runs += 1
        if sys.stderr.isatty():
            print(f"\r{self.runs} runs, {self.what:<20}", end="", file=sys.stderr, flush=True)

    def end(self):
        """Ends the line."""
        if self.runs and sys.stderr.isatty():
            print(file=sys.stderr)


def run_interleaved(allocators, rounds, commands, progress):
    """name -> allocator -> summary, for `commands`, which is name -> command."""
    results = {}
    for name, command in commands.items():
        progress.what = name
        samples = measure.interleave(allocators, rounds, command, progress)
        results[name] = {key: measure.summarize(mine) for key, mine in samples.items()}
    return results


def scaled_commands(arguments, program):
    """name -> command, for what a program of the form of `pattern` lists."""
    path = os.path.join(arguments.programs, program)
    patterns = {pattern.name: pattern for pattern in measure.list_patterns(path)}
    # More than twice as many threads as processors measure the kernel's scheduler.
    return {name: [path, name, str(max(1, round(patterns[name].work * arguments.scale)))]
            for name in wanted(patterns, arguments.only)
            if patterns[name].threads <= 2 * len(os.sched_getaffinity(0))}


def divisor(arguments):
    """The part of the full size of the memory programs, as they take it."""
    return str(min(max(1, round(1 / arguments.scale)), DIVISOR_MAX))


def memory_rounds(arguments):
    """Rounds of the memory programs, whose figures vary little."""
    return 1 if arguments.quick else min(arguments.rounds, MEMORY_ROUNDS_MAX)


def run_memory(arguments, allocators, progress):
    """scenario -> allocator -> summary."""
    program = os.path.join(arguments.programs, "memory")
    commands = {name: [program, name, divisor(arguments)]
                for name in wanted(measure.list_scenarios(program), arguments.only)}
    return run_interleaved(allocators, memory_rounds(arguments), commands, progress)


def run_rss(arguments, allocators, progress):
    """allocator -> summary of the run in phases."""
    idle = max(1, round(IDLE_STEP_MS * min(1, arguments.scale / SCALE_QUICK)))
    command = [os.path.join(arguments.programs, "phases"), divisor(arguments), str(idle)]
    commands = {name: command for name in wanted(["rss"], arguments.only)}
    return run_interleaved(allocators, memory_rounds(arguments), commands, progress).get("rss", {})


def run_startup(arguments, allocators):
    """allocator -> lowest and median microseconds of a preloaded `true`."""
    if not wanted(["startup"], arguments.only):
        return {}
    launches = max(1, round(LAUNCHES * min(1, arguments.scale)))
    times = measure.startup_times(allocators, launches)
    return {name: {"lowest": min(mine), "median": statistics.median(mine)}
            for name, mine in times.items()}


def run_all(arguments):
    """Everything that the command line asks for; the dictionary of report.py."""
    program = os.path.join(arguments.programs, "pattern")
    if not os.access(program, os.X_OK):
        raise measure.BenchError(f"the bench programs are not in {arguments.programs}; "
                                 "build them, or name their folder with --programs")
    if arguments.cpus:
        os.sched_setaffinity(0, {int(number) for number in arguments.cpus.split(",")})
    allocators = choose_allocators(arguments, program)
    results = {
        "machine": describe_machine(), "rounds": arguments.rounds, "scale": arguments.scale,
        "subject": choose_subject(arguments, allocators),
        "allocators": [{"name": a.name, "version": a.version} for a in allocators],
        "instructions": {}, **{part: {} for part in PARTS},
    }
    progress = Progress()
    if arguments.callgrind:
        known = [pattern.name for pattern in measure.list_patterns(program)]
        patterns = (wanted(known, arguments.only) if arguments.only
                    else instructions.DEFAULT_PATTERNS)
        progress.what = "callgrind"
        results["instructions"] = instructions.count(program, patterns, allocators, progress)
    else:
        # Blocks that are never freed say nothing of memory, nor of latency but that of page faults.
        compared = [allocator for allocator in allocators if allocator.name != FLOOR]
        runs = {
            "patterns": lambda: run_interleaved(
                allocators, arguments.rounds, scaled_commands(arguments, "pattern"), progress),
            "memory": lambda: run_memory(arguments, compared, progress),
            "startup": lambda: run_startup(arguments, allocators),
            "latency": lambda: run_interleaved(
                compared, arguments.rounds, scaled_commands(arguments, "latency"), progress),
            "rss": lambda: run_rss(arguments, compared, progress),
        }
        for part in PARTS:
            if part not in arguments.skip:
                results[part] = runs[part]()
    progress.end()
    return results


def draw_chart(results):
    """The SVG of the patterns."""
    panels = [(f"{report.METRICS[metric][0]}, over the best peer's; less is better",
               report.ratios_to_best(results, metric))
              for metric in (report.TIME_MEDIAN, report.PEAK)]
    title = f"{results['subject'] or 'Allocators'} against the best peer, by pattern"
    return chart.draw(title, panels, results["subject"], report.peers(results))


def write_file(path, text):
    """Writes one of the outputs, if it is asked for."""
    if path:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main():
    """The exit status."""
    arguments = parse_arguments()
    try:
        results = run_all(arguments)
    except measure.BenchError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    for table in report.tables(results):
        print(table.text())
    for line in report.failures(results):
        print(f"failed: {line}")
    write_file(arguments.json, json.dumps(results, indent=1) + "\n")
    write_file(arguments.markdown, report.markdown(results))
    if results["patterns"]:
        write_file(arguments.svg, draw_chart(results))
    if rss.all_series(results):
        write_file(arguments.rss_svg, rss.draw(results))
    failed = any(f": {results['subject']}: " in line for line in report.failures(results))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
