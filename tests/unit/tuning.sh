#!/bin/sh
# Every row of the table in doc/tuning.md names a constant that stands in that file of lib/ with that
# value: NAME = VALUE in an enum, #define NAME VALUE, or an option's [NAME] = {... DEFAULT(VALUE).
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

awk -F ' *[|] *' '
function fail(message) {
    print "doc/tuning.md:" row ": " message > "/dev/stderr"
    faults++
}

# True if the line has the text, and what follows is no part of the value at its end.
function has(line, text,    at) {
    at = index(line, text)
    return at != 0 && substr(line, at + length(text)) ~ /^([,;)]| *}|$)/
}

$2 ~ /^[A-Z][A-Z0-9_]+$/ {
    row = FNR
    rows++
    name = $2
    value = $3
    gsub(/`/, "", value)
    file = "lib/" $4
    found = 0
    while ((getline line < file) > 0) {
        before = substr(line, 1, index(line, name) - 1)
        if (before ~ /[A-Za-z0-9_]$/)
            continue
        if (has(line, name " = " value) || line == "#define " name " " value ||
            line == "#define " name " (" value ")" ||
            (index(line, "[" name "] = {") != 0 && has(line, "DEFAULT(" value)))
            found = 1
    }
    close(file)
    if (!found)
        fail(name " = " value " is not in " file)
}

END {
    if (rows < 50) {
        print "doc/tuning.md: " rows + 0 " rows, too few to be all" > "/dev/stderr"
        exit 1
    }
    if (faults > 0)
        exit 1
    print rows " constants, all as in the code"
}
' doc/tuning.md
