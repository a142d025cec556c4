-- Inserts, indexes, updates, queries with sorts and joins, text and JSON, in a data base in memory;
-- prints what the queries give. The parameter :rows is the size of the tables.
CREATE TABLE word (id INTEGER PRIMARY KEY, text TEXT, weight REAL, data BLOB);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows)
  INSERT INTO word SELECT i, 'word ' || (i * 7919 % 60000), i / 7.0, zeroblob(i % 300) FROM n;
CREATE INDEX word_text ON word (text);
CREATE TABLE part AS SELECT id % 997 AS number, text, length(data) AS size FROM word;
CREATE INDEX part_number ON part (number);
UPDATE word SET text = text || ' and ' || upper(text) WHERE id % 3 = 0;
DELETE FROM word WHERE id % 11 = 0;
SELECT count(*), sum(weight), sum(length(data)), sum(length(text)) FROM word;
SELECT text, weight FROM word ORDER BY data, text DESC LIMIT 100;
SELECT number, count(*), sum(length(word.text)) FROM part JOIN word ON word.text = part.text
  GROUP BY number HAVING number % 50 = 0;
SELECT substr(text, 1, 7) AS head, count(*), length(group_concat(text)) FROM word GROUP BY head ORDER BY head;
SELECT length(json_group_array(json_object('id', id, 'text', text))) FROM word;
SELECT sum(json_extract(json_object('id', id, 'list', json_array(id, text, weight)), '$.list[0]')) FROM word;
SELECT count(DISTINCT replace(text, 'o', 'oo')) FROM word;
DROP TABLE part;
VACUUM;
PRAGMA integrity_check;
