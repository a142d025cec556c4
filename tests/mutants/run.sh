#!/bin/bash
# Seeds the bugs of *.mutants, one at a time, into a copy of the source, runs the tests that each one
# names, and prints whether one of them found it. README.md says what a mutant is. "make mutants"
# runs it:
#
#   run.sh SOURCE WORK [MUTANT...]
#
# SOURCE is a clean copy of the source, configured nowhere; WORK is a directory for builds and logs.
# In the environment: MUTANTS_SAMPLE=N and MUTANTS_SEED=TEXT choose N mutants by the text;
# MUTANTS_JOBS=N (2) says how many are tried side by side.
#
# The last line counts them. The exit status is 0 if all were found.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$1" && pwd)
mkdir -p "$2/logs"
work=$(cd "$2" && pwd)
shift 2
jobs=${MUTANTS_JOBS:-2}
export ACRE_SEED=${ACRE_SEED:-1} # so that a run can be repeated
unset MAKEFLAGS MFLAGS MAKELEVEL # those of the make that runs this
ulimit -c 0

# Seconds: how long a test may take at least, and how many times its time without a mutant.
LIMIT_LEAST=60
LIMIT_TIMES=10

# What the line that begins with a word says of a mutant.
field() { # MUTANT WORD
    awk -v mutant="$1" -v word="$2" '
        $1 == "mutant" { inside = $2 == mutant }
        inside && $1 == word { sub(/^[^ ]+ +/, ""); print; exit }' "$here"/*.mutants
}

