"""Made-up heap profiles, as acre-profile puts them into its page, and their figures.

The figures are counted here from the stacks one by one, not as the page does it.
"""

import math
import random

INTERVAL = 65536
LONG = "std::map<" + "std::pair<int, std::vector<char> >, " * 90 + "long>::insert(" + "int, " * 60 + "int)"
MARKUP = "</script><img src=x onerror=\"document.title='bad'\"><b id=bad>"
UNSEEN = "turn\x1b[31m\u202eround\u200b\n"
NAMES = ["main", "serve", "parse", "grow", MARKUP, UNSEEN, LONG, "0x7f0012345678",
         "(anonymous namespace)::Pool::operator()(int)", "<alloc::Vec<u8> as Clone>::clone", "visit"]
MAIN, SERVE, PARSE, GROW, BAD, TURN, LENGTHY, RAW, POOL, CLONE, VISIT = range(len(NAMES))
MODULES = ["server", "libc.so.6", "<i id=bad>", "a.so", "b.so", "c.so", "d.so", "e.so", "f.so", "g\x07.so"]
FILES = ["src/main.c:10", "src/serve.c:20", "src/serve.c:25", "src/parse.c:7", "<u id=bad>:1"]
FRAMES = [[MAIN, 0, 0], [SERVE, 0, 1], [SERVE, 0, 2], [PARSE, 0, 3, 1], [GROW, 1, -1], [BAD, 2, 4],
          [TURN, 3, -1], [LENGTHY, 4, -1], [RAW, -1, -1], [POOL, 5, -1], [CLONE, 6, -1], [VISIT, 7, -1],
          [VISIT, 8, -1], [VISIT, 9, -1], [-1, -1, -1]]
M, S1, S2, P, G, B, T, L, R, O, C, V1, V2, V3, N = range(len(FRAMES))


def stack(frames, live, size, total, peak, since, age, pinned):
    """Blocks of one size, or of several: [(size, blocks)]."""
    sizes = size if isinstance(size, list) else [(size, live)]
    each = sum(s * n for s, n in sizes) / max(1, sum(n for _, n in sizes)) or 64
    lives = sum(s * n for s, n in sizes)
    shares = [lives * part / max(1, sum(age)) for part in age]
    return {"f": frames, "live": [lives, live], "all": [total * each, total],
            "peak": [peak * each, peak], "since": [since * each, since], "age": shares,
            "pinned": pinned, "sizes": [[s, s * n] for s, n in sizes if n][:5]}


def small():
    """Names like markup, recursion, two lines of a function, inlining, no stack, more modules than hues."""
    data = {
        "version": "0.1.0", "program": MARKUP, "pid": 123, "from": "process 123",
        "when": "2026-11-30T17:00:00Z", "seconds": 93.2, "interval": INTERVAL, "first_interval": 8192,
        "stopped": False, "marked": True, "taken": 9000, "live_samples": 812, "thinned": 41,
        "lost_stacks": 3, "changed": 1, "value": "live", "part": "", "names": NAMES, "modules": MODULES, "files": FILES,
        "frames": FRAMES, "stacks": [
            stack([G, P, S1, M], 4000, 1024, 9000, 5000, 100, [0, 0, 1, 0, 0, 3], 40960),
            stack([G, P, S2, M], 1500, 2048, 1500, 1500, 0, [0, 0, 0, 0, 0, 1], 8192),
            stack([G, S2, M], 12, 1 << 20, 40, 14, 12, [1, 1, 0, 0, 0, 0], 0),
            stack([B, T, S1, M], 900, [(512, 300), (1024, 300), (4096, 300)], 2000, 950, 5,
                  [0, 1, 1, 1, 1, 0], 4096),
            stack([T, T, B, T, M], 700, 3072, 800, 700, 0, [0, 0, 0, 1, 0, 0], 0),
            stack([L, C, O, M], 600, 4096, 700, 600, 0, [0, 0, 0, 0, 1, 0], 0),
            stack([V1, V2, V3, R, R], 300, 8192, 300, 300, 300, [1, 0, 0, 0, 0, 0], 12288),
            dict(stack([], 100, 16384, 100, 100, 100, [1, 0, 0, 0, 0, 0], 0), sizes=[[0, 1638400]]),
            stack([N, M], 40, 8192, 50, 40, 0, [1, 0, 0, 0, 0, 0], 0),
            stack([P, M], 0, 64, 50000, 0, 0, [0] * 6, 0),
            stack([L, P, M], 1, 64, 1, 1, 1, [1, 0, 0, 0, 0, 0], 0),
        ]}
    return data


def many(stack_count=20000, depth=64, functions=3000):
    """Stacks as programs have them: each goes on from a part of another one."""
    rng = random.Random(7)
    stacks, paths = [], [[0]]
    for _ in range(stack_count):
        base = rng.choice(paths)
        path = base[:rng.randint(1, len(base))]
        while len(path) < depth:
            path = path + [rng.randrange(functions)]
        paths.append(path)
        size = rng.choice([16, 48, 128, 1024, 4096, 65536])
        stacks.append(stack(path[::-1], int(rng.paretovariate(1.1) * 100), size, 5000, 100, 0,
                            [rng.random() for _ in range(6)], 0))
    names = [f"function_{i}" for i in range(functions)]
    return dict(small(), names=names, modules=["program", "libc.so.6"], files=["a.c:1"],
                frames=[[i, i % 2, -1] for i in range(functions)], stacks=stacks, program="many")


# ---- the figures, counted here ----

VALUES = {"live": ("live", 0), "live-blocks": ("live", 1), "all": ("all", 0), "all-blocks": ("all", 1),
          "peak": ("peak", 0), "peak-blocks": ("peak", 1), "since": ("since", 0),
          "since-blocks": ("since", 1), "pinned": ("pinned", 0)}


def value_of(one, value):
    key, member = VALUES[value]
    return one["pinned"] if key == "pinned" else one[key][member]


def function_of(data, frame):
    return tuple(data["frames"][frame][:2]) if frame >= 0 else (-2, -1)


def tree_of(data, value, callers=False, by_line=False, focus=None):
    """The values of all paths: {(id, id, ...): value}; () is all."""
    found = {}
    for one in data["stacks"]:
        path = one["f"] or [-1]
        path = path if callers else path[::-1]
        ids = [function_of(data, frame) for frame in path]
        if focus is not None:
            if focus not in ids:
                continue
            path, ids = path[ids.index(focus):], ids[ids.index(focus):]
        keys = tuple(path if by_line else ids)
        for end in range(len(keys) + 1):
            found[keys[:end]] = found.get(keys[:end], 0) + value_of(one, value)
    return found


AGES = ["< 1 s", "1 s to 10 s", "10 s to 1 min", "1 min to 10 min", "10 min to 1 h", "> 1 h"]


def mean_age(one):
    return sum(step * part for step, part in enumerate(one["age"])) / max(1, sum(one["age"]))


def age_of(one):
    """Of its median byte."""
    return next(age for step, age in enumerate(AGES) if 2 * sum(one["age"][:step + 1]) >= sum(one["age"]))


def deviation(blocks_of):
    """Of bytes, relative, of [(size, blocks)]; and the number of samples."""
    variance = total = samples = 0
    for size, blocks in blocks_of:
        chance = 1 - math.exp(-size / INTERVAL)
        samples += blocks * chance
        variance += blocks * chance * (1 - chance) * (size / chance) ** 2
        total += size * blocks
    return math.sqrt(variance) / total, samples
