# The C++ compiler on templates of the standard library, and the linker: equal object files.
bench=$(cd "$(dirname "$0")/../../bench" && pwd)
. "$(dirname "$0")/common.sh"
need g++

for mode in plain acre; do
    in_mode "$mode" g++ -std=c++17 -O2 -g -fPIC -DWORK=2 -c "$bench/inputs/work.cc" -o "$mode.o" ||
        fail "g++: $mode"
    in_mode "$mode" g++ -shared "$mode.o" -o "$mode.so" || fail "link: $mode"
done
expect_same plain.o acre.o
expect_bound g++
expect_bound cc1plus
passed
