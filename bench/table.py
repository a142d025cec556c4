"""Tables of strings in plain text and in Markdown, and what all tables need of the results."""

import dataclasses
import math

NOTHING = "-"
FLOOR = "floor"  # the name of the allocator that is no peer, see floor.py


@dataclasses.dataclass
class Table:
    """A table of strings; the first column is a name, the others are numbers. The note is a
    sentence below it."""

    title: str
    header: list
    rows: list
    note: str = ""

    def text(self):
        """Plain text in columns."""
        lines = [self.header] + self.rows
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        laid_out = ["  ".join([line[0].ljust(widths[0])] +
                              [cell.rjust(width) for cell, width in zip(line[1:], widths[1:])])
                    for line in lines]
        note = [self.note] if self.note else []
        return "\n".join([self.title, "=" * len(self.title)] + laid_out + note) + "\n"

    def markdown(self):
        """A Markdown table below a heading."""
        rule = ["---"] + ["---:"] * (len(self.header) - 1)
        lines = ["| " + " | ".join(line) + " |" for line in [self.header, rule] + self.rows]
        note = ["", self.note] if self.note else []
        return "\n".join([f"## {self.title}", ""] + lines + note) + "\n"


def show(value, digits=2):
    """A number as a cell."""
    return NOTHING if value is None else f"{value:.{digits}f}"


def geometric_mean(values):
    """The geometric mean of positive numbers; None of none."""
    values = list(values)
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


def ratio(value, base):
    """value / base, or None where one is missing or the base is nothing."""
    return None if value is None or not base else value / base


def names_and_floor(results):
    """The names of all allocators in their order."""
    return [allocator["name"] for allocator in results["allocators"]]


def names(results):
    """The same without the floor."""
    return [name for name in names_and_floor(results) if name != FLOOR]
