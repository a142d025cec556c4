#!/bin/sh
# mandoc has no warning about the man pages. (What it calls style, such as long lines of the source, it
# may have.)
set -eu

pages=${srcdir:-$(dirname "$0")}/../../man
command -v mandoc >/dev/null || {
    echo "skipped: mandoc is not installed"
    exit 77
}
# -W warning is both what it prints and what its exit status tells. Its advice about a data base of
# manuals is for this machine's, on standard error.
mandoc -T lint -W warning "$pages/acre-run.1" "$pages/libacre.3" || {
    echo "mandoc -T lint warns of the above" >&2
    exit 1
}
