-- Nobody may do anything until foreman.grant_access says so: each level may call its own functions and no other, and
-- no level reaches the tables.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
CREATE ROLE regress_nobody;
CREATE ROLE regress_producer;
CREATE ROLE regress_worker;
CREATE ROLE regress_monitor;
CREATE ROLE regress_admin;

SET ROLE regress_nobody;
SELECT foreman.create_job('q');
SELECT * FROM foreman.error_codes;
RESET ROLE;

SELECT level, r - 'granted' AS reply, (r -> 'granted')::integer > 0 AS granted
FROM unnest('{producer,worker,monitor,admin}'::text[]) WITH ORDINALITY AS t (level, place),
    LATERAL foreman.grant_access('regress_' || level, level) AS r
ORDER BY place;
-- Again is no error.
SELECT foreman.grant_access('regress_producer', 'producer') ->> 'status' AS status;

-- Who may call what. The steps of upkeep and of granting are in nobody's reach.
SELECT p.proname,
       has_function_privilege('regress_nobody', p.oid, 'EXECUTE') AS nobody,
       has_function_privilege('regress_producer', p.oid, 'EXECUTE') AS producer,
       has_function_privilege('regress_worker', p.oid, 'EXECUTE') AS worker,
       has_function_privilege('regress_monitor', p.oid, 'EXECUTE') AS monitor,
       has_function_privilege('regress_admin', p.oid, 'EXECUTE') AS admin
FROM pg_proc AS p WHERE p.pronamespace = 'foreman'::regnamespace ORDER BY p.proname COLLATE "C";
-- Who may read what. Nobody may write.
SELECT c.relname,
       has_table_privilege('regress_nobody', c.oid, 'SELECT') AS nobody,
       has_table_privilege('regress_producer', c.oid, 'SELECT') AS producer,
       has_table_privilege('regress_worker', c.oid, 'SELECT') AS worker,
       has_table_privilege('regress_monitor', c.oid, 'SELECT') AS monitor,
       has_table_privilege('regress_admin', c.oid, 'SELECT') AS admin
FROM pg_class AS c WHERE c.relnamespace = 'foreman'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relname COLLATE "C";
SELECT r.rolname, c.relname, p.privilege
FROM pg_roles AS r, pg_class AS c, unnest('{INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS p (privilege)
WHERE r.rolname LIKE 'regress\_%' AND c.relnamespace = 'foreman'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND has_table_privilege(r.oid, c.oid, p.privilege);
SELECT rolname, has_schema_privilege(oid, 'foreman', 'USAGE') AS usage, has_schema_privilege(oid, 'foreman', 'CREATE') AS creation
FROM pg_roles WHERE rolname LIKE 'regress\_%' ORDER BY rolname COLLATE "C";
-- access_levels says the same as the privileges.
SELECT level, kind, object FROM foreman.access_levels
WHERE NOT CASE WHEN kind <> 'TABLE' THEN has_function_privilege('regress_' || level, object, 'EXECUTE')
    ELSE has_table_privilege('regress_' || level, object, 'SELECT') END;

-- In use: a role that has no right to any table gets its work done.
SET ROLE regress_producer;
SELECT foreman.create_job('q', '1') ->> 'status' AS create_job;
SELECT foreman.create_jobs('[{"queue": "q"}]') ->> 'status' AS create_jobs;
SELECT foreman.get_job(1) ->> 'status' AS get_job;
SELECT foreman.job_stats() -> 'pending' AS pending;
SELECT foreman.check(foreman.get_job(1)) ->> 'status' AS checked;
SELECT count(*) > 0 AS codes FROM foreman.error_codes;
SELECT foreman.update_job_success(1);
SELECT foreman.set_setting('k', '1');
SELECT foreman.metrics();
SELECT foreman.maintain();
SELECT payload FROM foreman.live_job;
SELECT payload FROM foreman.jobs;
SELECT foreman.execute('SELECT payload FROM foreman.live_job') ->> 'error_code' AS by_execute;
SELECT foreman.execute('SELECT foreman.delete_job(1)') ->> 'error_code' AS by_execute;
SET ROLE regress_worker;
SELECT foreman.update_job_success(1) ->> 'status' AS update_job_success;
SELECT foreman.delete_job(1);
SET ROLE regress_monitor;
SELECT foreman.job_stats() ->> 'status' AS job_stats;
SELECT count(*) > 0 AS counted FROM foreman.call_stats;
SELECT foreman.metrics() ~ E'\nforeman_preloaded [01]\n' AS metrics, foreman.metrics('openmetrics') ~ E'\n# EOF\n$' AS openmetrics;
SELECT count(*) > 0 AS measured FROM foreman.metric_samples;
SELECT count(*) >= 0 AS listed FROM foreman.slow_calls;
SELECT foreman.get_job(1);
SET ROLE regress_admin;
SELECT foreman.set_setting('k', '1') ->> 'status' AS set_setting;
SELECT foreman.maintain() ->> 'status' AS maintain;
SELECT foreman.delete_job(1) ->> 'status' AS delete_job;
SELECT queue, status FROM foreman.jobs ORDER BY job_id;
SELECT key, version FROM foreman.setting_history;
SELECT count(*) > 0 AS counted FROM foreman.call_stats;
SELECT foreman.grant_access('regress_nobody', 'producer') ->> 'status' AS grant_access;
SELECT foreman.grant_level('regress_nobody', 'admin');
SELECT foreman.make_partition('2020-01-01');
-- A table of the caller's own does not stand in for ours.
CREATE TEMP TABLE live_job (id bigint);
CREATE TEMP TABLE queue (name text);
SELECT foreman.create_job('q') ->> 'status' AS status;
DROP TABLE pg_temp.live_job, pg_temp.queue;
SET ROLE regress_nobody;
SELECT foreman.create_job('q') ->> 'status' AS granted_by_the_admin;
RESET ROLE;
DROP OWNED BY regress_nobody;
SET ROLE regress_nobody;
SELECT foreman.create_job('q');
RESET ROLE;

-- Roles that are not there, and names that need quoting.
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.grant_access('regress_unknown', 'producer') AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.grant_access('public', 'producer') AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.grant_access('PUBLIC', 'producer') AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'message' AS message FROM foreman.grant_access('REGRESS_worker', 'producer') AS r;
SELECT r ->> 'error_code' AS error_code, r ->> 'allowed' AS allowed FROM foreman.grant_access('regress_nobody', 'owner') AS r;
CREATE ROLE "regress odd"", TO regress_nobody; --";
SELECT foreman.grant_access('regress odd", TO regress_nobody; --', 'producer') ->> 'status' AS status;
SELECT has_function_privilege('regress odd", TO regress_nobody; --', 'foreman.get_job(bigint)', 'EXECUTE') AS odd_one,
       has_function_privilege('regress_nobody', 'foreman.get_job(bigint)', 'EXECUTE') AS nobody;

-- pg_monitor has its level from the start.
SELECT has_function_privilege('pg_monitor', 'foreman.job_stats(text, double precision)', 'EXECUTE') AS job_stats,
       has_function_privilege('pg_monitor', 'foreman.get_job(bigint)', 'EXECUTE') AS get_job,
       has_table_privilege('pg_monitor', 'foreman.call_stats', 'SELECT') AS call_stats;

DROP OWNED BY "regress odd"", TO regress_nobody; --", regress_producer, regress_worker, regress_monitor, regress_admin;
DROP ROLE "regress odd"", TO regress_nobody; --", regress_nobody, regress_producer, regress_worker, regress_monitor, regress_admin;
