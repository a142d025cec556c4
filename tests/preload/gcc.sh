# The C compiler, with optimization and debug information: equal object files, and the program built
# from them runs.
. "$(dirname "$0")/common.sh"
need gcc awk

awk 'BEGIN {
    print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
    for (i = 0; i < 120; i++) {
        print "struct s" i " { int a[" i % 7 + 1 "]; const char *text; struct s" i " *next; };"
        print "static long f" i "(long x) {"
        print "    struct s" i " s = { { " i " }, \"text " i "\", NULL };"
        print "    for (int k = 0; k < 10; k++)"
        print "        switch ((x + k) % 5) {"
        print "        case 0: x += s.a[0]; break;"
        print "        case 1: x ^= (long)strlen(s.text) << " i % 13 "; break;"
        print "        case 3: x = x * 31 + k; break;"
        print "        default: x -= " i ";"
        print "        }"
        print "    return x;\n}"
    }
    print "int main(void) {\n    long x = 1;"
    for (i = 0; i < 120; i++)
        print "    x = f" i "(x) & 0xffffffff;"
    print "    printf(\"%ld\\n\", x);\n    return 0;\n}"
}' >program.c

for mode in plain acre; do
    in_mode "$mode" gcc -O2 -g -c program.c -o "$mode.o" || fail "gcc: $mode"
    in_mode "$mode" gcc "$mode.o" -o "$mode.program" || fail "link: $mode"
    in_mode "$mode" "./$mode.program" >"$mode.output" || fail "program: $mode"
done
expect_same plain.o acre.o
expect_same plain.output acre.output
expect_bound gcc
expect_bound cc1
passed
