# What acre-run.sh and replaced.sh share; sourced by them. Everything happens in $directory, which is
# removed at exit. $faults counts what was wrong.
set -u
unset ACRE_LIBRARY ACRE_OPTIONS LD_PRELOAD
faults=0
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
chmod 755 "$directory"

skip() { echo "skipped: $*"; }

fail() {
    echo "FAILED: $*" >&2
    faults=$((faults + 1))
}
