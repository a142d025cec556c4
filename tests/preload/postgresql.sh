# PostgreSQL: initdb, queries with parallel workers, hash joins, sorts, JSON and functions, compared
# with a cluster without acre; then pgbench with four clients, whose sums must agree.
. "$(dirname "$0")/common.sh"

# The programs of the server are in a directory of their own; the newest, where there are several.
for directory in $(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -V); do
    [ -x "$directory/initdb" ] && PATH=$directory:$PATH
done
need initdb postgres psql pgbench

# Its server refuses to run as root.
if [ "$(id -u)" = 0 ]; then
    need setpriv
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    run_as=(setpriv "--reuid=$user" "--regid=$(id -g "$user")" --clear-groups)
    chown "$user" "$scratch"
fi

cat >script.sql <<'SQL'
SET max_parallel_workers_per_gather = 2;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
CREATE TABLE word AS
  SELECT i, md5(i::text) AS text, i % 97 AS part, repeat('x', i % 700) AS filling
  FROM generate_series(1, 30000) AS i;
CREATE INDEX ON word (text);
ANALYZE word;
SELECT count(*), sum(length(filling)), min(text), max(text) FROM word;
SELECT part, count(*), md5(string_agg(text, ',' ORDER BY i)) FROM word GROUP BY part ORDER BY part;
SELECT count(*), sum(a.i - b.part) FROM word a JOIN word b ON a.text = b.text WHERE a.part < b.i;
SELECT md5(string_agg(text, '')) FROM (SELECT text FROM word ORDER BY filling, text) AS sorted;
SELECT md5(jsonb_agg(jsonb_build_object('i', i, 'text', text) ORDER BY i)::text) FROM word;
DO $$
DECLARE
  total bigint := 0;
BEGIN
  FOR k IN 1..20000 LOOP
    BEGIN
      total := total + length(repeat('y', k % 300));
      IF k % 100 = 0 THEN RAISE EXCEPTION 'number %', k; END IF;
    EXCEPTION WHEN raise_exception THEN
      total := total - 1;
    END;
  END LOOP;
  RAISE NOTICE 'total %', total;
END $$;
UPDATE word SET filling = reverse(text) WHERE part < 40;
DELETE FROM word WHERE part = 50;
VACUUM word;
SELECT count(*), md5(string_agg(filling, '' ORDER BY i)) FROM word;
SELECT relname, md5(string_agg(attname, ',' ORDER BY attnum)) FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
  GROUP BY relname ORDER BY relname COLLATE "C";
SQL

# query MODE [OPTION...]: psql as the cluster's owner, notices included, errors fatal.
query() {
    local mode=$1
    shift
    in_mode "$mode" psql -X -q -A -t -v ON_ERROR_STOP=1 -h "$scratch/$mode.socket" -U tester -d postgres "$@"
}

for mode in plain acre; do
    mkdir -m 777 "$mode.socket"
    in_mode "$mode" initdb -N --no-instructions -A trust -E UTF8 --locale=C -U tester -D "$scratch/$mode.data" \
        >initdb.log || fail "initdb: $mode"
    start_server "$mode" postgres -D "$scratch/$mode.data" -k "$scratch/$mode.socket" -c listen_addresses= \
        -c fsync=off -c shared_buffers=16MB -c max_connections=20 -c work_mem=1MB
    wait_until query "$mode" -c 'SELECT 1'
    query "$mode" -f script.sql >"$mode.output" || fail "psql: $mode"
    if [ "$mode" = acre ]; then
        bench=(pgbench -h "$scratch/acre.socket" -U tester postgres)
        in_mode acre "${bench[@]}" -i -q >pgbench.log || fail "pgbench -i"
        in_mode acre "${bench[@]}" -c 4 -j 2 -t 250 >pgbench.log || fail "pgbench"
        sums=$(query acre -c "SELECT count(*) = 1000 AND sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts)
            AND sum(delta) = (SELECT sum(bbalance) FROM pgbench_branches)
            AND sum(delta) = (SELECT sum(tbalance) FROM pgbench_tellers) FROM pgbench_history")
        expect_equal "$sums" t "the sums of pgbench's tables agree"
    fi
    stop_server "$server_pid" INT
    # the shutdown may come before a client that has ended is seen to be gone
    harmless='starting up|terminating connection due to administrator command'
    ! grep -E 'PANIC|FATAL|terminated by signal' "$mode.log" | grep -vE "$harmless" ||
        fail "the server reports errors: $mode"
done
[ -s plain.output ] || fail "the queries gave nothing"
expect_same plain.output acre.output
expect_bound postgres
expect_bound initdb
passed
