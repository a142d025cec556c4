#!/bin/bash
# The heap map of acre-inspect, in Chromium with real clicks (html.py): of a process whose names look
# like markup, of a busy one, of a core, and of one with 10 GiB in 500 arenas.
#
# Environment: ACRE_PICTURES, a directory for pictures of the page, which is to be looked at.
set -euo pipefail

. "${srcdir:-.}/browser.sh"
script=${srcdir:-.}/html.py
directory=$(mktemp -d)
. "${srcdir:-.}/subject.sh"
subject_seconds=120
subject_at=$directory # a core is written there
page=$directory/page.html

ulimit -c unlimited 2>/dev/null || : # for the subject, which is started first
inspect=$PWD/../../tools/acre-inspect
programs=$PWD

echo "a process: clicks, keys, pictures"
start_subject "$programs/many" 7 12
"$inspect" --html "$page" "$subject_id"
read -r _ block _ large <"$directory/out"
python3 -B "$script" "$page" "$block" "$large" ${ACRE_PICTURES:+"$ACRE_PICTURES"} ||
    fail "the page is not right"
! "$inspect" --html "$directory/none/page.html" "$subject_id" 2>/dev/null || fail "no such directory"
! "$inspect" --html "$page" --arena 1 "$subject_id" 2>/dev/null || fail "--arena goes with --html"
if has_cores; then
    echo "a core"
    kill -ABRT "$subject_id"
    end_subject 2>/dev/null
    # the one that it has just left
    for core in "$directory"/core*; do
        "$inspect" --html "$page" "$core"
        python3 -B "$script" --open "$page" >/dev/null || fail "the page of a core is not right"
        grep -q '"core":true' "$page" || fail "the page is not that of a core"
        rm "$core"
    done
fi
end_subject

echo "a process of which nothing is live"
start_subject "$programs/many" 0 0
"$inspect" --html "$page" "$subject_id"
python3 -B "$script" --open "$page" >/dev/null || fail "the page of no live block is not right"
end_subject

echo "a busy process"
start_subject "$programs/subject" busy
for _ in 1 2 3; do
    "$inspect" --html "$page" "$subject_id"
done
python3 -B "$script" --open "$page" >/dev/null || fail "the page of a busy process is not right"
end_subject

if [ "$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)" -ge 3000000 ]; then
    # with huge pages it would take 7 GiB of memory
    start_subject env ACRE_OPTIONS=huge_pages:never "$programs/many" 500 20
    "$inspect" --html "$page" "$subject_id"
    end_subject
    size=$(stat -c %s "$page")
    echo "10 GiB in 500 arenas: $size bytes, drawn after $(python3 -B "$script" --open "$page") ms"
    [ "$size" -lt 5000000 ] || fail "5 MB are to be enough"
fi
echo "all right"
