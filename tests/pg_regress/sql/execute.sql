-- foreman.execute runs one statement of the caller's with bound parameters, changes all that it is told to change, and
-- shows the rows that were asked for.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
SET timezone = 'UTC';
SET intervalstyle = 'postgres';
CREATE TABLE item (id integer CONSTRAINT item_id PRIMARY KEY, label text);

-- The whole reply; what took how long is left out below.
SELECT jsonb_pretty(r || jsonb_build_object('duration_ms', jsonb_typeof(r -> 'duration_ms')))
FROM foreman.execute('INSERT INTO item VALUES ($1, $2), ($3, $4) RETURNING *', '[1, "one", 2, null]') AS r;
CREATE FUNCTION pg_temp.run(statement text, params jsonb DEFAULT '[]', max_rows integer DEFAULT 100) RETURNS jsonb
LANGUAGE sql AS $$
    SELECT CASE r ->> 'status' WHEN 'success' THEN r - '{duration_ms,status,attempts,in_transaction}'::text[]
        ELSE r - '{status,http_status,attempts,retryable,in_transaction,message}'::text[] END
    FROM foreman.execute(statement, params, max_rows => max_rows) AS r
$$;

-- Every kind of JSON into every kind of type: as a driver binds text.
SELECT kind, type, COALESCE(r #> '{rows,0,v}', r -> 'sqlstate') AS answer
FROM (VALUES ('5'::jsonb), ('5.0'), ('-0.5'), ('true'), ('null'), ('"5"'), ('"x"'), ('"2024-02-29 12:00:00+00"'),
             ('[1, 2]'), ('[[1, 2], [3, 4]]'), ('[]'), ('["a", null, "b\"c\\d", "NULL", "", "{}", "é"]'), ('{"a": [1]}')) AS k (kind)
CROSS JOIN unnest('{integer,bigint,numeric,double precision,text,boolean,timestamptz,jsonb,json,integer[],text[]}'::text[])
    WITH ORDINALITY AS t (type, place)
CROSS JOIN LATERAL pg_temp.run(format('SELECT $1::%s AS v', type), jsonb_build_array(kind)) AS r
ORDER BY place, kind::text COLLATE "C";

-- Numbers keep their digits.
SELECT pg_temp.run('SELECT $1::numeric AS n, $2::text AS t, $3::jsonb AS j',
    '[12345678901234567890.123456789, 12345678901234567890.123456789, 1e400]') #> '{rows,0}' =
    '{"n": 12345678901234567890.123456789, "t": "12345678901234567890.123456789", "j": 1e400}' AS kept;
-- JSON null is SQL NULL; within a document it is not.
SELECT pg_temp.run('SELECT $1::jsonb IS NULL AS top, $2::jsonb IS NULL AS inside', '[null, [null]]') -> 'rows' AS nulls;
-- A jsonb array as one parameter, and as an array of documents.
SELECT pg_temp.run('SELECT $1::jsonb[] AS v', '[[{"a": 1}, 2, "s", true]]') #> '{rows,0,v}' AS documents;
SELECT pg_temp.run('SELECT $1::json[] AS v', '[["s"]]') #> '{rows,0,v}' AS documents;
-- Values are never SQL.
SELECT pg_temp.run('SELECT $1::text AS v', $$["'; DROP TABLE item; --"]$$) #>> '{rows,0,v}' AS value;
-- What a type does not allow is refused, NULL too.
CREATE DOMAIN filled AS text NOT NULL CONSTRAINT filled_is_not_empty CHECK (VALUE <> '');
CREATE TABLE form (field filled);
SELECT value, pg_temp.run('INSERT INTO form VALUES ($1)', jsonb_build_array(value)) - 'constraint' - 'rows' AS answer
FROM (VALUES (1, '"x"'::jsonb), (2, '""'), (3, 'null')) AS t (place, value) ORDER BY place;
SELECT field FROM form;
DROP TABLE form;
DROP DOMAIN filled;
-- Types are inferred as a driver's are; a parameter of no known type is text.
SELECT pg_temp.run('SELECT label FROM item WHERE id = $1', '["1"]') -> 'rows' AS rows;
SELECT pg_temp.run('SELECT count(*) FROM item WHERE id = ANY ($1)', '[[1, 2, 3]]') -> 'rows' AS rows;
SELECT pg_temp.run('SELECT $1 AS v', '[7]') -> 'rows' AS rows;
SELECT pg_temp.run('SELECT $1::item AS v', '["(9,nine)"]') -> 'rows' AS rows;
-- The number has to be right, none may be left out, and params is an array.
SELECT pg_temp.run('SELECT $1::int', '[]');
SELECT pg_temp.run('SELECT 1', '[1]');
SELECT pg_temp.run('SELECT $1::int + $2', '[1]');
SELECT pg_temp.run('SELECT $2::int AS v', '[1, 2]') - 'argument' - 'got' - 'allowed' AS gap;
SELECT pg_temp.run('SELECT 1', '{}');
SELECT pg_temp.run('SELECT 1', '5');
SELECT pg_temp.run('SELECT 1', NULL);

-- One statement. Comments and empty ones do not count.
SELECT pg_temp.run('SELECT 1 AS v;') -> 'rows' AS rows;
SELECT pg_temp.run('; SELECT 1 AS v; ; -- done') -> 'rows' AS rows;
SELECT pg_temp.run('SELECT 1; SELECT 2');
SELECT pg_temp.run('INSERT INTO item VALUES (99); SELECT 1') -> 'error_code' AS error_code;
SELECT pg_temp.run('') -> 'got' AS got;
SELECT pg_temp.run('-- only a comment') -> 'got' AS got;
SELECT pg_temp.run(' ; ; ') -> 'got' AS got;
SELECT pg_temp.run(NULL);
SELECT length(r ->> 'got') AS length FROM pg_temp.run(repeat('SELECT 1;', 1000)) AS r;
SELECT pg_temp.run(repeat(' ', 1048577));

-- No transaction control, no COPY, whatever it is called.
SELECT statement, r ->> 'error_code' AS error_code, r ->> 'argument' AS argument, r ->> 'got' AS got
FROM unnest('{BEGIN,START TRANSACTION,COMMIT,END,ROLLBACK,ABORT,SAVEPOINT s,RELEASE s,ROLLBACK TO s,COMMIT PREPARED ''x'',PREPARE TRANSACTION ''x'',COMMIT AND CHAIN,COPY item TO STDOUT,COPY item FROM STDIN,COPY (SELECT 1) TO ''/dev/null'',copy item from program ''true''}'::text[])
    WITH ORDINALITY AS t (statement, place), LATERAL pg_temp.run(statement) AS r
ORDER BY place;
-- What the server itself refuses inside a function keeps the server's SQLSTATE.
SELECT statement, r ->> 'error_code' AS error_code, r ->> 'sqlstate' AS sqlstate
FROM unnest('{VACUUM,CREATE DATABASE regress_never,SET TRANSACTION ISOLATION LEVEL SERIALIZABLE,DISCARD ALL,CREATE INDEX CONCURRENTLY ON item (label)}'::text[])
    WITH ORDINALITY AS t (statement, place), LATERAL pg_temp.run(statement) AS r
ORDER BY place;

-- Procedures and DO: those that commit are refused, the others run.
CREATE PROCEDURE pg_temp.count_up(INOUT n integer) LANGUAGE plpgsql AS $$BEGIN n := n + 1; END$$;
CREATE PROCEDURE pg_temp.commits() LANGUAGE plpgsql AS $$BEGIN COMMIT; END$$;
SELECT pg_temp.run('CALL pg_temp.count_up($1)', '[41]');
SELECT pg_temp.run('CALL pg_temp.commits()');
SELECT pg_temp.run('DO $$BEGIN COMMIT; END$$');
SELECT pg_temp.run('DO $$BEGIN INSERT INTO item VALUES (3); END$$');
SELECT id FROM item WHERE id = 3;
-- A warning of the statement's reaches the caller.
SELECT pg_temp.run('DO $$BEGIN RAISE WARNING ''careful''; END$$');

-- Other statements.
SELECT pg_temp.run('CREATE TABLE other AS SELECT generate_series(1, 3) AS n');
SELECT pg_temp.run('EXPLAIN (COSTS OFF) SELECT 1');
SELECT pg_temp.run('SHOW timezone');
SELECT pg_temp.run('VALUES (1, ''a''), (2, NULL)');
SELECT pg_temp.run('SELECT');
SELECT pg_temp.run('DROP TABLE other');
SELECT pg_temp.run('SELECT interval ''1 day'' AS i, ''\x01ff''::bytea AS b, int4range(1, 5) AS r, ''NaN''::float8 AS f, ARRAY[[1, 2]] AS a, ROW(1, ''x'') AS c')
    #> '{rows,0}' AS row;
-- A setting that the statement sets stays set, as after any statement.
SELECT pg_temp.run('SET work_mem = ''5MB''');
SHOW work_mem;
RESET work_mem;
BEGIN;
SELECT pg_temp.run('SET LOCAL work_mem = ''6MB''') -> 'row_count' AS row_count;
-- The end of the call would undo this one without a word, so it is refused.
SELECT r ->> 'error_code' AS error_code, r ->> 'allowed' AS allowed FROM pg_temp.run('SET LOCAL lock_timeout = ''9s''') AS r;
SELECT name, setting FROM pg_settings WHERE name IN ('work_mem', 'lock_timeout') ORDER BY name;
ROLLBACK;

-- Rows: 100 by default. What changes rows always runs to its end.
SELECT pg_temp.run('TRUNCATE item');
SELECT pg_temp.run('INSERT INTO item SELECT n, ''new'' FROM generate_series(1, 200) AS n RETURNING id', max_rows => 0);
SELECT count(*) FROM item;
SELECT pg_temp.run('UPDATE item SET label = ''old'' WHERE id <= 150 RETURNING id', max_rows => 2);
SELECT pg_temp.run('UPDATE item SET label = ''older'' WHERE id <= 150');
SELECT pg_temp.run('WITH gone AS (DELETE FROM item WHERE id > 150 RETURNING id) SELECT id FROM gone ORDER BY id', max_rows => 1);
SELECT label, count(*) FROM item GROUP BY label;
SELECT r -> 'row_count' AS row_count, r -> 'truncated' AS truncated, jsonb_array_length(r -> 'rows') AS rows
FROM pg_temp.run('SELECT * FROM item') AS r;
SELECT pg_temp.run('SELECT id FROM item ORDER BY id', max_rows => 2);
SELECT pg_temp.run('SELECT id FROM item WHERE id <= 2 ORDER BY id', max_rows => 2);
SELECT pg_temp.run('SELECT id FROM item', max_rows => 0);
SELECT pg_temp.run('SELECT id FROM item WHERE false', max_rows => 0);
SELECT jsonb_array_length(pg_temp.run('SELECT generate_series(1, 10000)', max_rows => 10000) -> 'rows') AS rows;
SELECT n, pg_temp.run('SELECT 1', max_rows => n) ->> 'got' AS got FROM unnest('{-1,10001,NULL}'::integer[]) WITH ORDINALITY AS t (n, place) ORDER BY place;
-- A function that is called for each row changes rows as well.
SELECT pg_temp.run('SELECT foreman.create_job(''e'') ->> ''status'' AS status FROM generate_series(1, 5)', max_rows => 1) -> 'rows' AS rows;
SELECT count(*) AS jobs FROM foreman.jobs WHERE queue = 'e';

-- Duplicates: an error that names the constraint, or an answer.
SELECT pg_temp.run('INSERT INTO item VALUES (1)');
SELECT r - 'duration_ms' AS reply FROM foreman.execute('INSERT INTO item VALUES (1)', on_duplicate => 'skip') AS r;
SELECT r ->> 'error_code' AS error_code FROM foreman.execute('INSERT INTO item VALUES (NULL)', on_duplicate => 'skip') AS r;
SELECT what, r ->> 'argument' AS argument, r ->> 'got' AS got, r ->> 'allowed' AS allowed
FROM unnest('{replace,SKIP,"",NULL}'::text[]) WITH ORDINALITY AS t (what, place), LATERAL foreman.execute('SELECT 1', on_duplicate => what) AS r
ORDER BY place;

-- Limits of one call.
SELECT n, r ->> 'argument' AS argument, r ->> 'got' AS got, r ->> 'allowed' AS allowed
FROM unnest('{-1,11}'::integer[]) AS n, LATERAL foreman.execute('SELECT 1', max_retries => n) AS r ORDER BY n;
SELECT s, r ->> 'argument' AS argument, r ->> 'got' AS got, r ->> 'allowed' AS allowed
FROM unnest('{0,-1,86401,NaN,Infinity}'::double precision[]) WITH ORDINALITY AS t (s, place), LATERAL foreman.execute('SELECT 1', timeout_seconds => s) AS r
ORDER BY place;
SELECT r - 'attempts' AS reply FROM foreman.execute('SELECT pg_sleep(60)', timeout_seconds => 0.05) AS r;
SET foreman.query_timeout = '50ms';
SELECT r - 'attempts' AS reply FROM foreman.execute('SELECT pg_sleep(60)') AS r;
SELECT r ->> 'status' AS longer_than_the_setting FROM foreman.execute('SELECT pg_sleep(0.1)', timeout_seconds => 5) AS r;
RESET foreman.query_timeout;
-- A time-out leaves the transaction usable and nothing that cancels what follows.
BEGIN;
INSERT INTO item VALUES (1000, 'kept');
SELECT foreman.execute('INSERT INTO item SELECT 1001, pg_sleep(60)::text', timeout_seconds => 0.05) ->> 'error_code' AS error_code;
SELECT pg_sleep(0.1) IS NOT NULL AS undisturbed;
COMMIT;
SELECT id FROM item WHERE id >= 1000;

-- The caller's rights and search_path.
CREATE ROLE regress_caller;
CREATE SCHEMA regress_place CREATE TABLE item (id integer);
SELECT foreman.grant_access('regress_caller', 'producer') ->> 'status' AS granted;
GRANT USAGE ON SCHEMA regress_place TO regress_caller;
GRANT ALL ON regress_place.item TO regress_caller;
SET ROLE regress_caller;
SELECT foreman.execute('SELECT current_user AS me') -> 'rows' AS rows;
SELECT foreman.execute('TABLE item') ->> 'error_code' AS error_code;
SELECT foreman.execute('TABLE foreman.live_job') ->> 'error_code' AS error_code;
SET search_path = regress_place;
SELECT foreman.execute('TABLE item') ->> 'status' AS status;
RESET search_path;
RESET ROLE;
DROP OWNED BY regress_caller;
DROP ROLE regress_caller;
DROP TABLE regress_place.item;
DROP SCHEMA regress_place;

-- Calls within calls: one answer each; the inner's failure is the inner's.
SELECT foreman.execute('SELECT r ->> ''error_code'' AS inner_code FROM foreman.get_job(-1) AS r') #> '{rows,0}' AS rows;
SELECT r #> '{rows,0}' AS rows
FROM foreman.execute('SELECT r #>> ''{rows,0,v}'' AS v FROM foreman.execute(''SELECT 7 AS v'') AS r') AS r;
SELECT r #> '{rows,0}' AS rows
FROM foreman.execute($$
    SELECT r ->> 'status' AS inner_status
    FROM foreman.execute('INSERT INTO item VALUES (1)', on_duplicate => 'skip') AS r$$) AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'sqlstate' AS sqlstate
FROM foreman.execute('SELECT foreman.check(foreman.get_job(12345))') AS r;

DROP TABLE item;
