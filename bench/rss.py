"""The resident size over a run that goes through phases (phases.c): its table and its chart.

The figures of a run are samples, "PHASE.NUMBER.live" and "PHASE.NUMBER.resident", in their order.
"""

import math
import operator
import statistics
from xml.sax.saxutils import escape

import svg
from table import Table, names, show

LIVE = "live"
RESIDENT = "resident"

LEFT, RIGHT, TOP, BOTTOM = 60, 20, 76, 34  # margins in pixels
WIDTH, HEIGHT = 860, 340  # of the plot itself
MARK_EVERY = 10  # samples between two marks of a line
GRID_LINES = 5


def series(summary, what):
    """[(phase, MiB)] in the order of the run: what was live, or what was resident."""
    found = []
    for name, figure in summary.get("figures", {}).items():
        phase, _, kind = name.split(".")
        if kind not in (LIVE, RESIDENT):
            raise ValueError(f"a figure of the wrong name: {name}")
        if kind == what:
            found.append((phase, figure["value"]))
    return found


def all_series(results):
    """name -> [(phase, MiB)] for what is live, the same under all allocators, and for each
    allocator whose run succeeded."""
    done = {name: results["rss"][name] for name in names(results)
            if "figures" in results["rss"].get(name, {})}
    lines = {LIVE: series(next(iter(done.values())), LIVE)} if done else {}
    lines.update({name: series(summary, RESIDENT) for name, summary in done.items()})
    return lines


def phase_ranges(samples):
    """[(phase, first sample, number of samples)]."""
    ranges = []
    for number, (phase, _) in enumerate(samples):
        if not ranges or ranges[-1][0] != phase:
            ranges.append((phase, number, 0))
        ranges[-1] = (phase, ranges[-1][1], ranges[-1][2] + 1)
    return ranges


def table(results):
    """The resident size at the end of each phase, its peak and its mean, in MiB."""
    lines = all_series(results)
    columns = [LIVE] + names(results)
    values = {name: [value for _, value in samples] for name, samples in lines.items()}

    def row(title, function):
        """One figure of each column's values."""
        return [title] + [show(function(values[name]) if name in values else None, 1)
                          for name in columns]

    rows = [row(f"end of {phase}", operator.itemgetter(first + count - 1))
            for phase, first, count in phase_ranges(lines.get(LIVE, []))]
    rows += [row("peak", max), row("mean", statistics.mean)]
    return Table("Resident size over a run in phases, MiB", ["phase"] + columns, rows)


def grid_step(highest):
    """1, 2 or 5 times a power of ten, so that about GRID_LINES of them reach `highest`."""
    rough = max(highest, 1e-3) / GRID_LINES
    power = 10 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * 0.999)


def _grid(highest, step, y):
    """Lines and labels of the MiB axis."""
    parts = []
    for value in (number * step for number in range(math.floor(highest / step) + 1)):
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y(value):.1f}" '
                     f'y2="{y(value):.1f}"/><text class="small end" x="{LEFT - 8}" '
                     f'y="{y(value) + 4:.1f}">{value:g}</text>')
    return parts


def _phases(samples, x):
    """A vertical line at the begin of each phase, and the phases' names."""
    parts = []
    for phase, first, count in phase_ranges(samples):
        parts.append(f'<line class="grid" x1="{x(first):.1f}" x2="{x(first):.1f}" y1="{TOP}" '
                     f'y2="{TOP + HEIGHT}"/>')
        if count > 1:
            parts.append(f'<text class="small middle" x="{x(first + count / 2):.1f}" '
                         f'y="{TOP + HEIGHT + 18}">{escape(phase)}</text>')
    return parts


def draw(results):
    """An SVG document: a line for each allocator over the samples, and what is live as an area."""
    lines = all_series(results)
    live = lines.pop(LIVE)
    highest = max(value for samples in [live, *lines.values()] for _, value in samples)
    highest = max(highest, 1e-3)

    def x(number):
        return LEFT + WIDTH * number / max(len(live) - 1, 1)

    def y(value):
        return TOP + HEIGHT * (1 - value / highest)

    def points(samples):
        return " ".join(f"{x(i):.1f},{y(value):.1f}" for i, (_, value) in enumerate(samples))

    subject = results["subject"]
    peers = [name for name in names(results) if name != subject]
    parts = svg.legend(subject, peers, LEFT, 40)
    parts.append(f'<text class="small" x="{LEFT}" y="{TOP - 12}">MiB; the area is what is live; '
                 "equal steps of work, in the idle phase of time</text>")
    parts.append(f'<polygon class="area" points="{x(0):.1f},{y(0):.1f} {points(live)} '
                 f'{x(len(live) - 1):.1f},{y(0):.1f}"/>')
    parts += _grid(highest, grid_step(highest), y) + _phases(live, x)
    for number, name in enumerate(peers):
        if name in lines:
            parts.append(f'<polyline class="line l{number % svg.COLOURS}" points="'
                         f'{points(lines[name])}"><title>{escape(name)}</title></polyline>')
            first = MARK_EVERY * (number + 1) // (len(peers) + 1)
            parts += [svg.mark(x(i), y(lines[name][i][1]), number)
                      for i in range(first, len(live), MARK_EVERY)]
    if subject in lines:
        parts.append(f'<polyline class="line subject-line" points="{points(lines[subject])}">'
                     f"<title>{escape(subject)}</title></polyline>")
    return svg.document("Resident size over a run in phases", LEFT + WIDTH + RIGHT,
                        TOP + HEIGHT + BOTTOM, LEFT, parts)
