#!/bin/sh
# Generates the build system (configure and the Makefile.in files).
#
#   ./autogen.sh          says in one line what is missing, and generates if it can
#   ./autogen.sh --deps   first installs what is missing, by apt; on a system without apt it prints
#                         the names of the packages instead
set -eu
cd "$(dirname "$0")"

have() { command -v "$1" >/dev/null 2>&1; }

# The requirements that this machine lacks, one word each; they are the Debian names of the packages.
missing() {
    have autoconf || echo autoconf
    have automake || echo automake
    have libtoolize || echo libtool
    have make || echo make
    have gcc || echo gcc
    have g++ || echo g++
    have pkg-config || echo pkg-config
    pkg-config --exists 'check >= 0.10' 2>/dev/null || echo check
    pkg-config --exists libelf 2>/dev/null || echo libelf-dev
    pkg-config --exists libdw 2>/dev/null || echo libdw-dev
    pkg-config --exists zlib 2>/dev/null || echo zlib1g-dev
    echo '#include <sys/sdt.h>' | gcc -E - >/dev/null 2>&1 || echo systemtap-sdt-dev
}

# Installs the Debian packages "$@". Plain gcc does not depend on the headers of libc, so they are
# named too.
install_by_apt() {
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        have sudo || {
            echo "autogen.sh: become root, or install sudo, to install: $*" >&2
            exit 1
        }
        as_root=sudo
    fi
    $as_root apt-get update -q
    $as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -q -y --no-install-recommends "$@" libc6-dev
}

# Prints the command that installs everything on a system that has no apt.
print_packages() {
    common="autoconf automake libtool make gcc"
    if have dnf; then
        echo "dnf install $common gcc-c++ pkgconf-pkg-config check-devel elfutils-devel"
    elif have zypper; then
        echo "zypper install $common gcc-c++ pkg-config check-devel elfutils-devel"
    elif have pacman; then
        echo "pacman -S $common pkgconf check libelf"
    elif have apk; then
        echo "apk add $common g++ musl-dev pkgconf check-dev elfutils-dev"
    else
        echo "install: $common g++ pkg-config check, the headers of elfutils"
    fi
}

case "${1-}" in
'') ;;
--deps)
    lacking=$(missing)
    if [ -z "$lacking" ]; then
        echo "autogen.sh: nothing is missing"
    elif have apt-get; then
        # shellcheck disable=SC2086  # one word for each package
        install_by_apt $lacking
    else
        # shellcheck disable=SC2086  # on one line
        echo "autogen.sh: missing:" $lacking
        print_packages
        exit 1
    fi
    ;;
*)
    echo "usage: ./autogen.sh [--deps]" >&2
    exit 2
    ;;
esac

lacking=$(missing)
# shellcheck disable=SC2086  # on one line
[ -z "$lacking" ] || echo "autogen.sh: missing:" $lacking "(./autogen.sh --deps installs it)" >&2
have autoconf && have automake && have libtoolize && have pkg-config || exit 1

autoreconf --force --install
echo "autogen.sh: done; now ./configure && make"
