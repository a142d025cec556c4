#!/bin/bash
# The Debian packages of packaging/debian: built in a bare Debian from what make dist gives; lintian has
# nothing to say; their own tests (debian/tests) pass. Then, in another bare Debian, they are installed,
# used and purged: nothing is left. The machine gets no package: both systems are made by debootstrap,
# in $TMPDIR. make check-debian runs this in the build tree, as root.
#
#   DEBIAN_BUILD=DIRECTORY, DEBIAN_BARE=DIRECTORY   systems that debootstrap (--variant=minbase) has made
#       before; they are changed, and kept
#   DEBIAN_SUITE=bookworm DEBIAN_MIRROR=URL         what debootstrap takes
#   DEBIAN_PACKAGES=DIRECTORY                       where the packages go; else they are thrown away
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
suite=${DEBIAN_SUITE-bookworm}
mirror=${DEBIAN_MIRROR-http://deb.debian.org/debian}
build_tree=$(cd ../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

die() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

# Runs a command quietly; shows what it wrote, and ends this, if it fails.
must() {
    "$@" >"$work/output" 2>&1 && return
    tail -n 60 "$work/output" >&2
    die "$*"
}

# Runs a command in a system, with a /proc and a /dev/shm that nobody else sees.
in_system() { # SYSTEM COMMAND...
    # shellcheck disable=SC2016  # expanded inside
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev/shm" || exit 1
        system=$1
        shift
        exec chroot "$system" "$@"' sh "$@"
}

make_system() { # DIRECTORY
    must env DEBOOTSTRAP_DIR="$debootstrap_directory" "${debootstrap[@]}" --variant=minbase "$suite" "$1" "$mirror"
}

# What there is in a system, without what apt and dpkg keep for themselves.
contents() { # SYSTEM
    (cd "$1" && find . -xdev \( -path ./proc -o -path ./tmp -o -path ./var/cache -o -path ./var/log \
        -o -path ./var/lib/apt -o -path './var/lib/dpkg/*-old' \) -prune -o -printf '%y %p\n') | sort
}

[ "$(id -u)" -eq 0 ] || skip "only root can make systems to build and install in"
unshare --mount true 2>/dev/null || skip "mount namespaces are not allowed here"
debootstrap=(debootstrap)
debootstrap_directory=/usr/share/debootstrap
if ! command -v debootstrap >/dev/null; then
    # its package is a few scripts: unpacked, not installed
    (cd "$work" && apt-get download debootstrap && dpkg-deb -x debootstrap_*.deb debootstrap) \
        >/dev/null 2>&1 || skip "debootstrap is neither installed nor to be had by apt-get download"
    debootstrap=("$work/debootstrap/usr/sbin/debootstrap")
    debootstrap_directory=$work/debootstrap/usr/share/debootstrap
fi

say "the source"
must make -s -C "$build_tree" dist
archive=$(ls "$build_tree"/acre-*.tar.xz)
version=${archive##*/acre-}
version=${version%.tar.xz}

say "a system to build in"
build=${DEBIAN_BUILD-$work/build}
[ -x "$build/bin/sh" ] || make_system "$build"
must in_system "$build" apt-get update -q
must in_system "$build" apt-get install -q -y --no-install-recommends build-essential debhelper \
    fakeroot lintian
rm -rf "$build/build"
mkdir "$build/build"
cp "$archive" "$build/build/acre_$version.orig.tar.xz"
tar -xJf "$archive" -C "$build/build"
cp -R "$build/build/acre-$version/packaging/debian" "$build/build/acre-$version/debian"
must in_system "$build" sh -c "cd /build/acre-$version && apt-get build-dep -q -y --no-install-recommends ."

say "the packages"
must in_system "$build" sh -c "cd /build/acre-$version && dpkg-buildpackage -us -uc"
packages=$(cd "$build/build" && echo *.deb)
for name in libacre0_ libacre-dev_ acre-tools_; do
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
bare=${DEBIAN_BARE-$work/bare}
[ -x "$bare/bin/sh" ] || make_system "$bare"
must in_system "$bare" apt-get update -q
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
