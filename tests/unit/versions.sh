#!/bin/sh
# The version of include/acre/acre.h is that of all files that have one, and the soname's number, which is the
# version's first, stands wherever a soname or a package is named after it. packaging/bump.sh changes all of
# them: a copy of the source, bumped, passes, too.
set -eu

source=$(cd "${srcdir:-$(dirname "$0")}/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
faults=0

# Compares what a file has with what it should have.
same() { # WHAT FOUND EXPECTED
    [ "$2" = "$3" ] || {
        echo "$1 has \"$2\", not \"$3\"" >&2
        faults=$((faults + 1))
    }
}

# The nodes of the acre_ functions that a file has.
nodes() { # FILE
    grep -o 'ACRE_[0-9][0-9.]*' "$1" | sort -u
}

check() { # DIRECTORY
    cd "$1"
    header=include/acre/acre.h
    version=$(sed -n 's/^#define ACRE_VERSION_STRING "\(.*\)"$/\1/p' $header)
    number() { sed -n "s/^#define ACRE_VERSION_$1 //p" $header; }
    major=$(number MAJOR) minor=$(number MINOR) patch=$(number PATCH)
    same "$header" "$major.$minor.$patch" "$version"
    same CHANGELOG.md "$(sed -n 's/^## \([0-9.]*[0-9]\).*/\1/p' CHANGELOG.md | head -n 1)" "$version"
    same packaging/debian/changelog "$(sed -n '1s/.*(\(.*\)-[0-9]*).*/\1/p' packaging/debian/changelog)" "$version"
    same packaging/rpm/acre.spec "$(sed -n 's/^Version: *//p' packaging/rpm/acre.spec)" "$version"
    same "packaging/rpm/acre.spec, its changelog" \
        "$(sed -n '/^%changelog/,$s/^\* .* - \(.*\)-[0-9]*$/\1/p' packaging/rpm/acre.spec | head -n 1)" "$version"
    for file in bindings/*/Cargo.toml packaging/*/APKBUILD; do
        [ ! -f "$file" ] || same "$file" \
            "$(sed -n 's/^version = "\(.*\)"$/\1/p; s/^pkgver=//p' "$file" | head -n 1)" "$version"
    done
    same man/acre.3 "$(sed -n 's/^\.Qq \([0-9.]*\) \.$/\1/p' man/acre.3)" "$version"
    for file in lib/Makefile.am bindings/Makefile.am; do
        same $file "$(sed -n 's/.*-version-info \([0-9:]*\).*/\1/p' $file)" "$((major + minor)):$patch:$minor"
    done
    for node in $(nodes lib/libacre.map); do
        same "the node $node of lib/libacre.map" "${node%%.*}" "ACRE_$major"
    done
    for file in tests/api/exports.txt packaging/debian/libacre[0-9]*.symbols; do
        same "$file" "$(nodes "$file")" "$(nodes lib/libacre.map)"
    done
    # doc/abi.md, doc/releasing.md and the records in packaging/abi tell of other versions
    found=$(grep -rohE 'libacre(-[a-z_]+)?(\\?\.so\\?\.)?[0-9]+\b' --exclude=abi.md --exclude=releasing.md \
        --exclude='*.log' --exclude='*.trs' --exclude-dir=.libs --exclude-dir=.deps --exclude-dir=abi -I \
        README.md bindings doc include lib man packaging tests tools | sort)
    count=$(echo "$found" | wc -l)
    same "one of the files" "$(echo "$found" | sort -u | grep -v "[^0-9]$major\$" || :)" ""
    for file in packaging/debian/libacre*[0-9].*; do
        same "$file" "$(echo "$file" | sed 's/.*[^0-9]\([0-9]*\)\.[a-z-]*$/\1/')" "$major"
    done
    [ "$count" -ge 30 ] || same "a search for sonames" "$count names" "30 or more"
    echo "$version: $count names of the soname or of a package"
}

check "$source"
(cd "$source" && find README.md CHANGELOG.md bindings doc include lib man packaging tests tools -type f -size -200k |
    grep -vE '\.l?[oa]$|\.log$|\.libs/' | tar -cf - -T -) | tar -xf - -C "$work"
chmod -R u+w "$work"
sh "$source/packaging/bump.sh" 7.2.5 "$work"
check "$work"
same "the bumped copy" "$version" 7.2.5
[ "$faults" -eq 0 ]
