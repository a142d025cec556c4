#!/bin/sh
# The probes of base/probe.h: the library's notes have each of them, with its arguments, and where
# one is the code has a nop, which nobody has to enable: there is no semaphore.
#
# Environment: ACRE_PROBES, yes if they were configured.
set -eu

library=../../lib/.libs/libacre.so
if [ "${ACRE_PROBES-}" != yes ]; then
    echo "configured without probes"
    exit 77
fi

# "NAME LOCATION SEMAPHORE ARGUMENTS" for each note.
LC_ALL=C readelf --notes --wide "$library" | awk '
    /Provider: / { acre = $NF == "acre" }
    $1 == "Name:" { name = $2 }
    $1 == "Location:" { place = $2; semaphore = $6 }
    $1 == "Arguments:" && acre { print name, substr(place, 1, length(place) - 1), semaphore, NF - 1 }
' >probes.found

for probe in slab_made:2 slab_released:2 memory_returned:2 misuse:2 sample:3; do
    grep -q "^${probe%:*} 0x[0-9a-f]* 0x0* ${probe#*:}$" probes.found || {
        echo "no note of the probe ${probe%:*} with ${probe#*:} arguments:" >&2
        cat probes.found >&2
        exit 1
    }
done
if [ "$(cut -d ' ' -f 1 probes.found | sort -u | wc -l)" -ne 5 ]; then
    echo "other probes than this test knows:" >&2
    cat probes.found >&2
    exit 1
fi

while read -r name place rest; do
    LC_ALL=C objdump -d --start-address="$place" --stop-address=$((place + 4)) "$library" |
        grep -m 1 -E '^ *[0-9a-f]+:' | grep -q nop || {
        echo "probe $name at $place ($rest): no nop" >&2
        exit 1
    }
done <probes.found
echo "$(wc -l <probes.found) places of 5 probes"
