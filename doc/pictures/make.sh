#!/bin/bash
# Makes heap-map.png and flame-graph.png: redis-server on acre with keys of several types, two thirds of the
# strings deleted; its heap map by acre-inspect and its flame graph by acre-profile, as Chromium shows them.
#
#   doc/pictures/make.sh BUILD-DIRECTORY
#
# Needs redis-server, redis-tools, chromium and python3.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tools=$(cd "$1" && pwd)/tools
work=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; wait; rm -rf "$work"' EXIT

"$tools/acre-run" --options profile:8K -- redis-server --port 0 --unixsocket "$work/socket" --save '' \
    --dir "$work" >"$work/log" &
server=$!
until [ -S "$work/socket" ]; do sleep 0.1; done
client() { redis-cli -s "$work/socket" "$@"; }
benchmark() { redis-benchmark -q -s "$work/socket" -r 1000000 "$@" >/dev/null; }

benchmark -t lpush,hset,zadd,sadd -n 30000 -d 300
benchmark -t set -n 60000 -d 20
benchmark -t set -n 20000 -d 1500
client eval "for _, key in ipairs(redis.call('keys', 'key:*')) do
    if math.random(3) > 1 then redis.call('del', key) end end" 0 >/dev/null
"$tools/acre-inspect" --html "$work/heap.html" "$server"
"$tools/acre-profile" dump -o "$work/stacks.html" "$server"
PYTHONPATH=$here/../../tests/inspect python3 - "$work" "$here" <<'END'
import base64, pathlib, sys
from browser import Browser

work, here = map(pathlib.Path, sys.argv[1:])
browser = Browser()


def picture(page, name, first, most, point):
    """The page from an element to the end of the map, at most that high, with the tooltip at a point of it."""
    browser.open(work / page)
    browser.size(1000, 1400)
    box = browser.value(f"(() => {{ const a = document.querySelector('{first}').getBoundingClientRect(),"
                        " m = document.querySelector('#map').getBoundingClientRect();"
                        " return [a.top - 12, m.left, m.top, m.height]; })()")
    top, left, map_top, height = box
    bottom = min(map_top + height + 12, top + most)
    browser.mouse("mouseMoved", left + point[0], map_top + point[1])
    browser.settle()
    data = browser.call("Page.captureScreenshot", format="png",
                        clip={"x": 0, "y": max(top, 0), "width": 1000, "height": bottom - top, "scale": 1})
    (here / name).write_bytes(base64.b64decode(data["data"]))


picture("heap.html", "heap-map.png", "#heaps", 660, (620, 210))
picture("stacks.html", "flame-graph.png", "#graph", 770, (100, 250))
browser.close()
END
