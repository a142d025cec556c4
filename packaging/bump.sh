#!/bin/sh
# Writes a version into every file that has it, and with it the soname's number, which is the version's first
# one: doc/releasing.md. tests/unit/versions.sh checks the result.
#
#   packaging/bump.sh MAJOR.MINOR.PATCH [DIRECTORY]     in DIRECTORY, or in the source that this is in
set -eu

version=${1-}
echo "$version" | grep -qxE '[0-9]+\.[0-9]+\.[0-9]+' || {
    echo "usage: bump.sh MAJOR.MINOR.PATCH [DIRECTORY]" >&2
    exit 2
}
cd "${2-$(dirname "$0")/..}"
old=$(sed -n 's/^#define ACRE_VERSION_STRING "\(.*\)"$/\1/p' include/acre/acre.h)
major=${version%%.*}
patch=${version##*.}
minor=${version#*.}
minor=${minor%.*}
old_major=${old%%.*}

sed -i "s/^#define ACRE_VERSION_MAJOR .*/#define ACRE_VERSION_MAJOR $major/
    s/^#define ACRE_VERSION_MINOR .*/#define ACRE_VERSION_MINOR $minor/
    s/^#define ACRE_VERSION_PATCH .*/#define ACRE_VERSION_PATCH $patch/
    s/^#define ACRE_VERSION_STRING .*/#define ACRE_VERSION_STRING \"$version\"/" include/acre/acre.h
sed -i "s/-version-info [0-9:]*/-version-info $((major + minor)):$patch:$minor/" \
    lib/Makefile.am bindings/Makefile.am
sed -i "0,/^## [0-9.]*/s//## $version/" CHANGELOG.md
sed -i "1s/([^)]*)/($version-1)/" packaging/debian/changelog
sed -i "s/^Version:\( *\).*/Version:\1$version/; /^%changelog/,\$s/^\(\* .* - \).*/\1$version-1/" \
    packaging/rpm/acre.spec
for file in bindings/*/Cargo.toml packaging/*/APKBUILD; do
    [ ! -f "$file" ] || sed -i "s/^version = \"$old\"/version = \"$version\"/; s/^pkgver=.*/pkgver=$version/" "$file"
done
sed -i "s/^\.Qq $old \.\$/.Qq $version ./" man/acre.3

[ "$major" -ne "$old_major" ] || exit 0
# all symbols are new with a new soname
sed -i "s/ACRE_[0-9][0-9.]*/ACRE_$major.$minor/" lib/libacre.map tests/api/exports.txt
sed -i "s/ACRE_[0-9][0-9.]*/ACRE_$major.$minor/g; s/ [0-9.]*\$/ $version/" packaging/debian/*.symbols
for file in packaging/debian/libacre*"$old_major".*; do
    mv "$file" "$(echo "$file" | sed "s/$old_major\.\([a-z-]*\)\$/$major.\1/")"
done
# names of packages and sonames, with dots or \. as in a pattern; the records in packaging/abi stay
name='libacre\(-[a-z_]*\)\?\(\\\?\.so\\\?\.\)\?'
grep -rl --exclude-dir=abi "$name$old_major\>" README.md bindings doc include lib man packaging tests tools |
    grep -v '^doc/abi\.md$\|^doc/releasing\.md$' | while read -r file; do
    sed -i "s/\($name\)$old_major\>/\1$major/g" "$file"
done
