#!/bin/sh
# Checks lib/ against the table of folders and layers in lib/README.md. Fails, with a line for each
# fault, if a file includes a header of a higher layer or of a later folder, or of its own layer
# without a "+" in its row; if a file is not in the table or not in its folder; or if the table names
# a module that has no file.
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

awk '
function fail(message) {
    print message > "/dev/stderr"
    faults++
}

# The module that a file belongs to: its name without directory and suffix.
function module_of(path) {
    sub(/.*\//, "", path)
    sub(/\.[ch]$/, "", path)
    return path
}

# The folder in lib/ that a file is in.
function folder_of(path) {
    sub(/^lib\//, "", path)
    sub(/\/[^\/]*$/, "", path)
    return path
}

function trim(text) {
    gsub(/^[ \t`]+|[ \t`]+$/, "", text)
    return text
}

BEGIN {
    FS = "|"
    table = ARGV[1]
    for (i = 2; i < ARGC; i++)
        has_file[module_of(ARGV[i])] = folder_of(ARGV[i])
}

# A row of the table: | folder | layer | module, module ... | own |
FILENAME == table && trim($3) ~ /^[0-9]+[+]?$/ {
    folder = trim($2)
    if (folder != last_folder) {
        if (folder in order)
            fail(table ":" FNR ": the rows of " folder " are not next to each other")
        order[folder] = ++folders
        last_folder = folder
    }
    count = split($4, names, ",")
    for (i = 1; i <= count; i++) {
        module = trim(names[i])
        if (module in layer)
            fail(table ":" FNR ": " module " stands in the table twice")
        layer[module] = trim($3)
        home[module] = folder
        if (!(module in has_file))
            fail(table ":" FNR ": " module " has no file in lib/")
        else if (has_file[module] != folder)
            fail(table ":" FNR ": " module " is in lib/" has_file[module])
    }
}

# Headers from outside lib/ are not in the table.
FILENAME != table && /^[ \t]*#[ \t]*include[ \t]*["<]/ {
    header = $0
    sub(/^[^"<]*["<]/, "", header)
    sub(/[">].*/, "", header)
    from = module_of(FILENAME)
    to = module_of(header)
    if (!(from in layer) || !(to in layer) || header !~ /^[a-z]+\//)
        next
    if (header != home[to] "/" to ".h")
        fail(FILENAME ":" FNR ": " header " is " home[to] "/" to ".h")
    if (to == from)
        next
    includes++
    if (order[home[to]] > order[home[from]])
        fail(FILENAME ":" FNR ": " from " of " home[from] " includes " header)
    if (layer[to] + 0 > layer[from] + 0 || (layer[to] + 0 == layer[from] + 0 && layer[from] !~ /[+]/))
        fail(FILENAME ":" FNR ": " from " of layer " layer[from] " includes " header \
             " of layer " layer[to])
}

END {
    for (i = 2; i < ARGC; i++)
        if (!(module_of(ARGV[i]) in layer))
            fail(ARGV[i] ": " module_of(ARGV[i]) " is not in the table of " table)
    if (includes == 0)
        fail("no include of one file of lib/ by another was found to check")
    if (faults > 0)
        exit 1
    print includes " includes, all as the table allows"
}
' lib/README.md lib/*/*.[ch]
