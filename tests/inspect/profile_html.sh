#!/bin/bash
# The flame graph of acre-profile, in Chromium with real clicks (profile_html.py): made-up profiles
# whose figures are known and whose names look like markup, and one of 20,000 stacks.
#
# Environment: ACRE_PICTURES, a directory for pictures of the page, which is to be looked at.
set -euo pipefail

. "${srcdir:-.}/browser.sh"
script=${srcdir:-.}/profile_html.py
template=${srcdir:-.}/../../tools/profile.html

echo "made-up profiles: clicks, keys, pictures"
python3 -B "$script" "$template" ${ACRE_PICTURES:+"$ACRE_PICTURES"}
echo "thousands of stacks"
python3 -B "$script" --many "$template"
echo "all right"
