"""The results as tables, and the whole report in Markdown.

`results` is the dictionary that run.py fills and writes as JSON:

    machine      lines that describe the machine
    rounds       how many rounds, scale: the part of each pattern's work that was done
    subject      the name of the allocator under test; None compares the peers with each other
    allocators   [{name, version}]
    patterns     pattern -> allocator -> summary (see measure.summarize)
    memory       scenario -> allocator -> summary
    startup      allocator -> {lowest, median} in microseconds
    latency      bench -> allocator -> summary
    rss          allocator -> summary, whose figures are samples (see rss.py)
    instructions pattern -> allocator -> instructions for each block, None where a run failed
"""

import floor
import latency
import rss
from table import FLOOR, NOTHING, Table, geometric_mean, names, names_and_floor, ratio, show

# What the tables over the patterns show: title, the figure's unit and divisor.
TIME_MEDIAN = "cpu_median"
TIME_LOWEST = "cpu_lowest"
PEAK = "peak-rss"
PAGE_FAULTS = "page-faults"
METRICS = {
    TIME_MEDIAN: ("CPU seconds, median of the rounds", "s", 1, 3),
    TIME_LOWEST: ("CPU seconds, lowest of the rounds", "s", 1, 3),
    PEAK: ("Peak resident size", "MiB", 1 << 20, 1),
    PAGE_FAULTS: ("Page faults", "thousands", 1000, 1),
}


def peers(results):
    """The names of all allocators but the subject and the floor."""
    return [name for name in names(results) if name != results["subject"]]


def figure(results, pattern, allocator, metric):
    """One figure of one pattern; None if the run failed."""
    summary = results["patterns"][pattern].get(allocator, {"failure": "not run"})
    if "failure" in summary:
        return None
    return summary[metric] if metric in summary else summary["figures"][metric]["value"]


def best_peer(results, pattern, metric):
    """(name, figure) of the peer with the lowest figure; (None, None) if all failed."""
    found = [(value, name) for name in peers(results)
             if (value := figure(results, pattern, name, metric)) is not None]
    return min(found)[::-1] if found else (None, None)


def ratios_to_best(results, metric):
    """pattern -> allocator -> figure over that of the best peer; failed runs are left out."""
    table = {}
    for pattern in results["patterns"]:
        _, best = best_peer(results, pattern, metric)
        quotients = {name: ratio(figure(results, pattern, name, metric), best)
                     for name in names(results)}
        table[pattern] = {name: value for name, value in quotients.items() if value is not None}
    return table


def pattern_table(results, metric):
    """Every pattern: the subject's figure, the best peer's, and the subject's ratio to each peer.
    Without a subject: the best figure and the ratio of each allocator to it."""
    title, unit, divisor, digits = METRICS[metric]
    subject, columns = results["subject"], peers(results)
    quotients = {column: [] for column in ["best"] + columns}
    rows = []
    for pattern in results["patterns"]:
        best_name, best = best_peer(results, pattern, metric)
        own = figure(results, pattern, subject, metric) if subject else None
        line = {"best": ratio(own, best)}
        for name in columns:
            value = figure(results, pattern, name, metric)
            line[name] = ratio(own, value) if subject else ratio(value, best)
        for column, value in line.items():
            if value is not None:
                quotients[column].append(value)
        best_cell = f"{best_name} {show(best / divisor, digits)}" if best_name else NOTHING
        own_cells = [show(own and own / divisor, digits), best_cell, show(line["best"])]
        rows.append([pattern] + (own_cells if subject else [best_cell]) +
                    [show(line[name]) for name in columns])
    means = {column: show(geometric_mean(values)) for column, values in quotients.items()}
    rows.append(["geometric mean"] + (["", "", means["best"]] if subject else [""]) +
                [means[name] for name in columns])
    if subject:
        header = ["pattern", f"{subject}, {unit}", f"best peer, {unit}", "/ best"]
        return Table(f"{title}; ratios of {subject} to each peer", header +
                     [f"/ {name}" for name in columns], rows)
    return Table(f"{title}; ratios to the best", ["pattern", f"best, {unit}"] + columns, rows)


def memory_table(results):
    """Every figure of every memory scenario, and start-up, for each allocator. The floor, if it is
    there, only starts up."""
    columns = names_and_floor(results) if results["startup"] else names(results)
    rows = []
    for scenario, summaries in results["memory"].items():
        figures = {name: unit["unit"] for summary in summaries.values()
                   for name, unit in summary.get("figures", {}).items()}
        for name, unit in figures.items():
            cells = [summaries.get(column, {}).get("figures", {}).get(name) for column in columns]
            rows.append([f"{scenario}: {name}, {unit}"] +
                        [show(cell and cell["value"]) for cell in cells])
        if not figures:
            rows.append([scenario] + [NOTHING] * len(columns))
    if results["startup"]:
        for key in ("lowest", "median"):
            rows.append([f"start-up of true: {key}, us"] +
                        [show(results["startup"][name][key], 0) for name in columns])
    return Table("Memory and start-up", ["scenario"] + columns, rows)


def instruction_table(results):
    """Instructions for each block outside the bench program."""
    columns = names_and_floor(results)
    rows = [[pattern] + [show(counts[name], 1) for name in columns]
            for pattern, counts in results["instructions"].items()]
    return Table("Instructions for each malloc and free", ["pattern"] + columns, rows)


def tables(results):
    """All tables that there are results for."""
    made = []
    if results["patterns"]:
        made += [pattern_table(results, metric) for metric in (TIME_MEDIAN, TIME_LOWEST, PEAK)]
        made += [floor.table(results)] if FLOOR in names_and_floor(results) else []
    if results["memory"] or results["startup"]:
        made.append(memory_table(results))
    if results["rss"]:
        made.append(rss.table(results))
    if results["latency"]:
        made += [latency.table(results, key) for key in latency.KEYS]
    if results["instructions"]:
        made.append(instruction_table(results))
    return made


def failures(results):
    """Lines that tell which runs failed and how; what is too much for the floor did not fail."""
    parts = [results[part] for part in ("patterns", "memory", "latency")]
    parts.append({"rss": results["rss"]})
    return [f"{name}: {allocator}: {summary['failure']}"
            for part in parts for name, summaries in part.items()
            for allocator, summary in summaries.items()
            if "failure" in summary and not floor.is_left_out(allocator, summary)]


def markdown(results):
    """The whole report: machine, versions, tables, failures."""
    versions = ", ".join(f"{allocator['name']} {allocator['version']}".strip()
                         for allocator in results["allocators"])
    head = ["# Results", "", f"Machine: {'; '.join(results['machine'])}.", "",
            f"Allocators: {versions}.", "",
            f"{results['rounds']} interleaved rounds at {results['scale']:g} of the full work. "
            "A ratio below 1 means that less was used than by that peer.", ""]
    parts = ["\n".join(head)] + [table.markdown() for table in tables(results)]
    failed = failures(results)
    if failed:
        parts.append("\n".join(["## Failed runs", ""] + [f"- {line}" for line in failed]) + "\n")
    return "\n".join(parts)
