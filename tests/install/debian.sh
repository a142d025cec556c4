#!/bin/bash
# The Debian packages of packaging/debian: built in a bare Debian from what make dist gives; lintian has
# nothing to say; their own tests (debian/tests) pass. Then, in another bare Debian, they are installed,
# used and purged: nothing is left. The machine gets no package: both systems are made by debootstrap,
# in $TMPDIR. make check-debian runs this in the build tree, as root.
#
#   DEBIAN_PACKAGES=DIRECTORY   where the packages go; else they are thrown away
#   and those of systems.sh
. "$(dirname "$0")/common.sh"
. "$(dirname "$0")/systems.sh"

# What there is in a system, without what apt and dpkg keep for themselves.
contents() { # SYSTEM
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./var/cache -o -path ./var/log \
        -o -path ./var/lib/apt -o -path './var/lib/dpkg/*-old' \) -prune -o -printf '%y %p\n') | sort
}

need_systems

say "the source"
make_archive

say "a system to build in"
build=$work/build
get_system "$build" build build-essential debhelper fakeroot lintian
mkdir "$build/build"
must cp "$archive" "$build/build/acre_$version.orig.tar.xz"
must tar -xJf "$archive" -C "$build/build"
cp -R "$build/build/acre-$version/packaging/debian" "$build/build/acre-$version/debian"
must in_system "$build" sh -c "cd /build/acre-$version && apt-get build-dep -q -y --no-install-recommends ."

say "the packages"
must in_system "$build" sh -c "cd /build/acre-$version && dpkg-buildpackage -us -uc"
packages=$(cd "$build/build" && echo *.deb)
for name in libacre0_ libacre-jemalloc0_ libacre-dev_ acre-tools_; do
    [[ " $packages" == *" $name"* ]] || die "there is no package $name...: $packages"
done
soname=$(readelf -d "$build/build/acre-$version/debian/libacre0/usr/lib"/*/libacre.so.0 |
    sed -n 's/.*(SONAME).*\[\(.*\)\]/\1/p')
[ "$soname" = libacre.so.0 ] || die "the package libacre0 has a library with the soname $soname"

say "lintian"
must in_system "$build" sh -c 'cd /build && lintian --fail-on error,warning --display-info *.changes'
cat "$work/output"

say "the tests of debian/tests"
must in_system "$build" sh -c "cd /build && apt-get install -q -y --no-install-recommends ./*.deb \
    binutils cmake g++ meson pkg-config"
for name in preload build; do
    must in_system "$build" sh -c "cd /build/acre-$version && debian/tests/$name"
    tail -n 1 "$work/output"
done

say "install, use and purge in a bare system"
bare=$work/bare
get_system "$bare" bare
contents "$bare" >"$work/before"
mkdir "$bare/tmp/packages"
cp "$build"/build/*.deb "$bare/tmp/packages"
must in_system "$bare" sh -c 'cd /tmp/packages && apt-get install -q -y --no-install-recommends \
    ./libacre0_*.deb ./acre-tools_*.deb'
contents "$bare" >"$work/installed"
diff "$work/before" "$work/installed" | grep -q 'libacre\.so\.0$' || die "libacre.so.0 is not installed"
cp "$build/build/acre-$version/debian/tests/preload" "$bare/tmp/preload"
must in_system "$bare" /tmp/preload
tail -n 1 "$work/output"
must in_system "$bare" sh -c 'apt-get purge -q -y libacre0 acre-tools && apt-get autoremove -q -y --purge'
rm -rf "$bare/tmp/packages" "$bare/tmp/preload"
contents "$bare" >"$work/after"
diff "$work/before" "$work/after" || die "purging the packages left something, or took something"

if [ -n "${DEBIAN_PACKAGES-}" ]; then
    mkdir -p "$DEBIAN_PACKAGES" && cp "$build"/build/*.deb "$DEBIAN_PACKAGES" || exit 1
fi
say "ok: $packages"
