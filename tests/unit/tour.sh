#!/bin/sh
# Every name that doc/tour.md gives as code is a name in lib/, and every path a file. Every function
# that a model names as the code of a step ("lib/FILE: NAME, NAME") is in that file.
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

# "FILE NAME" for each; a word without "_" may be one of the sentence.
steps=$(cat tests/model/*.pml | tr '\n' ' ' | sed 's/  *\* / /g' |
    grep -o 'lib/[a-z_/]*\.[ch]: [^.;*]*' |
    awk -F '[:, ]+' '{ for (i = 2; i <= NF; i++) if ($i ~ /^[a-z0-9]+_[a-z0-9_]+$/) print $1, $i }' |
    sort -u)
while read -r file name; do
    grep -qw -- "$name" "$file" || {
        echo "tests/model: $file has no $name" >&2
        missing=$((missing + 1))
    }
done <<END
$steps
END
if [ "$(echo "$steps" | wc -l)" -lt 50 ]; then
    echo "tests/model: too few functions are named to be all" >&2
    exit 1
fi

[ "$missing" -eq 0 ] || exit 1
echo "$count names and $(echo "$steps" | wc -l) functions, all in the code"
