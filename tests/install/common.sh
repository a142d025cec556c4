# What the scripts that build and try packages share; sourced by them, in the build tree. Everything
# happens in $work, which is removed at exit.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL DESTDIR
export LC_ALL=C
build_tree=$(cd ../.. && pwd)
source_tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'end_started; chmod -R u+w "$work"; rm -rf "$work"' EXIT
chmod 755 "$work"
started=() # processes to be ended at exit

say() { printf '== %s (%d s)\n' "$*" "$SECONDS"; }

die() {
    echo "FAILED: $*" >&2
    exit 1
}

skip() {
    echo "skipped: $*"
    exit 77
}

end_started() {
    [ ${#started[@]} -eq 0 ] || kill -KILL "${started[@]}" 2>/dev/null
}

# Runs a command quietly; shows what it wrote, and ends the script, if it fails.
must() { # COMMAND...
    "$@" >"$work/output" 2>&1 && return
    tail -n 60 "$work/output" >&2
    die "$*"
}

# Waits until a command succeeds: ten seconds at most.
await() { # COMMAND...
    local attempt
    for attempt in $(seq 100); do
        "$@" >/dev/null 2>&1 && return
        sleep 0.1
    done
    die "in ten seconds this did not succeed: $*"
}

# The archive of make dist, copied to $work, and its version: sets $archive and $version.
make_archive() {
    must make -s -C "$build_tree" dist
    must cp "$build_tree"/acre-*.tar.xz "$work"
    archive=$(ls "$work"/acre-*.tar.xz)
    version=${archive##*/acre-}
    version=${version%.tar.xz}
}

# What make dist gives, unpacked: sets $source.
make_source() {
    make_archive
    mkdir "$work/unpacked"
    must tar -xJf "$archive" -C "$work/unpacked"
    source=$work/unpacked/acre-$version
}
