# gdb on a program with acre preloaded: it stops, calls malloc and free in the program, follows a child,
# steps through its malloc, shows the stack, and the child ends well.
. "$(dirname "$0")/common.sh"
need gdb
program=$(realpath "${top_builddir:-../..}/tests/preload/damage") || exit 1

cat >commands <<'END'
set confirm off
set pagination off
set breakpoint pending on
set environment LD_PRELOAD LIBRARY
set startup-with-shell off
break stop_here
run none
print "usable", ((unsigned long (*)(void *))malloc_usable_size)(block)
set $new = ((char *(*)(unsigned long))malloc)(5000000)
print "writable", ($new[4999999] = 7)
call ((void (*)(void *))free)($new)
delete
set follow-fork-mode child
set detach-on-fork on
tbreak malloc
continue
stepi 10
backtrace
finish
continue
END
sed -i "s|LIBRARY|$library|" commands
gdb -q -batch -ex 'break main' -ex run "$program" >try.log 2>&1
grep -q '^Breakpoint 1, ' try.log || skip "gdb cannot start a program here"
timeout -k 5 "$run_seconds" gdb -q -nx -batch -x commands "$program" >gdb.output 2>&1 || fail "gdb ends with an error"
cp gdb.output gdb.log
expect() {
    grep -qE "$1" gdb.output || fail "gdb: $2"
}
expect 'stop_here \(' "it has not stopped"
expect '= 1[0-9][0-9]$' "malloc_usable_size cannot be called"
expect '= 7( |$)' "a new block cannot be written"
expect '^#[0-9]+ .*malloc \(' "the stack does not have malloc"
expect '^#[0-9]+ .*main \(' "the stack does not lead to main"
expect 'exited normally' "the child has not ended well"
rm -f try.log
passed
