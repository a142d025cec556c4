"""Inputs that are made by rule, equal each time: text, C source, the history of a repository."""

import random
import subprocess

REPOSITORY_FILES = 60
REPOSITORY_LINES = 300


def write_text(path, lines):
    """Lines of numbers and words, not sorted, some of them equal."""
    numbers = random.Random(1)
    words = [f"{numbers.choice('bcdfgklmnprst')}{numbers.choice('aeiou')}" * (i % 4 + 1)
             for i in range(200)]
    with open(path, "w", encoding="ascii") as file:
        for _ in range(lines):
            number = numbers.randrange(lines)
            file.write(f"{number} {words[number % 200]} {words[number // 7 % 200]} "
                       f"{number * 31 % 1009}\n")


def write_xml(path, records):
    """An XML document of records with attributes and children."""
    numbers = random.Random(3)
    with open(path, "w", encoding="ascii") as file:
        file.write("<?xml version=\"1.0\"?>\n<records>\n")
        for number in range(records):
            parts = "".join(f"<part>part {numbers.randrange(10**6)}</part>"
                            for _ in range(numbers.randrange(6)))
            file.write(f'<record number="{number}" price="{numbers.randrange(10**5)}">'
                       f"<name>name {numbers.randrange(10**9):x}</name>"
                       f"<place>place {numbers.randrange(200)}</place>{parts}</record>\n")
        file.write("</records>\n")


def write_c_source(path, functions):
    """A C file of structures, loops and switches."""
    with open(path, "w", encoding="ascii") as file:
        file.write("#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n")
        for i in range(functions):
            file.write(f"""
struct s{i} {{
    int a[{i % 7 + 1}];
    const char *text;
    struct s{i} *next;
}};

static long f{i}(long x)
{{
    struct s{i} s = {{{{{i}}}, "text {i}", NULL}};
    long table[{i % 13 + 4}] = {{0}};
    for (int k = 0; k < 40; k++) {{
        switch ((x + k) % 6) {{
        case 0: x += s.a[0]; break;
        case 1: x ^= (long)strlen(s.text) << {i % 13}; break;
        case 2: table[k % {i % 13 + 4}] += x; break;
        case 3: x = x * 31 + k; break;
        case 4: if (x > {i}) x -= table[{i % 4}]; else x += f{i - 1 if i else 0}(x & 7); break;
        default: x -= {i};
        }}
    }}
    for (int k = 0; k < {i % 13 + 4}; k++)
        x += table[k] * {i % 5 + 1};
    return x;
}}
""")
        file.write("\nint main(void)\n{\n    long x = 1;\n")
        for i in range(functions):
            file.write(f"    x = f{i}(x) & 0xffffffff;\n")
        file.write('    printf("%ld\\n", x);\n    return 0;\n}\n')


def _write_history(stream, commits):
    """Commits for git fast-import, each of which changes one of the files."""
    numbers = random.Random(2)
    files = [[f"line {line} of file {i}: {numbers.randrange(1 << 40):x}"
              for line in range(REPOSITORY_LINES)] for i in range(REPOSITORY_FILES)]
    for number in range(commits):
        which = numbers.randrange(REPOSITORY_FILES)
        for _ in range(1 + number % 9):
            line = numbers.randrange(REPOSITORY_LINES)
            files[which][line] = f"line {line}, commit {number}: {numbers.randrange(1 << 60):x}"
        text = "\n".join(files[which]) + "\n"
        stream.write(f"commit refs/heads/main\ncommitter A <a@example.org> {10**9 + number} +0000\n"
                     f"data 6\nchange\nM 644 inline folder{which % 7}/file{which}\n"
                     f"data {len(text)}\n{text}\n")


def make_repository(git, path, commits, environment):
    """A bare repository, packed by one thread so that packing it again gives the same pack."""

    def run(*arguments, **options):
        subprocess.run([git] + list(arguments), env=environment, check=True,
                       stderr=subprocess.DEVNULL, **options)

    run("init", "-q", "--bare", "-b", "main", path)
    for key, value in (("pack.threads", "1"), ("gc.auto", "0"), ("pack.window", "20"),
                       ("repack.writeBitmaps", "false")):
        run("-C", path, "config", key, value)
    with subprocess.Popen([git, "-C", path, "fast-import", "--quiet"], env=environment,
                          stdin=subprocess.PIPE, text=True) as importer:
        _write_history(importer.stdin, commits)
        importer.stdin.close()
    if importer.returncode != 0:
        raise subprocess.CalledProcessError(importer.returncode, "git fast-import")
