"""Objects, strings, dictionaries and JSON; prints a checksum. Argument: how many rounds."""

import json
import sys
import zlib


class Node:
    """A tree of plain objects, each with a dictionary of its own."""

    def __init__(self, depth, number):
        self.number = number
        self.label = f"node {number}"
        self.children = [Node(depth - 1, number * 2 + i) for i in range(2)] if depth else []

    def total(self):
        """The sum over the tree."""
        return self.number + len(self.label) + sum(child.total() for child in self.children)


def document(seed, size):
    """Nested lists and dictionaries of `size` entries."""
    return {f"key {i}": {"list": list(range(i % 50)), "text": chr(233) * (i % 300),
                         "number": (i * seed) / 7, "nested": [{"i": i}] * (i % 4)}
            for i in range(size)}


def count_words(seed, lines):
    """Splits lines, counts words, joins them again."""
    counts, kept = {}, []
    for i in range(lines):
        line = " ".join(f"w{(i * k + seed) % 997}" for k in range(1, 12))
        for word in line.split():
            counts[word] = counts.get(word, 0) + 1
        kept.append(line.replace("w", str(i % 10)).upper())
        if len(kept) > 500:
            kept = kept[::2]
    return sorted(counts.items())[:50], "".join(kept)


def work(seed):
    """One round; a checksum of what it made."""
    text = json.dumps(document(seed, 1500), sort_keys=True)
    again = json.dumps(json.loads(text), sort_keys=True)
    assert again == text
    records = [(i * 7919 % 10007, str(i), [i, [i + seed]]) for i in range(20000)]
    records.sort()
    counts, kept = count_words(seed, 3000)
    parts = [text, str(Node(12, seed).total()), str(records[::1000]), str(counts), kept]
    return zlib.crc32("\n".join(parts).encode())


def main():
    """All rounds."""
    checksum = 0
    for seed in range(1, int(sys.argv[1]) + 1):
        checksum = (checksum * 31 + work(seed)) % 1000000007
    print(checksum)


main()
