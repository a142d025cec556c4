"""The floor: an allocator that adds to a pointer and frees nothing (floor.c), beside the others.

It uses memory without end, so it runs below a limit; what does not fit is left out. Its user
seconds are compared, for in the system it spends its time on pages that the others do not need.
"""

import os

import measure
from table import FLOOR, Table, geometric_mean, names, ratio, show

LIMIT_MIB_MAX = 4096
MEMORY_PART = 4  # the limit is at most this part of the memory that is available now
OUT_OF_MEMORY = "out of memory"  # what a bench program says that gets no block


def find(programs):
    """The floor as an allocator, built beside the bench programs."""
    paths = [os.path.join(programs, folder, "floor.so") for folder in (".libs", "")]
    path = next((path for path in paths if os.path.isfile(path)), None)
    if not path:
        raise measure.BenchError(f"--floor: there is no floor.so in {programs}")
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20
    limit = min(LIMIT_MIB_MAX, available // MEMORY_PART)
    return measure.Allocator(FLOOR, os.path.realpath(path), f"(frees nothing, at most {limit} MiB)",
                             (("FLOOR_LIMIT_MIB", str(limit)),))


def is_left_out(allocator, summary):
    """Whether this is a run of the floor that its limit ended: no failure."""
    return allocator == FLOOR and summary.get("failure", "").endswith(OUT_OF_MEMORY)


def left_out(results):
    """The patterns that are too much for the floor."""
    return [pattern for pattern, summaries in results["patterns"].items()
            if is_left_out(FLOOR, summaries.get(FLOOR, {}))]


def table(results):
    """User seconds of every allocator over the floor's, for the patterns that it can run."""
    columns = names(results)
    quotients = {name: [] for name in columns}
    rows = []
    for pattern, summaries in results["patterns"].items():
        seconds = {name: summary.get("user_median") for name, summary in summaries.items()}
        if not seconds.get(FLOOR):
            continue
        line = {name: ratio(seconds.get(name), seconds[FLOOR]) for name in columns}
        for name, value in line.items():
            if value:
                quotients[name].append(value)
        rows.append([pattern, show(seconds[FLOOR], 3)] + [show(line[name]) for name in columns])
    rows.append(["geometric mean", ""] +
                [show(geometric_mean(quotients[name])) for name in columns])
    out = left_out(results)
    note = f"Too much for the floor, left out: {', '.join(out)}." if out else ""
    return Table("User seconds over those of the floor, median of the rounds",
                 ["pattern", "floor, s"] + [f"{name} / floor" for name in columns], rows, note)
