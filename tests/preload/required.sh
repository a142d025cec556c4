# The last test here: counts which of the others ran, and fails when they were fewer than
# ACRE_PRELOAD_REQUIRED, so that skips cannot hide that little was tested. The default is three: g++,
# perl and sort, which are where acre was built from a clone.
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
required=${ACRE_PRELOAD_REQUIRED:-3}
if [ "$count" -lt "$required" ]; then
    echo "FAIL: at least $required are required; ACRE_PRELOAD_REQUIRED=N asks for N"
    exit 1
fi
