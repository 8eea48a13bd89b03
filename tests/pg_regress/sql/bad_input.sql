-- Every argument that can't be used is named, with what came (cut short) and what is allowed; nothing is stored, and
-- NULL never turns a reply into SQL NULL.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
SET timezone = 'UTC';
SET datestyle = 'ISO';

-- Every function there is, with NULL for every argument, answers with an object that has a status.
CREATE FUNCTION pg_temp.call(call text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    reply jsonb;
BEGIN
    EXECUTE 'SELECT foreman.' || call INTO reply;
    RETURN reply;
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('raised', SQLSTATE, 'message', SQLERRM);
END
$$;
CREATE TEMP TABLE with_nulls AS
SELECT p.proname, p.pronargs,
       pg_temp.call(format('%I(%s)', p.proname, (
           SELECT string_agg('NULL::' || format_type(t.type, NULL), ', ' ORDER BY t.place)
           FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS t (type, place)))) AS reply
FROM pg_proc AS p
WHERE p.pronamespace = 'foreman'::regnamespace AND p.prorettype = 'jsonb'::regtype;
SELECT proname, reply IS NOT NULL AS answers, reply ->> 'status' AS status, reply ->> 'argument' AS argument,
       COALESCE(reply ->> 'got', reply ->> 'raised') AS got
FROM with_nulls ORDER BY proname COLLATE "C";
-- None is STRICT: that would answer NULL for a single NULL.
SELECT proname FROM pg_proc WHERE pronamespace = 'foreman'::regnamespace AND prorettype = 'jsonb'::regtype AND proisstrict AND pronargs > 0;

-- The table of what is refused.
SELECT count(foreman.create_job('there')) AS jobs FROM generate_series(1, 2);
CREATE TEMP TABLE refused (place integer GENERATED ALWAYS AS IDENTITY, call text);
INSERT INTO refused (call)
-- names, wherever there is one
SELECT replace(place.call, '@', bad.value)
FROM (VALUES (1, 'create_job(@)'), (2, 'create_job(''q'', job_type => @)'), (3, 'create_job(''q'', unique_key => @)'),
             (4, 'list_jobs(@)'), (5, 'list_jobs(job_type => @)'), (6, 'job_stats(@)'),
             (7, 'set_setting(@, ''1'')'), (8, 'set_setting_text(@, ''1'')'), (9, 'get_setting(@)'),
             (10, 'delete_setting(@)'), (11, 'list_settings(@)')) AS place (n, call),
     (VALUES (1, ''''''), (2, '''   '''), (3, 'E''\t'''), (4, 'E''a\nb'''), (5, 'E''bell\x07'''), (6, 'E''\u0085next'''),
             (7, 'repeat(''x'', 201)'), (8, 'repeat(''é'', 201)'), (9, 'repeat(''😀'', 201)'), (10, 'repeat(''y'', 1000000)')) AS bad (n, value)
ORDER BY place.n, bad.n;
INSERT INTO refused (call)
SELECT call FROM unnest(ARRAY[
    -- missing
    'create_job(NULL)', 'set_setting(NULL, ''1'')', 'get_setting(NULL)', 'delete_setting(NULL)',
    'create_job(''q'', NULL)', 'create_job(''q'', on_duplicate => NULL)',
    'create_job(''q'', metadata => NULL)', 'set_setting(''k'', NULL)', 'set_setting_text(''k'', NULL)',
    'create_jobs(NULL)', 'update_job_status(1, NULL)', 'bulk_update_job_status(NULL, ''failed'')',
    'bulk_update_job_status(''{1}'', NULL)', 'list_jobs(page_size => NULL)',
    -- create_job
    'create_job(''q'', priority => -1)', 'create_job(''q'', priority => 10)', 'create_job(''q'', priority => 2147483647)',
    'create_job(''q'', run_at => ''infinity'')', 'create_job(''q'', run_at => ''-infinity'')',
    'create_job(''q'', run_at => ''1999-12-31 23:59:59.999999+00'')', 'create_job(''q'', run_at => ''4713-01-01 00:00:00+00 BC'')',
    'create_job(''q'', run_at => ''294276-01-01 00:00:00+00'')',
    'create_job(''q'', on_duplicate => '''')', 'create_job(''q'', on_duplicate => ''Skip'')',
    'create_job(''q'', on_duplicate => ''skip '')', 'create_job(''q'', on_duplicate => repeat(''skip'', 1000))',
    'create_job(''q'', max_attempts => 0)', 'create_job(''q'', max_attempts => -5)', 'create_job(''q'', max_attempts => 1001)',
    'create_job(''q'', metadata => ''[]'')', 'create_job(''q'', metadata => ''null'')', 'create_job(''q'', metadata => ''"m"'')',
    'create_job(''q'', payload => to_jsonb(repeat(''x'', 1048577)))',
    -- options
    'create_job(''q'', options => ''[]'')', 'create_job(''q'', options => ''5'')', 'create_job(''q'', options => ''null'')',
    'create_job(''q'', options => ''"x"'')', 'create_job(''q'', options => ''true'')', 'create_job(''q'', options => ''{"speed": 1}'')',
    'create_job(''q'', options => ''{"": 1}'')', 'create_job(''q'', options => jsonb_build_object(repeat(''o'', 5000), 1))',
    'update_job_status(1, ''failed'', options => ''{"force": true}'')', 'bulk_update_job_status(''{1}'', ''failed'', options => ''{"force": true}'')',
    'list_jobs(options => ''{"order": "asc"}'')',
    -- ids
    'get_job(NULL)', 'get_job(0)', 'get_job(-1)', 'get_job(-9223372036854775808)', 'update_job_status(0, ''failed'')',
    'update_job_success(-1)', 'update_job_failure(NULL)', 'cancel_job(0)', 'delete_job(-7)', 'retry_job(NULL)',
    -- states, tokens, texts
    'update_job_status(1, '''')', 'update_job_status(1, ''done'')', 'update_job_status(1, ''Completed'')', 'update_job_status(1, '' failed'')',
    'bulk_update_job_status(''{1}'', ''succeeded'')', 'list_jobs(status => ''all'')', 'list_jobs(status => '''')',
    'update_job_success(1, lease_token => '''')', 'update_job_success(1, lease_token => ''token'')',
    'update_job_success(1, lease_token => ''0a1b2c3d-0000-4000-8000-00000000000g'')',
    'update_job_success(1, lease_token => ''{0a1b2c3d-0000-4000-8000-00000000000f}'')',
    'update_job_failure(1, repeat(''e'', 65537))', 'cancel_job(1, repeat(''é'', 40000))',
    'update_job_status(1, ''failed'', error => repeat(''e'', 65537))', 'set_setting(''k'', ''1'', repeat(''d'', 65537))',
    'update_job_status(1, ''running'', result => ''1'')', 'update_job_status(1, ''pending'', error => '''')',
    'update_job_success(1, to_jsonb(repeat(''x'', 1048577)))',
    -- arrays
    'bulk_update_job_status(''{}'', ''failed'')', 'bulk_update_job_status(''{NULL}'', ''failed'')',
    'bulk_update_job_status(''{1,NULL}'', ''failed'')', 'bulk_update_job_status(''{2,1,2}'', ''failed'')',
    'bulk_update_job_status(''{{1,2}}'', ''failed'')', 'bulk_update_job_status(''{{{1}}}'', ''failed'')',
    'bulk_update_job_status(''{1,0}'', ''failed'')', 'bulk_update_job_status(''{-1}'', ''failed'')',
    'bulk_update_job_status(ARRAY(SELECT generate_series(1, 10001)::bigint), ''failed'')',
    -- settings
    'set_setting(''k'', ''1'', expected_version => -1)', 'set_setting_text(''k'', ''1'', expected_version => -2147483648)',
    'set_setting(''k'', to_jsonb(repeat(''x'', 1048577)))',
    -- pages
    'list_jobs(page_size => 0)', 'list_jobs(page_size => 101)', 'list_settings(page_size => -1)',
    'list_jobs(cursor => '''')', 'list_jobs(cursor => repeat(''c'', 100000))', 'list_settings(cursor => ''c'')',
    -- access
    'grant_access(NULL, ''producer'')', 'grant_access('''', ''producer'')', 'grant_access(repeat(''r'', 201), ''producer'')',
    'grant_access(''pg_monitor'', NULL)', 'grant_access(''pg_monitor'', '''')', 'grant_access(''pg_monitor'', ''Admin'')',
    'grant_access(''pg_monitor'', ''superuser'')',
    -- seconds
    'job_stats(since_seconds => 0)', 'job_stats(since_seconds => -0.5)', 'job_stats(since_seconds => ''NaN'')',
    'job_stats(since_seconds => ''Infinity'')', 'job_stats(since_seconds => 1e300)'
]) AS call;
CREATE TEMP TABLE answered AS SELECT place, call, pg_temp.call(call) AS reply FROM refused ORDER BY place;
\pset format unaligned
SELECT call, reply ->> 'argument' AS argument, reply ->> 'got' AS got, reply ->> 'allowed' AS allowed FROM answered ORDER BY place;
\pset format aligned

-- What all of these answers have in common; the exceptions are listed.
SELECT call, left(reply::text, 60) AS reply
FROM answered
WHERE reply - '{argument,got,allowed,message,in_transaction}'::text[] IS DISTINCT FROM
        '{"status": "error", "error_code": "INVALID_PARAMS", "http_status": 400, "sqlstate": "JF004", "retryable": false,
          "attempts": 1}'
   OR reply ->> 'argument' IS NULL OR reply ->> 'got' IS NULL OR reply ->> 'allowed' IS NULL
   OR position(reply ->> 'argument' IN call || ' queue payload key value job_id job_ids jobs status error reason prefix description result role level') = 0
