-- list_jobs shows each job once, newest first, page by page, while others come and end; a cursor is good for its own
-- query alone.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

SELECT foreman.list_jobs() AS nothing_yet;
SELECT count(foreman.create_job('l', to_jsonb(n), job_type => CASE n % 3 WHEN 0 THEN 'third' END))
FROM generate_series(1, 45) AS n;
SELECT count(foreman.create_job('other')) FROM generate_series(1, 3) AS n;
SELECT count(foreman.update_job_success(n)) FROM generate_series(1, 10) AS n;
SELECT count(foreman.update_job_failure(n)) FROM generate_series(11, 13) AS n;

-- A job in a list looks as get_job shows it.
SELECT foreman.list_jobs('l', page_size => 1) #> '{jobs,0}' = foreman.get_job(45) -> 'job' AS same;

-- 20 a page by default; where nothing follows there is no cursor.
CREATE FUNCTION pg_temp.ids(reply jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT jsonb_array_length(reply -> 'jobs') || ' of them' ||
           COALESCE(': ' || string_agg(j ->> 'job_id', ' ' ORDER BY place), '') ||
           CASE WHEN reply ? 'next_cursor' THEN ' and more' ELSE '' END
    FROM jsonb_array_elements(reply -> 'jobs') WITH ORDINALITY AS t (j, place)
$$;
SELECT foreman.list_jobs('l') AS page \gset
SELECT pg_temp.ids(:'page');
-- Jobs come, end and go meanwhile.
SELECT foreman.create_job('l') ->> 'job_id' AS job_id;
SELECT foreman.update_job_success(20) ->> 'to' AS "to";
SELECT foreman.delete_job(26) ->> 'status' AS status;
SELECT foreman.list_jobs('l', cursor => :'page'::jsonb ->> 'next_cursor') AS page \gset
SELECT pg_temp.ids(:'page');
SELECT foreman.list_jobs('l', cursor => :'page'::jsonb ->> 'next_cursor') AS page \gset
SELECT pg_temp.ids(:'page');
-- The page size may change on the way, and a page that ends with the list says so.
SELECT foreman.list_jobs('l', page_size => 40) AS page \gset
SELECT pg_temp.ids(foreman.list_jobs('l', page_size => 5, cursor => :'page'::jsonb ->> 'next_cursor'));
SELECT pg_temp.ids(foreman.list_jobs('other', page_size => 3));

-- Filters, alone and together.
SELECT pg_temp.ids(foreman.list_jobs('l', 'failed'));
SELECT pg_temp.ids(foreman.list_jobs(status => 'completed', job_type => 'third'));
SELECT pg_temp.ids(foreman.list_jobs('l', 'running'));
SELECT pg_temp.ids(foreman.list_jobs(job_type => 'unknown'));
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.list_jobs('no such queue') AS r;

-- A cursor of another query, of another function, or a mangled one.
SELECT foreman.list_jobs('l', 'pending', page_size => 2) ->> 'next_cursor' AS cursor \gset
SELECT count(foreman.set_setting('s' || n, '1')) FROM generate_series(1, 3) AS n;
SELECT foreman.list_settings(page_size => 1) ->> 'next_cursor' AS setting_cursor \gset
SELECT what, r ->> 'error_code' AS error_code, r ->> 'argument' AS argument, r ->> 'allowed' AS allowed
FROM (
    SELECT 1, 'its own', foreman.list_jobs('l', 'pending', cursor => :'cursor')
    UNION ALL SELECT 2, 'of a queue', foreman.list_jobs('other', 'pending', cursor => :'cursor')
    UNION ALL SELECT 3, 'of all', foreman.list_jobs(NULL, 'pending', cursor => :'cursor')
    UNION ALL SELECT 4, 'of a state', foreman.list_jobs('l', 'failed', cursor => :'cursor')
    UNION ALL SELECT 5, 'of a type', foreman.list_jobs('l', 'pending', 'third', cursor => :'cursor')
    UNION ALL SELECT 6, 'of settings', foreman.list_jobs(cursor => :'setting_cursor')
    UNION ALL SELECT 7, 'for settings', foreman.list_settings(cursor => :'cursor')
    UNION ALL SELECT 8, 'empty', foreman.list_jobs('l', 'pending', cursor => '')
    UNION ALL SELECT 9, 'a word', foreman.list_jobs('l', 'pending', cursor => 'next')
    UNION ALL SELECT 10, 'a number', foreman.list_jobs('l', 'pending', cursor => '42')
    UNION ALL SELECT 11, 'a character less', foreman.list_jobs('l', 'pending', cursor => left(:'cursor', -1))
    UNION ALL SELECT 12, 'a character more', foreman.list_jobs('l', 'pending', cursor => :'cursor' || '0')
    UNION ALL SELECT 13, 'other case', foreman.list_jobs('l', 'pending', cursor => upper(:'cursor') || 'A')
    UNION ALL SELECT 14, 'not ASCII', foreman.list_jobs('l', 'pending', cursor => repeat('é', 3000))
    UNION ALL SELECT 15, 'blanks around', foreman.list_jobs('l', 'pending', cursor => ' ' || :'cursor')
) AS t (place, what, r)
ORDER BY place;

-- 1 to 100 a page.
SELECT size, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM (VALUES (1, NULL::integer), (2, 0), (3, -1), (4, 101), (5, 2147483647), (6, -2147483648)) AS t (place, size),
    LATERAL foreman.list_jobs(page_size => size) AS r
ORDER BY place;
SELECT size, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM (VALUES (1, NULL::integer), (2, 0), (3, -1), (4, 101)) AS t (place, size),
    LATERAL foreman.list_settings(page_size => size) AS r
ORDER BY place;
SELECT pg_temp.ids(foreman.list_jobs('other', page_size => 100));

-- Every job is on exactly one page.
CREATE FUNCTION pg_temp.walk(size integer) RETURNS TABLE (pages bigint, ids bigint, different bigint) LANGUAGE plpgsql AS $$
DECLARE
    page jsonb := foreman.list_jobs(page_size => size);
    seen bigint[] := '{}';
BEGIN
    pages := 1;
    LOOP
        seen := seen || ARRAY(SELECT (j ->> 'job_id')::bigint FROM jsonb_array_elements(page -> 'jobs') AS j);
        EXIT WHEN NOT page ? 'next_cursor';
        page := foreman.check(foreman.list_jobs(page_size => size, cursor => page ->> 'next_cursor'));
        pages := pages + 1;
    END LOOP;
    SELECT count(*), count(DISTINCT id) INTO ids, different FROM unnest(seen) AS id;
    RETURN NEXT;
END
$$;
SELECT size, w.* FROM (VALUES (1), (7), (48), (100)) AS t (size), LATERAL pg_temp.walk(size) AS w ORDER BY size;
