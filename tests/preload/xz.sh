# xz on two threads: equal archives, and each unpacks to what went in.
. "$(dirname "$0")/common.sh"
need xz awk

awk 'BEGIN { for (i = 0; i < 200000; i++) { n = (n * 1103515245 + 12345) % 2147483648; print n % 5000, "text", i % 77 } }' >input
for mode in plain acre; do
    in_mode "$mode" xz -T2 -3 --block-size=256KiB -c input >"$mode.xz" || fail "xz: $mode"
    in_mode "$mode" xz -T2 -d -c "$mode.xz" >"$mode.unpacked" || fail "xz -d: $mode"
    expect_same input "$mode.unpacked"
done
expect_same plain.xz acre.xz
expect_bound xz
passed
