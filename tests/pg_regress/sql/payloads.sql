-- Payloads, results, metadata and settings come back equal, whatever JSON they are.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

CREATE TEMP TABLE document (place integer, what text, value jsonb);
INSERT INTO document VALUES
    (1, 'many digits', '12345678901234567890.123456789'),
    (2, 'many digits inside', '{"n": [12345678901234567890.123456789]}'),
    (3, 'beyond a double', '1e400'),
    (4, 'tiny', '1e-400'),
    (5, 'trailing zeroes', '1.500'),
    (6, 'largest bigint and more', '[9223372036854775807, 9223372036854775808, -9223372036854775809]'),
    (7, 'thousand levels of arrays', (repeat('[', 1000) || repeat(']', 1000))::jsonb),
    (8, 'thousand levels of objects', (repeat('{"a":', 1000) || '1' || repeat('}', 1000))::jsonb),
    (9, 'not ASCII', '"žluťoučký kůň 漢字 😀 \u2028"'),
    (10, 'keys not ASCII', '{"ключ": {"κλειδί": "鍵"}}'),
    (11, 'escapes', '"quote \" backslash \\ newline \n tab \t bell \u0007 percent %s %n $1"'),
    (12, 'null', 'null'),
    (13, 'null inside', '{"a": null, "b": [null]}'),
    (14, 'boolean', 'false'),
    (15, 'empty string', '""'),
    (16, 'empty array', '[]'),
    (17, 'empty object', '{}'),
    (18, 'empty key', '{"": ""}'),
    (19, 'keys of the reply', '{"status": "error", "job_id": -1, "job": {"payload": 1}, "value": 2}'),
    (20, 'as large as allowed', to_jsonb(repeat('x', 1048576 - 12))),
    (21, 'large and toasted', (SELECT jsonb_object_agg('key ' || n, md5(n::text)) FROM generate_series(1, 10000) AS n));

CREATE TEMP TABLE made AS
SELECT place, what, value, foreman.create_job('p', value, metadata => jsonb_build_object('m', value)) AS reply FROM document
WHERE place NOT IN (20, 21)
UNION ALL
SELECT place, what, value, foreman.create_job('p', value) FROM document WHERE place IN (20, 21);
SELECT count(foreman.update_job_success((reply ->> 'job_id')::bigint, value)) AS ended FROM made;
SELECT what, r #> '{job,payload}' = value AS payload, r #> '{job,result}' = value AS result,
       r #> '{job,metadata,m}' = value AS metadata, r ->> 'status' AS status
FROM made, LATERAL foreman.get_job((reply ->> 'job_id')::bigint) AS r ORDER BY place;
-- Equal down to the zeroes.
SELECT r #> '{job,payload}' AS payload FROM made, LATERAL foreman.get_job((reply ->> 'job_id')::bigint) AS r
WHERE what = 'trailing zeroes';
-- In a list, too, and in create_jobs.
SELECT count(*) AS equal
FROM made, jsonb_array_elements(foreman.list_jobs('p', page_size => 100) -> 'jobs') AS t (j)
WHERE j -> 'job_id' = reply -> 'job_id' AND j -> 'payload' = made.value;
WITH bulk AS MATERIALIZED (
    SELECT foreman.create_jobs(jsonb_agg(jsonb_build_object('queue', 'bulk', 'payload', value) ORDER BY place)) AS reply
    FROM document
)
SELECT count(*) AS equal
FROM bulk, jsonb_array_elements_text(reply -> 'job_ids') WITH ORDINALITY AS i (id, n)
JOIN LATERAL (SELECT value FROM document ORDER BY place OFFSET n - 1 LIMIT 1) AS d ON true
WHERE foreman.get_job(id::bigint) #> '{job,payload}' = d.value;
-- Settings, their defaults, and what a version conflict carries.
SELECT count(*) FILTER (WHERE foreman.set_setting('k' || place, value) ->> 'status' = 'success') AS set FROM document;
SELECT count(*) FILTER (WHERE foreman.get_setting('k' || place) -> 'value' = value) AS equal,
       count(*) FILTER (WHERE foreman.get_setting('none', value) -> 'value' = value) AS as_default,
       count(*) FILTER (WHERE foreman.set_setting('k' || place, '1', expected_version => 9) -> 'value' = value) AS in_conflict
FROM document;
-- Through foreman.execute and foreman.check.
SELECT count(*) FILTER (WHERE foreman.execute('SELECT $1::jsonb AS v', jsonb_build_array(value)) #> '{rows,0,v}' = value) AS equal
FROM document WHERE what <> 'null';
SELECT count(*) FILTER (WHERE foreman.check(jsonb_build_object('status', 'success', 'v', value)) -> 'v' = value) AS equal FROM document;

-- Too large: the size and the limit are told, the document is not.
SELECT jsonb_pretty(foreman.create_job('p', to_jsonb(repeat('x', 1048576 - 11))));
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got FROM foreman.create_job('p', metadata => jsonb_build_object('m', repeat('x', 1048576))) AS r;
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got FROM foreman.update_job_success(1, to_jsonb(repeat('x', 1048576))) AS r;
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got FROM foreman.bulk_update_job_status('{1}', 'completed', to_jsonb(repeat('x', 1048576))) AS r;
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got FROM foreman.set_setting('p', to_jsonb(repeat('x', 1048576))) AS r;
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got FROM foreman.set_setting_text('p', repeat('x', 1048576)) AS r;
-- The limit is a setting. What compresses well counts as it is, not as it is stored.
SET foreman.max_payload_bytes = '1kB';
SELECT r ->> 'got' AS got, r ->> 'allowed' AS allowed FROM foreman.create_job('p', to_jsonb(repeat('x', 2000))) AS r;
CREATE TEMP TABLE stored AS SELECT to_jsonb(repeat('x', 100000)) AS value;
SELECT r ->> 'got' AS got FROM stored, LATERAL foreman.create_job('p', value) AS r;
RESET foreman.max_payload_bytes;

-- A string that itself holds an object or an array was probably encoded twice: stored and warned of.
SELECT payload, r ->> 'status' AS status, r ? 'warning' AS warned
FROM (VALUES (1, '"{\"a\": 1}"'::jsonb), (2, '"[1, 2]"'), (3, '"  {} "'), (4, '"{}"'), (5, '"[]"'), (6, '"5"'), (7, '"null"'),
             (8, '"\"text\""'), (9, '"{a}"'), (10, '"[1, 2"'), (11, '"{\"a\": 1} and more"'), (12, '"text"'), (13, '""'),
             (14, '["{}"]'), (15, '{"a": "{}"}')) AS t (place, payload),
    LATERAL foreman.create_job('twice', payload) AS r
ORDER BY place;
SELECT foreman.create_job('twice', '"{\"a\": 1}"') ->> 'warning' AS warning;
SELECT payload FROM foreman.jobs WHERE queue = 'twice' ORDER BY job_id DESC LIMIT 1;
