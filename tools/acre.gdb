# Commands for gdb that show what acre's heaps hold, in the process or core that gdb looks at:
#
#   acre-find ADDRESS         what an address is, any expression: acre-find p, acre-find $rdi
#   acre-inspect [OPTION...]  everything, or what the options of acre-inspect(1) ask for
#
# "source" this file, in .gdbinit or by hand. acre-inspect, which does the work, must be in PATH.
# Nothing is called in the process, so its state does not matter.

python
import gdb
import re
import shlex
import subprocess


def acre_target():
    """What acre-inspect is to read: the id of the process, or the core's file name."""
    files = gdb.execute("info files", to_string=True)
    pid = gdb.selected_inferior().pid
    if "Using the running image of" in files and pid != 0:
        return str(pid)
    core = re.search(r"core dump file:\s+[`'](.*)', file type", files)
    if core:
        return core.group(1)
    raise gdb.GdbError("acre: there is no process of this machine, and no core")


def acre_run(arguments):
    command = ["acre-inspect"] + arguments + [acre_target()]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
    except OSError as error:
        raise gdb.GdbError("acre: acre-inspect cannot be run: %s" % error.strerror)
    gdb.write(done.stdout.decode("utf-8", "replace"))
    if done.returncode != 0:
        raise gdb.GdbError("acre: acre-inspect has failed")


class AcreFind(gdb.Command):
    """acre-find ADDRESS: what an address is in acre's heaps.

ADDRESS is an expression. Says the block that it lies in, its size and state, the arena and
thread that it belongs to, and the blocks beside it."""

    def __init__(self):
        super().__init__("acre-find", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("acre-find: an address is missing")
        value = gdb.parse_and_eval(argument)
        if value.type.strip_typedefs().code == gdb.TYPE_CODE_ARRAY:
            value = value.address
        acre_run(["--find", hex(int(value) & (1 << 64) - 1)])


class AcreInspect(gdb.Command):
    """acre-inspect [OPTION...]: what acre's heaps hold.

The options are those of the program acre-inspect; "acre-inspect --help" lists them."""

    def __init__(self):
        super().__init__("acre-inspect", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        acre_run(shlex.split(argument))


AcreFind()
AcreInspect()
end
