#!/bin/bash
# make dist gives the same archive, bit by bit, wherever it is made: from two copies of the source, in
# directories of other names, with other umasks, at other times, in other time zones and languages, by
# other users (if this runs as root), with other options of configure; and from the unpacked archive
# itself. A repository is cloned: what is not committed does not count. make check-dist runs this in
# the build tree.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR SOURCE_DATE_EPOCH
source_directory=$(cd "${srcdir:-$(dirname "$0")}/../.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"

# Runs a command quietly; shows what it wrote, and ends this, if it fails.
must() {
    "$@" >"$work/output" 2>&1 && return
    tail -n 40 "$work/output" >&2
    echo "FAILED: $*" >&2
    exit 1
}

# Makes the archive in DIRECTORY, whose source is in DIRECTORY/source, under other circumstances.
archive() { # DIRECTORY UMASK ZONE LANGUAGE CONFIGURE-OPTIONS PREFIX-COMMAND...
    local directory=$1 mask=$2 zone=$3 language=$4 options=$5
    shift 5
    must "$@" env TZ="$zone" LC_ALL="$language" HOME="$directory" bash -c '
        set -e
        umask "$2"
        cd "$1/source"
        [ -f configure ] || ./autogen.sh
        mkdir "$1/build"
        cd "$1/build"
        "$1/source/configure" -q --without-check $3
        make -s dist' archive "$directory" "$mask" "$options"
    cp "$directory"/build/acre-*.tar.xz "$work/$(basename "$directory").tar.xz" || exit 1
}

# Another user, who cannot be known to git as the owner of the source.
other=()
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
    other=(setpriv --reuid=65534 --regid=65534 --clear-groups)
else
    echo "skipped: another user: only root can become one"
fi

get_source() { # DIRECTORY
    mkdir "$1"
    if [ -e "$source_directory/.git" ]; then
        must git -c safe.directory='*' clone -q --no-hardlinks "$source_directory" "$1/source"
    else
        must cp -Rp "$source_directory" "$1/source"
    fi
}

get_source "$work/first"
archive "$work/first" 022 UTC0 C ""
get_source "$work/second.d"
find "$work/second.d" -name .git -prune -o -name '*.md' -type f -exec touch -d 2001-02-03 {} +
[ ${#other[@]} -eq 0 ] || chown -R 65534:65534 "$work/second.d"
archive "$work/second.d" 077 Pacific/Auckland C.UTF-8 "--without-tools --without-probes --with-prefix=acre_" "${other[@]}"
mkdir "$work/third"
must tar -xJf "$work/first.tar.xz" -C "$work/third"
mv "$work/third"/acre-* "$work/third/source"
archive "$work/third" 027 UTC0 C --disable-shared

cd "$work" || exit 1
sha256sum first.tar.xz second.d.tar.xz third.tar.xz
for name in second.d third; do
    cmp first.tar.xz "$name.tar.xz" || {
        for copy in first "$name"; do
            tar -tvJf "$copy.tar.xz" --full-time >"$copy.list"
            mkdir "$copy.files"
            tar -xJf "$copy.tar.xz" -C "$copy.files"
        done
        diff -u first.list "$name.list" | head -n 20
        diff -ru first.files "$name.files" | head -n 20
        echo "FAILED: the archives of first and $name differ" >&2
        exit 1
    }
done
tar -tvJf first.tar.xz | awk '$1 !~ /^(d|-)rw[x-]r-[x-]r-[x-]$/ || $2 != "0/0"' | grep . && {
    echo "FAILED: an owner or a mode is not as in every archive" >&2
    exit 1
}
echo "ok: three archives are the same"
