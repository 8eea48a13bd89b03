-- foreman.check hands a reply back as it is, or raises the error that it tells of, whatever foreman.on_error says.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
\set VERBOSITY default
\set SHOW_CONTEXT never

SELECT foreman.check(foreman.create_job('c')) AS reply;
SELECT foreman.check(foreman.create_job('c', unique_key => 'k')) ->> 'status' AS status;
SELECT foreman.check(foreman.create_job('c', unique_key => 'k')) ->> 'status' AS status;
SELECT foreman.check(foreman.get_job(1)) = foreman.get_job(1) AS the_same;
SELECT foreman.check('{"status": "success", "n": 12345678901234567890.123456789, "big": 1e400}') =
       '{"status": "success", "n": 12345678901234567890.123456789, "big": 1e400}' AS the_same;

-- Errors, with the SQLSTATE of the reply. The place in our source is not part of the contract.
\set VERBOSITY sqlstate
SELECT foreman.check(foreman.get_job(-1));
SELECT foreman.check(foreman.get_job(99));
SELECT foreman.check(foreman.create_job('c', unique_key => 'k', on_duplicate => 'error'));
SELECT foreman.check(foreman.update_job_status(1, 'pending', lease_token => '0a1b2c3d-0000-4000-8000-00000000000f'));
SELECT foreman.check(foreman.execute('SELECT 1 / 0'));
SELECT foreman.check(foreman.execute('SELECT * FROM no_such_table'));
\set VERBOSITY default
SELECT foreman.check(foreman.get_job(99));
SELECT foreman.check('{"status": "error", "sqlstate": "P0001", "message": "100 %s of %d %n", "error_code": "NOT_FOUND"}');
SET foreman.on_error = 'raise';
SELECT foreman.check('{"status": "error", "message": "told"}');
SELECT foreman.check('{"status": "success"}');
RESET foreman.on_error;

-- What is no reply is no success.
\set VERBOSITY sqlstate
SELECT foreman.check(NULL);
SELECT foreman.check('null');
SELECT foreman.check('[]');
SELECT foreman.check('{}');
SELECT foreman.check('{"status": null}');
SELECT foreman.check('{"status": 5}');
SELECT foreman.check('{"status": "failure"}');
SELECT foreman.check('{"status": {"status": "success"}}');
-- A SQLSTATE that is none, or that would mean success, gives way to the code's.
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST"}');
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST", "sqlstate": "00000"}');
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST", "sqlstate": "02000"}');
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST", "sqlstate": "jf011"}');
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST", "sqlstate": "2350"}');
SELECT foreman.check('{"status": "error", "error_code": "LEASE_LOST", "sqlstate": "235055"}');
SELECT foreman.check('{"status": "error", "error_code": "NO_SUCH_CODE", "sqlstate": ""}');
SELECT foreman.check('{"status": "error"}');
\set VERBOSITY default
SELECT foreman.check('{"status": "error", "message": ""}');
SELECT foreman.check('{"status": "error", "message": {"deep": 1}, "sqlstate": [1]}');

-- The transaction ends as after any error, and an exception block catches it by its SQLSTATE.
DO $$
BEGIN
    PERFORM foreman.check(foreman.get_job(99));
EXCEPTION WHEN SQLSTATE 'JF005' THEN
    RAISE NOTICE 'caught: %', SQLERRM;
END
$$;
