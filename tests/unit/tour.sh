#!/bin/sh
# Every name that doc/tour.md gives as code is a name in lib/, and every path a file.
set -eu

cd "${srcdir:-$(dirname "$0")}/../.."

names=$(grep -o '`[^`]*`' doc/tour.md | tr -d '`' | sort -u)
missing=0
count=0
for name in $names; do
    count=$((count + 1))
    case $name in
    */*) [ -f "$name" ] ;;
    *) cat lib/*/*.[ch] | grep -qw -- "$name" ;;
    esac || {
        echo "doc/tour.md: $name is not in lib/" >&2
        missing=$((missing + 1))
    }
done
if [ "$count" -lt 20 ]; then
    echo "doc/tour.md: $count names, too few to be all" >&2
    exit 1
fi
[ "$missing" -eq 0 ] || exit 1
echo "$count names, all in the code"
