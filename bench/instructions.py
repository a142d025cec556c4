"""Instructions for each step of a pattern, counted by valgrind's callgrind.

Two runs of different length are counted and the difference of their instructions is divided by the
difference of their work, so that start-up and warm-up fall out. Instructions of the bench program
itself do not count: what is left is the allocator, and what it calls in the C library.
"""

import os
import re
import shutil
import subprocess
import tempfile

from measure import BenchError

WORK_SHORT = 100_000
WORK_LONG = 200_000

# The patterns of one thread whose unit of work is one block.
DEFAULT_PATTERNS = ("pair-16", "pair-64", "pair-256", "pair-1k", "pair-4k", "pair-32k", "fifo-100",
                    "lifo-100", "fifo-10000", "lifo-10000", "random-1", "calloc-64")

_COST_LINE = re.compile(r"[\d+*-]\S* (\d+)$")
_OBJECT_LINE = re.compile(r"ob=\((\d+)\)(?: (.*))?$")


def cost_outside(lines, program):
    """The instructions in a callgrind profile spent in objects other than `program`.

    A line "ob=(1) path" names the object of the cost lines below it, "position count"; the line
    after a "calls=" line is the inclusive cost of the callee, which its own lines hold already.
    """
    names, current, total, skip = {}, "", 0, False
    for line in lines:
        if found := _OBJECT_LINE.match(line):
            number, name = found.groups()
            current = names.setdefault(number, name)
        elif line.startswith("cob=("):
            number, _, name = line.removeprefix("cob=(").partition(") ")
            if name:
                names[number] = name
        elif line.startswith("calls="):
            skip = True
        elif found := _COST_LINE.match(line):
            if not skip and os.path.basename(current) != program:
                total += int(found.group(1))
            skip = False
    return total


def count_run(program, pattern, work, allocator, folder):
    """Instructions outside the program in one run; None if it failed."""
    profile = os.path.join(folder, "profile")
    command = ["valgrind", "--tool=callgrind", "--trace-children=no",
               f"--callgrind-out-file={profile}", program, pattern, str(work)]
    done = subprocess.run(command, env=allocator.environment(), capture_output=True, check=False)
    if done.returncode != 0:
        return None
    with open(profile, encoding="utf-8", errors="replace") as lines:
        return cost_outside(lines, os.path.basename(program))


def count(program, patterns, allocators, progress):
    """Instructions for each block: pattern -> allocator -> number, None where a run failed."""
    if not shutil.which("valgrind"):
        raise BenchError("--callgrind needs valgrind, which is not installed")
    counts = {}
    with tempfile.TemporaryDirectory() as folder:
        for pattern in patterns:
            counts[pattern] = {}
            for allocator in allocators:
                costs = [count_run(program, pattern, work, allocator, folder)
                         for work in (WORK_SHORT, WORK_LONG)]
                counts[pattern][allocator.name] = (
                    None if None in costs else (costs[1] - costs[0]) / (WORK_LONG - WORK_SHORT))
                progress()
    return counts
