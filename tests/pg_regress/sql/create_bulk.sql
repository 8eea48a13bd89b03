-- create_jobs makes all of its jobs or none, answers in the order of the array, and names the member that is wrong.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

SELECT foreman.create_jobs('[
    {"queue": "b", "payload": [1], "job_type": "t", "priority": 0, "run_at": "2030-01-02T03:04:05.5+01:00",
     "unique_key": "k", "on_duplicate": "error", "max_attempts": 4, "metadata": {"m": true}},
    {"queue": "a"},
    {"queue": "b", "payload": null, "job_type": null, "priority": null, "run_at": null, "unique_key": null,
     "on_duplicate": null, "max_attempts": null, "metadata": null}]') AS reply;
SELECT job_id, queue, payload, job_type, priority, run_at AT TIME ZONE 'UTC' AS run_at, unique_key, max_attempts, metadata
FROM foreman.jobs WHERE queue = 'b' AND job_type = 't';
SELECT queue, payload, job_type, priority, run_at = created_at AS now, unique_key, max_attempts, metadata
FROM foreman.jobs WHERE job_type IS NULL ORDER BY job_id;

-- The ids are in the order of the array, with keys and without.
WITH made AS (
    SELECT foreman.create_jobs('[
        {"queue": "o", "payload": 0, "unique_key": "z"}, {"queue": "o", "payload": 1},
        {"queue": "n", "payload": 2, "unique_key": "a"}, {"queue": "n", "payload": 3}]') AS reply
), ids AS MATERIALIZED (
    SELECT i.id::bigint, i.place - 1 AS place
    FROM made, jsonb_array_elements_text(reply -> 'job_ids') WITH ORDINALITY AS i (id, place)
)
SELECT place, foreman.get_job(id) #> '{job,payload}' = to_jsonb(place) AS is_its_own FROM ids ORDER BY place;

-- Keys within one array meet each other, too.
SELECT reply -> 'created' AS created, reply -> 'replaced' AS replaced, jsonb_array_length(reply -> 'job_ids') AS ids,
       (SELECT jsonb_agg(s - 'job_id') FROM jsonb_array_elements(reply -> 'skipped') AS s) AS skipped,
       reply #> '{job_ids,0}' = reply #> '{job_ids,1}' AND reply #> '{job_ids,0}' = reply #> '{job_ids,2}' AS one_job
FROM foreman.create_jobs('[
    {"queue": "d", "unique_key": "x", "payload": 1}, {"queue": "d", "unique_key": "x", "payload": 2},
    {"queue": "d", "unique_key": "x", "payload": 3, "on_duplicate": "replace"}, {"queue": "d"}]') AS reply;
SELECT payload FROM foreman.jobs WHERE queue = 'd' AND unique_key = 'x';

-- All or none: neither jobs nor queues are left of an array with a fault.
SELECT count(*) AS before FROM foreman.jobs \gset
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM foreman.create_jobs('[{"queue": "never"}, {"queue": "never", "priority": 10}]') AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM foreman.create_jobs('[{"queue": "never"}, {"queue": "d", "unique_key": "x", "on_duplicate": "error"}]') AS r;
SELECT count(*) - :before AS more, (SELECT count(*) FROM foreman.queue WHERE name = 'never') AS queues FROM foreman.jobs;

-- Ten thousand at once; one more is refused.
SELECT r -> 'created' AS created, jsonb_array_length(r -> 'job_ids') AS ids
FROM foreman.create_jobs((SELECT jsonb_agg('{"queue": "many"}'::jsonb) FROM generate_series(1, 10000))) AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM foreman.create_jobs((SELECT jsonb_agg('{"queue": "many"}'::jsonb) FROM generate_series(1, 10001))) AS r;

-- What is wrong is named by its place. A member that nobody knows is refused, whatever its value.
SELECT members, r ->> 'argument' AS argument, r ->> 'got' AS got, r ->> 'allowed' AS allowed
FROM (VALUES
    (1, '[]'::jsonb), (2, '{}'), (3, 'null'), (4, '"x"'), (5, '[1]'), (6, '[null]'), (7, '[[]]'), (8, '[{}]'),
    (9, '[{"queue": null}]'), (10, '[{"queue": 5}]'), (11, '[{"queue": ""}]'), (12, '[{"queue": "a\nb"}]'),
    (13, '[{"queue": "q", "nope": 1}]'), (14, '[{"queue": "q", "nope": null}]'), (15, '[{"queue": "q", "options": {}}]'),
    (16, '[{"queue": "q", "priority": 1.5}]'), (17, '[{"queue": "q", "priority": "5"}]'),
    (18, '[{"queue": "q", "priority": 1e30}]'), (19, '[{"queue": "q", "priority": -1}]'),
    (20, '[{"queue": "q", "priority": true}]'), (21, '[{"queue": "q", "run_at": "tomorrow"}]'),
    (22, '[{"queue": "q", "run_at": "2030-01-01T00:00:00"}]'), (23, '[{"queue": "q", "run_at": 5}]'),
    (24, '[{"queue": "q", "run_at": "infinity"}]'), (25, '[{"queue": "q", "run_at": "2030-02-30T00:00:00Z"}]'),
    (26, '[{"queue": "q", "metadata": []}]'), (27, '[{"queue": "q", "max_attempts": 0}]'),
    (28, '[{"queue": "q", "on_duplicate": "x"}]'), (29, '[{"queue": "q", "on_duplicate": 5}]'),
    (30, '[{"queue": "q", "unique_key": {}}]'), (31, '[{"queue": "q", "job_type": " "}]'),
    (32, '[{"queue": "q"}, {"queue": "q"}, {"queue": "q", "priority": 10}]')
) AS t (place, members), LATERAL foreman.create_jobs(members) AS r
ORDER BY place;
SELECT r ->> 'argument' AS argument, r ->> 'got' AS got, r ->> 'allowed' AS allowed
FROM foreman.create_jobs('[{"queue": "q", "run_at": "1999-12-31T23:59:59Z"}]') AS r;
SELECT r ->> 'argument' AS argument, r ->> 'allowed' AS allowed
FROM foreman.create_jobs('[{"queue": "q", "run_at": "9999-01-01T00:00:00Z"}]') AS r;
SELECT r ->> 'argument' AS argument, r ->> 'allowed' AS allowed
FROM foreman.create_jobs(jsonb_build_array(jsonb_build_object('queue', 'q', 'payload', repeat('x', 1048577)))) AS r;
SELECT count(*) AS made FROM foreman.jobs WHERE queue = 'q';

-- A whole number may be written with a fraction of zeroes, since some clients do.
SELECT foreman.create_jobs('[{"queue": "w", "priority": 7.0}]') ->> 'status' AS status;

-- A payload that seems to be encoded twice is stored and warned of, as create_job does.
SELECT foreman.create_jobs('[{"queue": "w", "payload": "{\"a\": 1}"}]') ? 'warning' AS warned;
