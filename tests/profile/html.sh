#!/bin/bash
# The flame graph of a real process, in Chromium (tests/inspect/profile_html.py): that each box has
# the figures of the page's data, and that these are the known ones.
set -euo pipefail

. "${srcdir:-.}/../inspect/browser.sh"
directory=$(mktemp -d)
. "${srcdir:-.}/common.sh"
script=${srcdir:-.}/../inspect/profile_html.py
page=$directory/page.html

open_page() { # VALUE NAME=BYTES...
    python3 -B "$script" --open "$page" "$@" || fail "the page is not right"
}

echo "a process whose name looks like markup, each block recorded"
name='<i>&amp;"' # without `=`, which env would take
cp subject "$directory/$name"
start_filled smlpi "$directory/$name"
"$profile" mark "$subject_id" >/dev/null
sleep 0.01
tell s
kill -STOP "$subject_id"
"$profile" dump -o "$page" "$subject_id"
"$profile" dump -o "$directory/peak.html" --peak --older 3600 "$subject_id"
kill -CONT "$subject_id"
grep -q '"interval":1,"first_interval":1,' "$page" || fail "the interval: $(head -c 500 "$page")"
grep -qF '"program":"\u003ci>&amp;\""' "$page" || fail "the name: $(grep -o '"program":.\{40\}' "$page")"
open_page live small=$((2000 * 112)) middle=$((250 * 3072)) large=$((3 * 3145728)) sparse=$((400 * 64)) \
    inlined=$((2 * 768))
open_page all small=$((2000 * 112)) middle=$((500 * 3072)) sparse=$((400 * 64)) dense=$((200 * 62 * 64))
open_page since small=$((1000 * 112)) middle=0
page=$directory/peak.html
grep -q '"value":"peak","part":"at least 3600 s old"' "$page" || fail "what was asked for"
open_page live small=0
end_subject

echo "a process of which little is recorded, stopped"
start_subject "$PWD/subject"
"$profile" start --interval 64K --quiet "$subject_id" >/dev/null
for letter in s m l s m l s s s; do
    tell $letter
done
"$profile" stop "$subject_id" >/dev/null
page=$directory/page.html
"$profile" dump -o "$page" "$subject_id"
grep -q '"stopped":true' "$page" || fail "it was stopped"
open_page live large=$((6 * 3145728)) # larger than the interval by so much that each is recorded
end_subject

echo "all right"
