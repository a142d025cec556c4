"""The table of latencies: percentiles of single calls, in nanoseconds."""

from table import Table, names, ratio, show

EMPTY = "empty-"  # how the names of measurements of nothing begin
KEYS = {"lowest": "lowest of the rounds", "value": "median of the rounds"}


def table(results, key):
    """Every percentile of every latency bench for each allocator; `key` is one of KEYS. With a
    subject: its ratio to the lowest of the others, but for empty measurements, which are the
    machine's."""
    columns, subject = names(results), results["subject"]
    rows = []
    for bench, summaries in results["latency"].items():
        figures = {name: None for summary in summaries.values()
                   for name in summary.get("figures", {})}
        for figure in figures:
            values = {name: summary["figures"][figure][key] for name, summary in summaries.items()
                      if "figures" in summary}
            cells = [show(values.get(name), 0) for name in columns]
            if subject:
                peers = [value for name, value in values.items() if name != subject]
                best = None if figure.startswith(EMPTY) else min(peers, default=None)
                cells.append(show(ratio(values.get(subject), best)))
            rows.append([f"{bench}: {figure.replace('-', ' ')}"] + cells)
    last = [f"{subject} / best peer"] if subject else []
    return Table(f"Latency of single calls in ns, {KEYS[key]}", ["call"] + columns + last, rows)