# The mutants to try: those named, or all, or a sample of these.
choose() { # [MUTANT...]
    local all name
    all=$(awk '$1 == "mutant" { print $2 }' "$here"/*.mutants)
    if [ -n "$(sort <<<"$all" | uniq -d)" ]; then
        echo "run.sh: two mutants have one name: $(sort <<<"$all" | uniq -d)" >&2
        return 1
    fi
    for name; do
        grep -qxF -- "$name" <<<"$all" || {
            echo "run.sh: there is no mutant \"$name\"" >&2
            return 1
        }
    done
    [ $# -eq 0 ] || all=$(printf '%s\n' "$@")
    if [ -n "${MUTANTS_SAMPLE:-}" ]; then
        for name in $all; do
            printf '%s %s\n' "$(printf '%s %s' "${MUTANTS_SEED:-}" "$name" | sha256sum)" "$name"
        done | sort | awk -v most="$MUTANTS_SAMPLE" 'NR <= most { print $NF }'
    else
        printf '%s\n' "$all"
    fi
}

# Makes what a test needs, in the calling worker's copy.
build() { # TEST...
    local test
    make -s -C "$copy/lib" && make -s -C "$copy/bindings" || return
    for test; do
        case $test in
        api:*) make -s -C "$copy/tests/api" "${test#*:}" || return ;;
        inspect:*) make -s -C "$copy/tools" && make -s -C "$copy/tests/inspect" check TESTS= || return ;;
        *) make -s -C "$copy/tests/${test%%:*}" check TESTS= || return ;;
        esac
    done
}

# Runs a test as "make check" does, for a limited time. Its status; 124 if the time is over.
run_test() { # TEST SECONDS
    (
        cd "$copy/tests/${1%%:*}"
        export ACRE_LIBRARY=$copy/lib/.libs/libacre.so
        case $1 in
        unit:*) set -- "$2" ./unit "${1#*:}" ;;
        *) set -- "$2" "./${1#*:}" ;;
        esac
        exec timeout -k 5 "$@" </dev/null
    )
}

# Runs a test without a mutant; notes how long it may take with one.
try_clean() { # TEST
    local begin=$SECONDS log=$work/logs/${1/:/.}.log status=0
    { build "$1" && run_test "$1" 600; } >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        echo "error     $1 does not pass without a mutant (status $status, $log, which ends:)"
        tail -n 20 "$log"
        touch "$work/failed"
        return
    fi
    echo "$((LIMIT_LEAST + LIMIT_TIMES * (SECONDS - begin)))" >"$work/limit.$1"
}

# True if a log tells of a test that took too long: of a whole program, or of one test in it.
timed_out() { # STATUS LOG
    [ "$1" -eq 124 ] || [ "$1" -eq 137 ] || grep -q 'Test timeout expired' "$2"
}

report() { # RESULT MUTANT TEXT
    printf '%-9s %s: %s\n' "$1" "$2" "$3"
    echo "$1" >>"$work/results"
}

# Seeds a mutant, builds, and runs its tests until one fails.
try_mutant() { # MUTANT
    local tests test log=$work/logs/$1.log status begin=$SECONDS
    read -ra tests <<<"$(field "$1" tests)"
    : >"$log"
    if ! awk -v mutant="$1" -v root="$copy" -f "$here/apply.awk" "$here"/*.mutants >>"$log" 2>&1; then
        report error "$1" "$(head -n 1 "$log")"
        return
    fi
    if ! build "${tests[@]}" >>"$log" 2>&1; then
        report error "$1" "does not build, see $log"
        return
    fi
    for test in "${tests[@]}"; do
        status=0
        run_test "$test" "$(cat "$work/limit.$test")" >>"$log" 2>&1 || status=$?
        if [ "$status" -eq 0 ] || [ "$status" -eq 77 ]; then
            continue
        elif timed_out "$status" "$log"; then
            report found "$1" "$test, by a time-out ($((SECONDS - begin)) s)"
        else
            report found "$1" "$test ($((SECONDS - begin)) s)"
        fi
        return
    done
    report SURVIVED "$1" "$(field "$1" breaks)"
}

# Makes the files of a mutant as they were, newer than what was built of them.
restore() { # MUTANT
    local file
    for file in $(awk -v mutant="$1" '$1 == "mutant" { inside = $2 == mutant }
                                      inside && $1 == "file" { print $2 }' "$here"/*.mutants); do
        cp "$source/$file" "$copy/$file"
        touch "$copy/$file"
    done
}

# A worker: takes one item after another of the list on which all work.
work_on() { # WORKER COMMAND ITEM...
    local copy=$work/$1 command=$2 item
    shift 2
    for item; do
        mkdir "$work/taken.$command.$item" 2>/dev/null || continue
        "$command" "$item"
        [ "$command" != try_mutant ] || restore "$item"
    done
}

# Runs a command for each item, as many at a time as there are workers.
for_each() { # COMMAND ITEM...
    local command=$1 worker
    shift
    for ((worker = 1; worker <= jobs; worker++)); do
        work_on "$worker" "$command" "$@" &
    done
    wait
}

# A worker's copy of the source, configured.
prepare() { # WORKER
    cp -R "$source" "$work/$1"
    cd "$work/$1"
    chmod -R u+w . # the source may be read-only, and cp keeps that
    # One time for all files, before that of what is built: nothing generated (configure, Makefile.in)
    # is to be made anew, whatever order cp has copied in.
    find . -exec touch -d @1000000000 {} +
    # -O1 compiles faster; no static library is needed
    ./configure -q --cache-file="$work/config.cache" --disable-static \
        CFLAGS="${CFLAGS:--O1 -g}" CXXFLAGS="${CXXFLAGS:--O1 -g}"
}

chosen=$(choose "$@")
read -ra mutants <<<"${chosen//$'\n'/ }"
read -ra tests <<<"$(for name in "${mutants[@]}"; do field "$name" tests; done | tr ' ' '\n' |
    sort -u | tr '\n' ' ')"
echo "${#mutants[@]} mutants, ${#tests[@]} tests without one first"
for ((worker = 1; worker <= jobs; worker++)); do
    (prepare "$worker") >"$work/logs/configure.$worker.log" 2>&1 || {
        cat "$work/logs/configure.$worker.log" >&2
        exit 1
    }
done
for_each try_clean "${tests[@]}"
[ ! -e "$work/failed" ] || exit 1
: >"$work/results"
for_each try_mutant "${mutants[@]}"

count() { grep -cx "$1" "$work/results" || true; }
printf '%d found, %d survived, %d errors\n' "$(count found)" "$(count SURVIVED)" "$(count error)"
[ "$(count found)" -eq "${#mutants[@]}" ]
