#!/bin/sh
# mandoc has no warning about the man pages. Its remarks on style, such as long source lines, do not
# count.
set -eu

pages=${srcdir:-$(dirname "$0")}/../../man
command -v mandoc >/dev/null || {
    echo "skipped: mandoc is not installed"
    exit 77
}
# -W warning is the lowest level that is printed and that the exit status counts. What mandoc prints on
# standard error is about the data base of manuals of this machine.
mandoc -T lint -W warning "$pages/acre-run.1" "$pages/acre-inspect.1" "$pages/acre-profile.1" \
    "$pages/libacre.3" || {
    echo "mandoc -T lint warns of the above" >&2
    exit 1
}
