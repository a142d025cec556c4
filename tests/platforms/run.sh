#!/bin/bash
# Builds and tests acre for other machines than this one; doc/platforms.md has the table of them. "make check-platforms [PLATFORMS="NAME..."]" runs it:
#
#   run.sh SOURCE WORK [NAME...]
#
# Each NAME is a function platform_NAME here; without one, all of PLATFORMS. What a platform needs and this
# system lacks is said, and the platform is skipped. A test that fails must stand in known.txt with its
# reason; one that stands there and passes is as wrong. WORK keeps what was downloaded (Debian packages, by
# apt, with lists of its own: nothing is installed) and built, for the next run.
#
# The exit status is 0 if all went as known, 77 if nothing could be tried.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR CC CXX CFLAGS CXXFLAGS LDFLAGS
export LC_ALL=C
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$1" && pwd)
mkdir -p "$2"
work=$(cd "$2" && pwd)
shift 2
PLATFORMS=(arm64 riscv64 i386)
[ $# -gt 0 ] || set -- "${PLATFORMS[@]}"
mirror=${DEBIAN_MIRROR-http://deb.debian.org/debian}
suite=${DEBIAN_SUITE-bookworm}
jobs=$(nproc)
tried=0
bad=0

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

# Says that the platform at hand is wrong.
fails() {
    echo "FAILED: $platform: $*"
    bad=$((bad + 1))
}

# Runs a command quietly; shows the end of what it wrote if it fails.
quietly() {
    "$@" >"$work/output" 2>&1 && return
    tail -n 30 "$work/output"
    return 1
}

# False, with a word, if one of the programs is missing.
has() { # PROGRAM...
    local program
    for program; do
        command -v "$program" >/dev/null || {
            echo "skipped: $platform: there is no $program"
            return 1
        }
    done
}

# ---- what is downloaded ----

# apt for another architecture, with lists and a status of its own.
apt_for() { # ARCHITECTURE COMMAND...
    local root=$work/apt/$1 architecture=$1
    shift
    mkdir -p "$root/state/lists/partial" "$root/cache/archives/partial" "$root/etc"
    printf 'deb %s %s main\ndeb-src %s %s main\n' "$mirror" "$suite" "$mirror" "$suite" >"$root/etc/sources.list"
    : >"$root/state/status"
    [ "$(id -u)" -ne 0 ] || chmod -R a+rwX "$work/apt"
    apt-get -qq -o APT::Architecture="$architecture" -o APT::Architectures="$architecture" \
        -o Dir::State="$root/state" -o Dir::State::status="$root/state/status" -o Dir::Cache="$root/cache" \
        -o Dir::Etc::sourcelist="$root/etc/sources.list" -o Dir::Etc::sourceparts=- \
        -o APT::Sandbox::User=root -o Acquire::Languages=none "$@"
}

# Check's source, once.
check_source() {
    [ ! -e "$work/check/CMakeLists.txt" ] || return 0
    mkdir -p "$work/check.download"
    [ -e "$work/apt/amd64/updated" ] || {
        quietly apt_for amd64 update && : >"$work/apt/amd64/updated" || return 1
    }
    (cd "$work/check.download" && quietly apt_for amd64 source --download-only check) || return 1
    rm -rf "$work/check.new"
    mkdir "$work/check.new"
    tar -C "$work/check.new" --strip-components=1 -xf "$work"/check.download/check_*.orig.tar.* &&
        mv "$work/check.new" "$work/check"
}

# Builds Check, as an archive, for a compiler.
build_check() { # NAME COMPILER
    local prefix=$work/prefix/$1
    [ ! -e "$prefix/lib/libcheck.a" ] || return 0
    has cmake && check_source || return 1
    rm -rf "$work/check-$1"
    quietly cmake -S "$work/check" -B "$work/check-$1" -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_C_COMPILER="$2" \
        -DCMAKE_INSTALL_PREFIX="$prefix" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_BUILD_TYPE=Release \
        -DCHECK_ENABLE_TESTS=OFF -DBUILD_TESTING=OFF -DINSTALL_CHECKMK=OFF &&
        quietly make -s -C "$work/check-$1" -j"$jobs" install || return 1
    rm -f "$prefix"/lib/libcheck.so*
}

# ---- building and testing ----

flags=(CFLAGS='-O2 -g -Werror' CXXFLAGS='-O2 -g -Werror')

# Builds acre in $work/NAME. Check is that of $work/prefix/PREFIX, or, "-", the system's.
build() { # NAME PREFIX CONFIGURE-ARGUMENT...
    local name=$1 prefix=$2 find=()
    shift 2
    [ "$prefix" = - ] || find=(PKG_CONFIG_LIBDIR="$work/prefix/$prefix/lib/pkgconfig")
    mkdir -p "$work/$name"
    (cd "$work/$name" && { [ -e Makefile ] || quietly "$source/configure" -q "${find[@]}" "$@"; } &&
        for name in include lib bindings tools; do
            quietly make -s -C "$name" -j"$jobs" "${flags[@]}" || exit 1
        done)
}

# Compares what failed, unit:SUITE:TEST, with known.txt, and says it. A suite that ended without a word of its
# tests is SUITE itself.
judge() { # FAILED
    local known test
    known=$(awk -v platform="$platform" '$1 == platform { print $2 }' "$here/known.txt")
    for test in $1; do
        grep -qxF "$test" <<<"$known" || fails "$test fails, and known.txt does not say why"
    done
    for test in $known; do
        grep -qxF "$test" <<<"$1" || fails "$test passes; known.txt has it"
    done
}

# Runs suites of the unit tests of a build; its machine's programs run here by themselves, or by binfmt_misc.
check() { # NAME SUITE...
    local unit=$work/$1/tests/unit failed='' checks=0 suite of
    shift
    quietly make -s -C "$unit" -j"$jobs" unit libcallback_small.la libcallback_large.la "${flags[@]}" || return 1
    for suite; do
        (cd "$unit" && timeout 600 ./unit "$suite") >"$unit/$suite.out" 2>&1 ||
            failed+=$'\n'"$(sed -n "s/^[^ ]*:[0-9]*:[FE]:$suite:\([^:]*\):.*/unit:$suite:\1/p" "$unit/$suite.out" |
                sort -u | grep . || echo "unit:$suite")"
        of=$(sed -n 's/^[0-9]*%: Checks: \([0-9]*\),.*/\1/p' "$unit/$suite.out")
        checks=$((checks + ${of:-0}))
    done
    judge "$failed"
    echo "$platform: $# suites, $checks checks; tests that fail: $(wc -w <<<"$failed")"
}

# Has the kernel run programs of an ELF machine by qemu. False, with a word, if it does not.
emulate() { # MACHINE ELF-NUMBER(hex, two digits)
    local place=/proc/sys/fs/binfmt_misc
    has "qemu-$1" || return 1
    export QEMU_LD_PREFIX=/usr/$1-linux-gnu
    ! grep -qs "interpreter.*qemu-$1" "$place"/* || return 0
    [ -e $place/register ] || mount -t binfmt_misc none $place 2>/dev/null
    local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x'$2'\x00'
    local mask='\xff\xff\xff\xff\xff\xff\xff\xfc\x00\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
    if echo ":acre-$1:M::$magic:$mask:$(command -v "qemu-$1"):" >$place/register; then
        registered+=("acre-$1")
        return 0
    fi 2>/dev/null
    echo "skipped: $platform: the kernel does not run programs by qemu-$1 (binfmt_misc, root)"
    return 1
}

registered=()
unregister() {
    local name
    for name in "${registered[@]}"; do
        echo -1 >"/proc/sys/fs/binfmt_misc/$name"
    done
}
trap unregister EXIT

# ---- the platforms ----

# Suites of the unit tests that have been looked through in user mode: each failure has a reason.
SUITES=(bits states size_class list elf eh_frame loaded stack lock os)

# Another machine, in user mode.
foreign() { # MACHINE ELF-NUMBER
    local machine=$1 number=$2
    has "$machine-linux-gnu-gcc" "$machine-linux-gnu-g++" && emulate "$machine" "$number" || return 77
    build_check "$machine" "$machine-linux-gnu-gcc" &&
        build "$machine" "$machine" --host="$machine-linux-gnu" || return 1
    check "$machine" "${SUITES[@]}"
}

platform_arm64() { foreign aarch64 b7; }
platform_riscv64() { foreign riscv64 f3; }

platform_i386() {
    local message='acre needs' output
    mkdir -p "$work/i386"
    refuses() { # CONFIGURE-ARGUMENT...
        if output=$(cd "$work/i386" && "$source/configure" -q "$@" 2>&1); then
            fails "configure $* does not refuse"
        elif ! grep -q "$message" <<<"$output"; then
            fails "configure $* refuses without a reason: $output"
        else
            echo "$platform: configure $*: refused"
        fi
    }
    refuses --host=i686-linux-gnu
    refuses --host=armv7l-linux-gnueabihf
    refuses --host=s390x-linux-gnu
    if echo 'int main(void) { return 0; }' | gcc -m32 -x c - -o "$work/i386/try" 2>/dev/null; then
        refuses CC='gcc -m32'
    else
        echo "$platform: gcc -m32 was not tried: it links nothing here (lib32gcc-12-dev, libc6-dev-i386)"
    fi
}

# ---- the run ----

for platform; do
    declare -F "platform_$platform" >/dev/null || {
        echo "there is no platform $platform, but ${PLATFORMS[*]}" >&2
        exit 2
    }
    say "$platform"
    status=0
    "platform_$platform" || status=$?
    [ $status -eq 77 ] || tried=$((tried + 1))
    [ $status -eq 0 ] || [ $status -eq 77 ] || fails "it does not build"
done
say "$tried platforms tried, $bad faults"
[ $bad -eq 0 ] || exit 1
[ $tried -gt 0 ] || exit 77
