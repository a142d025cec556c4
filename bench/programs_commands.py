"""Real programs that run once from start to end: interpreters, compilers and tools."""

import glob
import os
import subprocess

import programs_inputs
from programs_process import Program, digest_file

INPUTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inputs")


class Command(Program):
    """A program whose work is one command. In `arguments`, {inputs} is the folder of that name,
    {folder} the program's own one and {work} the amount; `result` is the file that it writes, where
    its output is not on standard output."""

    arguments = ()
    stdin = None
    result = "{folder}/output"

    def __init__(self):
        super().__init__()
        self.amount = self.work

    def fill(self, text):
        """A text with its places filled in."""
        return text.format(inputs=INPUTS, folder=self.folder, work=self.amount)

    def prepare(self, folder, work):
        self.folder, self.amount = folder, work
        self.make_input()

    def make_input(self):
        """Makes what the command reads, if that is no file of the source."""

    def run(self, start):
        output = os.path.join(self.folder, "output")
        command = [self.path()] + [self.fill(argument) for argument in self.arguments]
        with start(command, stdin=self.stdin and self.fill(self.stdin), output=output) as process:
            usage = process.finish()
        return usage, digest_file(self.fill(self.result))


class Python(Command):
    """CPython, all of its objects by malloc."""

    name = "python"
    executables = ("python3",)
    work = 10
    arguments = ("-B", "{inputs}/work.py", "{work}")
    environment = {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"}

    def missing(self):
        # A wrapper of that name in PATH would be measured as well.
        system = "/usr/bin/python3"
        if os.access(system, os.X_OK):
            self.paths["python3"] = system
            return None
        return super().missing()


class Lua(Command):
    """Lua 5.4."""

    name = "lua"
    executables = ("lua5.4",)
    work = 8
    arguments = ("{inputs}/work.lua", "{work}")

    def probes(self):
        return [(self.path(), [self.path(), "-v"])]


class Perl(Command):
    """Perl."""

    name = "perl"
    executables = ("perl",)
    work = 10
    arguments = ("{inputs}/work.pl", "{work}")
    environment = {"PERL_HASH_SEED": "0"}

    def probes(self):
        return [(self.path(), [self.path(), "-e", 'print "perl $^V\\n"'])]


class Node(Command):
    """Node.js, whose objects lie in the engine's own heap."""

    name = "node"
    executables = ("node",)
    work = 25
    arguments = ("{inputs}/work.js", "{work}")


class Sqlite(Command):
    """The sqlite3 shell on a data base in memory."""

    name = "sqlite"
    executables = ("sqlite3",)
    work = 120_000
    arguments = ("-batch", "-cmd", ".parameter set :rows {work}", ":memory:")
    stdin = "{inputs}/work.sql"


class CCompiler(Command):
    """The C compiler on a long file."""

    name = "gcc"
    executables = ("gcc",)
    compiler = "cc1"
    work = 150
    arguments = ("-O2", "-c", "{folder}/program.c", "-o", "{folder}/program.o")
    result = "{folder}/program.o"

    def make_input(self):
        programs_inputs.write_c_source(os.path.join(self.folder, "program.c"), self.amount)

    def probes(self):
        done = subprocess.run([self.path(), f"-print-prog-name={self.compiler}"],
                              capture_output=True, text=True, check=True)
        compiler = done.stdout.strip()
        return super().probes() + [(compiler, [compiler, "--version"])]


class CxxCompiler(CCompiler):
    """The C++ compiler on templates."""

    name = "g++"
    executables = ("g++",)
    compiler = "cc1plus"
    work = 2
    arguments = ("-std=c++17", "-O2", "-DWORK={work}", "-c", "{inputs}/work.cc", "-o",
                 "{folder}/program.o")

    def make_input(self):
        pass


class Git(Command):
    """git repack of a repository that was packed before: all deltas are found anew."""

    name = "git"
    executables = ("git",)
    work = 3000
    arguments = ("-C", "{folder}/repository", "repack", "-q", "-a", "-d", "-f")
    environment = {"GIT_CONFIG_NOSYSTEM": "1"}

    def make_input(self):
        environment = os.environ | self.environment | {"HOME": self.folder}
        programs_inputs.make_repository(self.path(), os.path.join(self.folder, "repository"),
                                        self.amount, environment)

    def run(self, start):
        usage, _ = super().run(start)
        packs = glob.glob(os.path.join(self.folder, "repository", "objects", "pack", "*.pack"))
        return usage, " ".join(digest_file(pack) for pack in sorted(packs))


class Sort(Command):
    """GNU sort with two threads."""

    name = "sort"
    executables = ("sort",)
    work = 500_000
    arguments = ("--parallel=2", "-S", "64M", "-T", "{folder}", "-k2,2", "-k1,1n", "{folder}/text")

    def make_input(self):
        programs_inputs.write_text(os.path.join(self.folder, "text"), self.amount)


class Xz(Sort):
    """xz with two threads."""

    name = "xz"
    executables = ("xz",)
    work = 150_000
    arguments = ("-T2", "-3", "--block-size=512KiB", "-c", "{folder}/text")


class Zstd(Sort):
    """zstd with two threads."""

    name = "zstd"
    executables = ("zstd",)
    work = 1_500_000
    arguments = ("-T2", "-9", "-q", "-c", "{folder}/text")


class Xslt(Command):
    """xsltproc: a document as a tree in memory, sorted and grouped."""

    name = "xslt"
    executables = ("xsltproc",)
    work = 80_000
    arguments = ("{inputs}/work.xsl", "{folder}/records.xml")

    def make_input(self):
        programs_inputs.write_xml(os.path.join(self.folder, "records.xml"), self.amount)


class Ghostscript(Command):
    """Ghostscript: pages of text and curves as one picture each."""

    name = "gs"
    executables = ("gs",)
    work = 30
    arguments = ("-q", "-dNOPAUSE", "-dBATCH", "-sDEVICE=png16m", "-r100", "-dpages={work}",
                 "-sOutputFile={folder}/output", "{inputs}/work.ps")


COMMANDS = (Python, Lua, Perl, Node, Sqlite, CCompiler, CxxCompiler, Git, Sort, Xz, Zstd, Xslt,
            Ghostscript)