ORDER BY place;
-- The sentence names the argument, is short, on one line, and ends as one.
SELECT call, reply ->> 'message' AS message
FROM answered
WHERE reply ->> 'message' NOT LIKE (reply ->> 'argument') || ' must be %' OR length(reply ->> 'message') > 400
   OR reply ->> 'message' ~ '[[:cntrl:]]' OR length(reply ->> 'got') > 63
   -- What came can be seen: not an empty place in the sentence.
   OR reply ->> 'message' ~ 'but was *\.$'
ORDER BY place;
-- What is allowed for an object is not what is allowed for any JSON.
SELECT foreman.create_job('q', metadata => NULL) ->> 'allowed' AS allowed;

-- None of them left anything.
SELECT left(name, 20) AS name FROM foreman.queue ORDER BY name;
SELECT job_id, left(queue, 20) AS queue, status FROM foreman.jobs ORDER BY job_id;
SELECT count(*) AS settings FROM foreman.setting;

-- What is just allowed: 200 characters of any width, blanks around, any JSON, the ends of each range.
SELECT what, r ->> 'status' AS status, r ->> 'message' AS message
FROM (
    SELECT 1, '200 letters', foreman.create_job(repeat('x', 200))
    UNION ALL SELECT 2, '200 characters of two bytes', foreman.create_job(repeat('é', 200), unique_key => repeat('é', 200))
    UNION ALL SELECT 3, '200 characters of four bytes', foreman.create_job(repeat('😀', 200), job_type => repeat('😀', 200), unique_key => repeat('😀', 200))
    UNION ALL SELECT 4, 'blanks around', foreman.create_job(' q ')
    UNION ALL SELECT 5, 'quotes and the like', foreman.create_job($$'";\ -- $1 %s$$)
    UNION ALL SELECT 6, 'priority 0', foreman.create_job('q', priority => 0)
    UNION ALL SELECT 7, 'priority 9', foreman.create_job('q', priority => 9)
    UNION ALL SELECT 8, 'the year 2000', foreman.create_job('q', run_at => '2000-01-01 00:00:00+00')
    UNION ALL SELECT 9, '99 years ahead', foreman.create_job('q', run_at => now() + interval '99 years')
    UNION ALL SELECT 10, 'payload null', foreman.create_job('q', 'null')
    UNION ALL SELECT 11, 'payload a number', foreman.create_job('q', '-0.0')
    UNION ALL SELECT 12, 'payload an array', foreman.create_job('q', '[]')
    UNION ALL SELECT 13, '1 attempt', foreman.create_job('q', max_attempts => 1)
    UNION ALL SELECT 14, '1000 attempts', foreman.create_job('q', max_attempts => 1000)
    UNION ALL SELECT 15, 'no options', foreman.create_job('q', options => NULL)
    UNION ALL SELECT 16, 'no reason', foreman.cancel_job(1)
    UNION ALL SELECT 17, 'an empty error', foreman.update_job_failure(2, '')
    UNION ALL SELECT 18, '64 kB of error', foreman.update_job_failure((foreman.create_job('q') ->> 'job_id')::bigint, repeat('e', 65536))
    UNION ALL SELECT 19, 'a page of 1', foreman.list_jobs(page_size => 1)
    UNION ALL SELECT 20, 'a page of 100', foreman.list_jobs(page_size => 100)
    UNION ALL SELECT 21, 'expected_version 0', foreman.set_setting('k', '1', expected_version => 0)
    UNION ALL SELECT 22, 'ten years', foreman.job_stats(since_seconds => 315360000)
    UNION ALL SELECT 23, 'a moment', foreman.job_stats(since_seconds => 1e-6)
) AS t (place, what, r)
ORDER BY place;
-- A name that is accepted is kept as it is: none is cut.
SELECT char_length(name) AS characters, count(*) FROM foreman.queue GROUP BY 1 ORDER BY 1;
SELECT name FROM foreman.queue WHERE char_length(name) < 20 ORDER BY name COLLATE "C";

-- What the server refuses before a call begins is the server's own error.
SELECT foreman.create_job('q', '{bad json');
SELECT foreman.create_job('q', priority => 3000000000);
SELECT foreman.create_job(E'nul\u0000byte');
SELECT foreman.create_job('q', '"\u0000"');
SELECT foreman.get_job('x');
SELECT foreman.create_job();
SELECT foreman.create_job('q', colour => 'red');
