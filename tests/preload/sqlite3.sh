# The sqlite3 shell with a database on disk and a threaded sorter: the same answers, and equal
# database files.
. "$(dirname "$0")/common.sh"
need sqlite3

cat >script.sql <<'END'
PRAGMA threads = 4;
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT, weight REAL, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
  INSERT INTO word SELECT i, 'word ' || (i * 7919 % 60000), i / 7.0, zeroblob(i % 300) FROM n;
CREATE INDEX word_text ON word (text);
UPDATE word SET text = text || ' and ' || upper(text) WHERE id % 3 = 0;
DELETE FROM word WHERE id % 11 = 0;
SELECT count(*), sum(weight), sum(length(data)), sum(length(text)) FROM word;
SELECT text, weight FROM word ORDER BY data, text DESC LIMIT 200;
SELECT substr(text, 1, 7) AS part, count(*), group_concat(id) FROM word GROUP BY part ORDER BY part;
SELECT json_group_array(json_object('id', id, 'text', text)) FROM word WHERE id < 5000;
VACUUM;
PRAGMA integrity_check;
END

for mode in plain acre; do
    in_mode "$mode" sqlite3 -batch "$mode.db" <script.sql >"$mode.output" || fail "sqlite3: $mode"
done
grep -qx ok plain.output || fail "integrity_check"
expect_same plain.output acre.output
expect_same plain.db acre.db
expect_bound sqlite3
passed
