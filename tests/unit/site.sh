#!/bin/sh
# The site that "make site" makes: each document and manual page is in it and can be reached from its first
# page; each local link, anchor, picture and entry of the search leads somewhere (site.py). A copy in which
# one of them does not is refused.
set -eu

source=$(cd "${srcdir:-$(dirname "$0")}/../.." && pwd)
check=$source/tests/unit/site.py
for tool in cmark-gfm mandoc python3; do
    command -v $tool >/dev/null || {
        echo "skipped: $tool is not installed"
        exit 77
    }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONDONTWRITEBYTECODE=1

python3 "$source/doc/site/make.py" "$source" "$work/site"
python3 "$check" "$source" "$work/site"

# Damages a copy by a command of sed; site.py must name the damage.
refused() { # FILE SED-COMMAND TEXT
    rm -rf "$work/damaged"
    cp -R "$work/site" "$work/damaged"
    sed -i "$2" "$work/damaged/$1"
    cmp -s "$work/site/$1" "$work/damaged/$1" && {
        echo "site.sh: \"$2\" changes nothing in $1" >&2
        exit 1
    }
    if said=$(python3 "$check" "$source" "$work/damaged" 2>&1) || ! echo "$said" | grep -q -- "$3"; then
        echo "site.sh: with \"$2\" in $1: $said" >&2
        exit 1
    fi
}
refused index.html 's|doc/fork.html|doc/forks.html|' 'doc/forks.html is not there'
refused doc/loading.html 's|id="dlopen"|id="dlopens"|' 'loading.html has no "dlopen"'
refused doc/tour.html 's|src="tour.svg"|src="tours.svg"|' 'tours.svg is not there'
refused index.js 's|"The_options"|"no_options"|' 'no_options'
refused site.css '1s|^|@import "https://example.org/x.css";|' 'from elsewhere'
mkdir "$work/more"
cp -R "$source/doc" "$source/man" "$work/more"
chmod -R u+w "$work/more"
for name in README.md CHANGELOG.md lib bench tests; do ln -s "$source/$name" "$work/more/$name"; done
echo '# Another' >"$work/more/doc/another.md"
if said=$(python3 "$check" "$work/more" "$work/site" 2>&1) || ! echo "$said" | grep -q 'another.md is not in the site'; then
    echo "site.sh: with a document that is not in the site: $said" >&2
    exit 1
fi
