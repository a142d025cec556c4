#!/bin/bash
# The RPM packages of packaging/rpm, built from what make dist gives, and unpacked: each installed file is in
# one package, and the packaged acre-run starts a program on the packaged library. What they need to build is
# looked for by configure, not by rpm, so this runs on any system that has rpmbuild, Debian among them.
# make check-rpm runs this in the build tree.
. "$(dirname "$0")/common.sh"
specification=$source_tree/packaging/rpm/acre.spec

for tool in rpmbuild rpm2cpio cpio; do
    command -v $tool >/dev/null || skip "there is no $tool"
done

say "the packages, which pass the unit and abuse tests"
make_archive
mkdir "$work/SOURCES"
mv "$archive" "$work/SOURCES"
grep -q "^Version: *$version\$" "$specification" || die "acre.spec has another version than $version"
must rpmbuild -bb --nodeps --define "_topdir $work" --define "debug_package %{nil}" "$specification"

say "their contents"
packages=("$work"/RPMS/*/*.rpm)
[ ${#packages[@]} -eq 4 ] || die "${#packages[@]} packages, not 4"
for package in "${packages[@]}"; do
    rpm -qlp "$package" 2>/dev/null | grep -v /.build-id | sort >"$work/$(basename "$package").files"
    rpm2cpio "$package" | (mkdir -p "$work/root" && cd "$work/root" && cpio -idmu --quiet)
done
sort "$work"/*.files | uniq -d | grep . && die "these are in two packages"
for file in 'lib[0-9/a-z_-]*/libacre.so.0' 'lib[0-9/a-z_-]*/libacre-jemalloc.so.0' 'include/acre/acre.h' 'bin/acre-run' 'bin/acre-inspect' 'bin/acre-profile' \
    'man/man1/acre-run.1[.gz]*' 'man/man3/acre.3[.gz]*' 'man/man3/acre_stats.3[.gz]*' 'man/man7/acre-options.7[.gz]*' 'pkgconfig/acre.pc' \
    'pkgconfig/acre-jemalloc.pc' 'acre/acre.gdb'; do
    grep -hq "/usr/.*$file\$" "$work"/*.files || die "no package has $file"
done

say "a program on them"
output=$("$work/root/usr/bin/acre-run" --stats sort --version 2>&1) || die "acre-run fails: $output"
grep -q '^sort' <<<"$output" || die "sort does not run"
grep -q 'small_live\|live' <<<"$output" || die "there are no statistics: $output"
say "passed"
