# The last test here: counts which of the others ran, and fails when they were fewer than
# ACRE_PRELOAD_REQUIRED (default: 1), so that skips cannot hide that nothing was tested.
# PRELOAD_TESTS names the others, whose results automake has left in NAME.trs.
set -u

ran=
skipped=
count=0
for name in $PRELOAD_TESTS; do
    if grep -q '^:global-test-result: PASS' "$name.trs"; then
        ran="$ran $name"
        count=$((count + 1))
    elif grep -q '^:global-test-result: SKIP' "$name.trs"; then
        skipped="$skipped $name"
    fi
done
echo "programs run with acre preloaded: $count:$ran"
echo "not installed:${skipped:- none}"
if [ "$count" -lt "${ACRE_PRELOAD_REQUIRED:-1}" ]; then
    echo "FAIL: at least ${ACRE_PRELOAD_REQUIRED:-1} are required"
    exit 1
fi
