"""Where the malloc of a real program comes from.

A preloaded library that the dynamic linker cannot use is only warned about, and a program that is
linked with an allocator may use that one: a run would count for the wrong allocator. So the
linker's own log of a short run of each binary is read before anything is measured.
"""

import os
import re
import subprocess

from programs_process import RunFailure

PROBE_SECONDS_MAX = 60

_ALLOCATING = ("malloc", "calloc", "realloc")
_FUNCTIONS = _ALLOCATING + ("free", "posix_memalign", "aligned_alloc", "memalign")
_BINDING = re.compile(r"binding file (\S+) \[\d+\] to (\S+) \[\d+\]: normal symbol `(\w+)'")


def parse_bindings(lines):
    """The bindings of allocation functions in the dynamic linker's log: a set of (file, target,
    function)."""
    found = filter(None, map(_BINDING.search, lines))
    return {(os.path.realpath(file), os.path.realpath(target), function)
            for file, target, function in (match.groups() for match in found)
            if function in _FUNCTIONS}


def read_bindings(command, environment):
    """What the dynamic linker bound in a short run of a program: parse_bindings' set."""
    # Its log is in standard error: a file could not be written by a program that changes its user.
    debug = {"LD_DEBUG": "bindings", "LD_BIND_NOW": "1"}
    done = subprocess.run(command, env=environment | debug, stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False,
                          timeout=PROBE_SECONDS_MAX)
    return parse_bindings(done.stderr.decode(errors="replace").splitlines())


def misbound(bindings, program, library):
    """Why the program cannot be said to run on the library's malloc; "" if it can.

    A program at a fixed address that takes the address of malloc offers the others its own jump to
    malloc, so a binding to a file whose own one leads to the library is as good.
    """
    program, library = os.path.realpath(program), os.path.realpath(library)
    reaching = {(file, function) for file, target, function in bindings if target == library}
    for file, target, function in sorted(bindings):
        if library not in (file, target) and (target, function) not in reaching:
            return f"{function} of {os.path.basename(file)} comes from {target}"
    if not any((program, function) in reaching for function in _ALLOCATING):
        return f"{os.path.basename(program)} takes no malloc from {library}"
    return ""


def find_c_library(bindings):
    """The C library's file among those in the log."""
    files = {name for file, target, _ in bindings for name in (file, target)}
    found = [name for name in sorted(files) if os.path.basename(name).startswith("libc.so.")]
    if not found:
        raise RunFailure("the dynamic linker's log names no C library")
    return found[0]


def preload_environment(probes, allocator, environment):
    """The environment that runs a program on an allocator, known to do so.

    `probes` are as Program.probes gives them. Without a library to preload the C library's malloc
    is wanted; a program that is linked with an allocator, as Debian's redis-server is, gets the C
    library preloaded for that. RunFailure if a binary has its malloc from elsewhere.
    """
    wanted = allocator.environment() | environment
    library = allocator.path
    if library is None:
        binary, command = probes[0]
        bindings = read_bindings(command, wanted)
        library = find_c_library(bindings)
        if misbound(bindings, binary, library):
            wanted["LD_PRELOAD"] = library
    for binary, command in probes:
        why = misbound(read_bindings(command, wanted), binary, library)
        if why:
            raise RunFailure(why)
    return wanted
