# Bare Debian systems to try packages in; sourced after common.sh. The machine gets no package: a system
# is a directory that debootstrap has made, and its programs run there by chroot.
#
#   DEBIAN_SYSTEMS=DIRECTORY   keeps the systems as they were when they were made, for the next run; each
#       run changes copies of them
#   DEBIAN_SUITE=bookworm DEBIAN_MIRROR=URL         what debootstrap takes
export DEBIAN_FRONTEND=noninteractive
suite=${DEBIAN_SUITE-bookworm}
mirror=${DEBIAN_MIRROR-http://deb.debian.org/debian}
systems=${DEBIAN_SYSTEMS-$work/systems}

# Runs a command in a system, with a /proc and a /dev/shm that nobody else sees.
in_system() { # SYSTEM COMMAND...
    # shellcheck disable=SC2016  # expanded inside
    unshare --mount --propagation private sh -c '
        mount -t proc proc "$1/proc" && mount -t tmpfs tmpfs "$1/dev/shm" || exit 1
        system=$1
        shift
        exec chroot "$system" "$@"' sh "$@"
}

# Skips the test where no systems can be made. Sets the array debootstrap: the command.
need_systems() {
    [ "$(id -u)" -eq 0 ] || skip "only root can make systems to build and install in"
    unshare --mount true 2>/dev/null || skip "mount namespaces are not allowed here"
    debootstrap=(debootstrap)
    command -v debootstrap >/dev/null && return
    # its package is a few scripts: unpacked, not installed
    (cd "$work" && apt-get download debootstrap && dpkg-deb -x debootstrap_*.deb debootstrap) \
        >/dev/null 2>&1 || skip "debootstrap is neither installed nor to be had by apt-get download"
    debootstrap=(env "DEBOOTSTRAP_DIR=$work/debootstrap/usr/share/debootstrap"
        "$work/debootstrap/usr/sbin/debootstrap")
}

# Makes a system in $systems, unless it is there. It starts no service.
make_system() { # NAME [PACKAGE...]
    local name=$1 directory=$systems/$1
    shift
    [ ! -e "$directory" ] || return 0
    if [ "$name" = bare ]; then
        mkdir -p "$systems"
        must "${debootstrap[@]}" --variant=minbase "$suite" "$directory.new" "$mirror"
        printf '#!/bin/sh\nexit 101\n' >"$directory.new/usr/sbin/policy-rc.d"
        chmod +x "$directory.new/usr/sbin/policy-rc.d"
    else
        make_system bare
        must cp -a "$systems/bare" "$directory.new"
        must in_system "$directory.new" apt-get update -q
        must in_system "$directory.new" apt-get install -q -y --no-install-recommends "$@"
    fi
    mv "$directory.new" "$directory"
}

# Copies a system, which is made if it is not there. The bare one has no package but what is in each
# Debian.
get_system() { # DIRECTORY NAME [PACKAGE...]
    local copy=$1
    shift
    make_system "$@"
    must cp -a "$systems/$1" "$copy"
    must in_system "$copy" apt-get update -q
}
