-- foreman.on_error = 'raise' raises what 'return' answers: same SQLSTATE, the server's message and constraint. Without
-- foreman.debug no reply carries words of the server's.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
CREATE TABLE account (id integer CONSTRAINT account_id PRIMARY KEY, owner text NOT NULL CONSTRAINT owner_is_known CHECK (owner <> 'nobody'));
INSERT INTO account VALUES (1, 'secret-owner');
CREATE FUNCTION pg_temp.told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text; context text; constraint_is text; table_is text; column_is text; schema_is text;
    reply jsonb;
BEGIN
    EXECUTE statement INTO reply;
    RETURN 'answered ' || reply::text;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT,
        context = PG_EXCEPTION_CONTEXT, constraint_is = CONSTRAINT_NAME, table_is = TABLE_NAME,
        column_is = COLUMN_NAME, schema_is = SCHEMA_NAME;
    RETURN concat_ws(' | ', SQLSTATE, message, 'DETAIL ' || NULLIF(detail, ''), 'HINT ' || NULLIF(hint, ''),
        'CONSTRAINT ' || NULLIF(constraint_is, ''), 'TABLE ' || NULLIF(schema_is, '') || '.' || NULLIF(table_is, ''),
        'COLUMN ' || NULLIF(column_is, ''));
END
$$;

-- A trigger of somebody's on a table of ours, so that a server error ends a call of ours.
CREATE FUNCTION pg_temp.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'secret %', NEW.payload USING ERRCODE = '23514', DETAIL = 'secret detail', HINT = 'secret hint',
        CONSTRAINT = 'house_rule', TABLE = 'live_job', SCHEMA = 'foreman', COLUMN = 'payload';
END
$$;
CREATE TRIGGER refuse BEFORE INSERT ON foreman.live_job FOR EACH ROW WHEN (NEW.job_type = 'refused')
EXECUTE FUNCTION pg_temp.refuse();

\set job 'SELECT foreman.create_job(\'q\', \'"pin 1234"\', \'refused\')'
\set twice 'SELECT foreman.execute(\'INSERT INTO account VALUES (1, $1)\', \'["secret-twin"]\')'
\set checked 'SELECT foreman.execute(\'INSERT INTO account VALUES (2, $1)\', \'["nobody"]\')'

-- return, debug off: nothing of the server's. The name of a constraint goes to execute, whose caller owns the data.
SELECT jsonb_pretty(foreman.create_job('q', '"pin 1234"', 'refused'));
SELECT jsonb_pretty(foreman.execute('INSERT INTO account VALUES (1, $1)', '["secret-twin"]'));
SELECT jsonb_pretty(foreman.execute('INSERT INTO account VALUES (2, $1)', '["nobody"]'));
SELECT reply::text ~ 'secret|pin 1234|account_pkey|does not exist' AS leaks
FROM (
    SELECT foreman.create_job('q', '"pin 1234"', 'refused')
    UNION ALL SELECT foreman.execute('SELECT * FROM secret_table')
    UNION ALL SELECT foreman.execute('SELECT $1::integer', '["secret"]')
    UNION ALL SELECT foreman.execute('DO $$BEGIN RAISE ''secret'' USING DETAIL = ''secret'', HINT = ''secret''; END$$')
) AS t (reply);
-- return, debug on
SET foreman.debug = on;
SELECT jsonb_pretty(r #- '{debug_details,context}') FROM foreman.create_job('q', '"pin 1234"', 'refused') AS r;
SELECT r ->> 'message' AS message, r #>> '{debug_details,exception_type}' AS type, r #>> '{debug_details,detail}' AS detail
FROM foreman.execute('INSERT INTO account VALUES (1, $1)', '["secret-twin"]') AS r;
-- An error of ours has no details of the server's.
SELECT foreman.get_job(99) ? 'debug_details' AS has_details;
RESET foreman.debug;

-- raise, debug off: DETAIL and HINT only from execute.
SET foreman.on_error = 'raise';
SELECT pg_temp.told(:'job');
SELECT pg_temp.told(:'twice');
SELECT pg_temp.told(:'checked');
SELECT pg_temp.told('SELECT foreman.get_job(99)');
SELECT pg_temp.told('SELECT foreman.create_job('''')');
SELECT pg_temp.told('SELECT foreman.execute(''SELECT 1; SELECT 2'')');
SELECT pg_temp.told('SELECT foreman.execute(''SELECT 1 / 0'')');
SELECT pg_temp.told('SELECT foreman.execute(''SELECT 1'', on_duplicate => ''x'')');
-- raise, debug on
SET foreman.debug = on;
SELECT pg_temp.told(:'job');
SELECT pg_temp.told('SELECT foreman.get_job(99)');
RESET foreman.debug;
-- A success is a success.
SELECT pg_temp.told('SELECT foreman.create_job(''q'') - ''job_id''');
SELECT foreman.create_job('q', unique_key => 'k') ->> 'status' AS status;
SELECT foreman.create_job('q', unique_key => 'k') ->> 'status' AS status;
-- A raised error ends the transaction, as errors do.
BEGIN;
SELECT foreman.get_job(99);
SELECT 1;
ROLLBACK;
RESET foreman.on_error;

-- Who may see the server's words is the DBA's choice.
CREATE ROLE regress_curious;
SET ROLE regress_curious;
SET foreman.debug = on;
SET foreman.log_errors = 'off';
SET foreman.max_payload_bytes = '2MB';
RESET ROLE;
DROP ROLE regress_curious;

-- The codes of the server's errors.
SELECT state, r ->> 'error_code' AS error_code, r -> 'http_status' AS http_status, r -> 'retryable' AS retryable,
       r ->> 'retry_scope' AS retry_scope, r -> 'attempts' AS attempts, r ->> 'sqlstate' = state AS sqlstate_kept
FROM unnest('{08006,53300,57P03,22012,22P02,23502,23503,23505,23514,23P01,25006,28000,40001,40P01,42501,42601,42P01,
              53100,53200,54000,55P03,58030,P0001,XX000,XX001,ABCDE}'::text[]) AS state,
    LATERAL foreman.execute(format('DO $$BEGIN RAISE ''x'' USING ERRCODE = %L; END$$', state), max_retries => 0) AS r
ORDER BY state COLLATE "C";
-- Deadlocks and lock time-outs are tried again, nothing else is.
SET foreman.retry_base_delay = 1;
SELECT state, r -> 'attempts' AS attempts
FROM unnest('{40P01,55P03,40001,XX000,53200,08006}'::text[]) AS state,
    LATERAL foreman.execute(format('DO $$BEGIN RAISE ''x'' USING ERRCODE = %L; END$$', state), max_retries => 2) AS r
ORDER BY state COLLATE "C";

DROP TABLE account;
