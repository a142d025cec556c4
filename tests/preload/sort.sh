# GNU sort with four threads, by bytes and by number.
. "$(dirname "$0")/common.sh"
need sort awk

awk 'BEGIN { for (i = 0; i < 300000; i++) { n = (n * 1103515245 + 12345) % 2147483648; print n, "line", i } }' >input
same_output sort sort --parallel=4 -S 8M -T "$scratch" input
same_output sort sort --parallel=4 -k1,1n -k3,3nr input
passed
