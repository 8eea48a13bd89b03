-- CREATE EXTENSION makes a schema of its own and nothing elsewhere, goes without a trace, and comes back in the same
-- session. The other files begin with a fresh one, so that ids count from 1.
\pset null (null)

SELECT extname, extrelocatable FROM pg_extension WHERE extname = 'pg_foreman';

-- What lies in a schema that somebody else made can't be trusted: the extension refuses to move in.
DROP EXTENSION pg_foreman;
SELECT to_regnamespace('foreman') AS schema_that_is_left;
-- From 18 on the context tells where in the script.
\set SHOW_CONTEXT never
CREATE SCHEMA foreman;
CREATE EXTENSION pg_foreman;
DROP SCHEMA foreman;
\set SHOW_CONTEXT errors

-- Statements that the session has prepared before do not outlive the tables they were made for.
CREATE EXTENSION pg_foreman;
SELECT foreman.create_job('first') ->> 'job_id' AS job_id;
SELECT foreman.maintain() ->> 'status' AS status;
SELECT foreman.update_job_success(1) ->> 'status' AS status;
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
SELECT foreman.create_job('second') ->> 'job_id' AS job_id;
SELECT foreman.update_job_success(1) ->> 'status' AS status;
SELECT queue, status FROM foreman.jobs;

-- The settings are there for everybody to read; a misspelt one is refused.
SELECT name, setting, unit, context FROM pg_settings WHERE name LIKE 'foreman.%' ORDER BY name COLLATE "C";
SET foreman.query_timeuot = 1;
SET foreman.max_retries = 11;
SET foreman.on_error = 'ignore';

-- Nothing of it lies in another schema.
SELECT d.classid::regclass, d.objid
FROM pg_depend AS d JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
JOIN LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) AS o ON true
WHERE e.extname = 'pg_foreman' AND d.deptype = 'e' AND o.schema IS DISTINCT FROM 'foreman'
    AND o.identity <> 'foreman';

-- Whoever drops the schema public, as many do, keeps the extension and its jobs.
BEGIN;
SET LOCAL client_min_messages = 'warning';
DROP SCHEMA public CASCADE;
SELECT count(*) AS extensions FROM pg_extension WHERE extname = 'pg_foreman';
ROLLBACK;
