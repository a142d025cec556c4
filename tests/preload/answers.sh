# A random trace of calls, good and bad ones: acre's answers are those of the C library wherever a
# standard or its manual fixes them. ACRE_SEED repeats a run.
. "$(dirname "$0")/common.sh"

seed=${ACRE_SEED:-$RANDOM$RANDOM}
echo "ACRE_SEED=$seed"
same_output answers "${top_builddir:-../..}/tests/preload/answers" "$seed" 30000
grep -q 'no, ENOMEM' acre.output && grep -q 'no, EINVAL' acre.output ||
    fail "no call was refused"
passed
