-- A failed call leaves the caller's transaction usable, wherever it is made from; what a call did goes with the
-- savepoint or the transaction that it was made in.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
CREATE TABLE note (id integer CONSTRAINT note_id PRIMARY KEY, job_id bigint);

-- An error of ours, one of the server's, and work before, between and after.
BEGIN;
INSERT INTO note VALUES (1);
SELECT foreman.create_job('s') AS reply;
SELECT r ->> 'error_code' AS error_code, r -> 'in_transaction' AS in_transaction FROM foreman.get_job(-1) AS r;
INSERT INTO note VALUES (2);
SELECT r ->> 'error_code' AS error_code, r -> 'in_transaction' AS in_transaction
FROM foreman.execute('INSERT INTO note VALUES (3), (1)') AS r;
INSERT INTO note VALUES (4);
COMMIT;
SELECT id FROM note ORDER BY id;
SELECT count(*) AS jobs FROM foreman.jobs;

-- Outside of a block a reply does not say in_transaction.
SELECT foreman.create_job('s') ? 'in_transaction' AS says_so;
SELECT foreman.get_job(-1) ? 'in_transaction' AS says_so;
-- Neither does one inside another call or inside an exception block of a PL: nobody has to COMMIT there.
SELECT foreman.execute('SELECT foreman.get_job(1) ? ''in_transaction'' AS says_so') #> '{rows,0}' AS inner_call;
DO $$
BEGIN
    RAISE NOTICE 'says so: %', foreman.get_job(1) ? 'in_transaction';
EXCEPTION WHEN division_by_zero THEN
    NULL;
END
$$;
BEGIN;
SELECT foreman.create_job('s') -> 'in_transaction' AS in_transaction, foreman.get_job(1) -> 'in_transaction' AS reading;
-- Rolled back, a job was never there.
ROLLBACK;
SELECT count(*) AS jobs FROM foreman.jobs;

-- ROLLBACK TO takes back what came after the savepoint, and only that.
BEGIN;
SELECT foreman.create_job('before') ->> 'status' AS status;
SAVEPOINT s;
SELECT foreman.create_job('after') ->> 'status' AS status;
SELECT foreman.get_job(-1) ->> 'error_code' AS error_code;
ROLLBACK TO s;
SELECT foreman.create_job('again', unique_key => 'k') ->> 'status' AS status;
ROLLBACK TO s;
SELECT foreman.create_job('again', unique_key => 'k') ->> 'status' AS status;
RELEASE s;
COMMIT;
SELECT queue, unique_key FROM foreman.jobs WHERE queue <> 's' ORDER BY queue;

-- In a transaction that has failed already, no call is made at all: that is the server's rule.
BEGIN;
SELECT 1 / 0;
SELECT foreman.create_job('s');
ROLLBACK;

-- plpgsql, without an exception block and with one.
DO $$
DECLARE
    reply jsonb;
BEGIN
    reply := foreman.create_job('plpgsql');
    RAISE NOTICE '%', reply ->> 'status';
    reply := foreman.execute('SELECT 1 / 0');
    RAISE NOTICE '%', reply ->> 'error_code';
    reply := foreman.create_job('plpgsql');
    RAISE NOTICE '%', reply ->> 'status';
END
$$;
DO $$
BEGIN
    PERFORM foreman.create_job('undone');
    BEGIN
        PERFORM foreman.create_job('undone too');
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        RAISE NOTICE 'caught; then %', foreman.create_job('handler') ->> 'status';
    END;
    PERFORM foreman.check(foreman.get_job(-1));
EXCEPTION WHEN SQLSTATE 'JF004' THEN
    RAISE NOTICE 'caught; then %', foreman.create_job('outer handler') ->> 'status';
END
$$;
SELECT queue, count(*) FROM foreman.jobs WHERE queue ~ 'plpgsql|undone|handler' GROUP BY queue ORDER BY queue;

-- DO with COMMIT: each transaction has its own calls.
DO $$
BEGIN
    PERFORM foreman.create_job('committed');
    COMMIT;
    PERFORM foreman.create_job('rolled back');
    ROLLBACK;
    RAISE NOTICE '%', foreman.execute('SELECT 1 / 0') ->> 'error_code';
    PERFORM foreman.create_job('committed');
    COMMIT;
END
$$;
SELECT queue, count(*) FROM foreman.jobs WHERE queue IN ('committed', 'rolled back') GROUP BY queue;

-- A trigger that creates a job for each row: both or neither.
CREATE FUNCTION enqueue() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.job_id := foreman.check(foreman.create_job('trigger', to_jsonb(NEW.id))) ->> 'job_id';
    RETURN NEW;
END
$$;
CREATE TRIGGER enqueue BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION enqueue();
INSERT INTO note (id) SELECT n FROM generate_series(11, 13) AS n;
INSERT INTO note (id) VALUES (14), (11);
SELECT foreman.execute('INSERT INTO note (id) VALUES (15), (11)') ->> 'error_code' AS error_code;
SELECT foreman.execute('INSERT INTO note (id) VALUES (16) RETURNING job_id IS NOT NULL AS has_job') -> 'rows' AS rows;
SELECT note.id, j.payload FROM note JOIN foreman.jobs AS j USING (job_id) ORDER BY note.id;
SELECT count(*) AS jobs FROM foreman.jobs WHERE queue = 'trigger';

-- A cursor loop that calls for each row while the cursor is open.
DO $$
DECLARE
    row record;
    failed integer := 0;
BEGIN
    FOR row IN SELECT job_id FROM foreman.jobs WHERE queue = 'trigger' ORDER BY job_id LOOP
        PERFORM foreman.check(foreman.update_job_success(row.job_id));
        failed := failed + (foreman.get_job(-row.job_id) ->> 'status' = 'error')::integer;
    END LOOP;
    RAISE NOTICE '% failed', failed;
END
$$;
SELECT status, count(*) FROM foreman.jobs WHERE queue = 'trigger' GROUP BY status;
BEGIN;
DECLARE c CURSOR FOR SELECT foreman.create_job('cursor') ->> 'status' FROM generate_series(1, 3);
FETCH 1 FROM c;
SELECT foreman.execute('SELECT 1 / 0') ->> 'error_code' AS error_code;
FETCH 1 FROM c;
COMMIT;
SELECT count(*) AS jobs FROM foreman.jobs WHERE queue = 'cursor';

-- As the argument of an aggregate, thousands of times in one statement, among failures.
SELECT count(DISTINCT (foreman.create_job('many', to_jsonb(n)) ->> 'job_id')::bigint) AS ids FROM generate_series(1, 5000) AS n;
SELECT count(foreman.execute('SELECT 1 / $1::int', jsonb_build_array(n % 2)) ->> 'error_code') AS errors FROM generate_series(1, 5000) AS n;
SELECT sum((r ->> 'job_id')::bigint) = sum(job_id) AS all_of_them
FROM (SELECT foreman.update_job_success(job_id) AS r, job_id FROM foreman.jobs WHERE queue = 'many') AS t;
SELECT foreman.job_stats('many') -> 'completed' AS completed;

-- A call sees what the same transaction did, and what the same statement did before it.
BEGIN;
SELECT foreman.create_job('seen') ->> 'job_id' AS id \gset
SELECT foreman.get_job(:id) #>> '{job,status}' AS status;
SELECT foreman.update_job_success(:id) ->> 'changed' AS changed;
SELECT foreman.get_job(:id) #>> '{job,status}' AS status;
COMMIT;
SELECT foreman.get_job((foreman.create_job('seen') ->> 'job_id')::bigint) #>> '{job,status}' AS status;

-- Read-only transactions read; what would write answers so.
BEGIN READ ONLY;
SELECT foreman.get_job(1) ->> 'status' AS get_job, foreman.list_jobs() ->> 'status' AS list_jobs,
       foreman.job_stats() ->> 'status' AS job_stats, foreman.list_settings() ->> 'status' AS list_settings,
       foreman.execute('SELECT 1') ->> 'status' AS execute;
SELECT r ->> 'error_code' AS error_code, r ->> 'sqlstate' AS sqlstate
FROM (SELECT foreman.create_job('s') UNION ALL SELECT foreman.create_jobs('[{"queue": "s"}]')
      UNION ALL SELECT foreman.update_job_success(1) UNION ALL SELECT foreman.bulk_update_job_status('{1}', 'failed')
      UNION ALL SELECT foreman.cancel_job(1) UNION ALL SELECT foreman.delete_job(1) UNION ALL SELECT foreman.retry_job(1)
      UNION ALL SELECT foreman.set_setting('k', '1') UNION ALL SELECT foreman.delete_setting('k')
      UNION ALL SELECT foreman.maintain() UNION ALL SELECT foreman.execute('CREATE TABLE never ()')) AS t (r);
COMMIT;

-- Every isolation level; after a serialization failure under SERIALIZABLE the reply says that the transaction is lost.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT foreman.create_job('level') ->> 'status' AS status;
SELECT r ->> 'retry_scope' AS scope, r ? 'transaction_usable' AS says_lost
FROM foreman.execute('DO $$BEGIN RAISE ''x'' USING ERRCODE = ''40001''; END$$') AS r;
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT foreman.create_job('level') ->> 'status' AS status;
SELECT r ->> 'retry_scope' AS scope, r -> 'transaction_usable' AS usable
FROM foreman.execute('DO $$BEGIN RAISE ''x'' USING ERRCODE = ''40001''; END$$') AS r;
COMMIT;

DROP TABLE note;
DROP FUNCTION enqueue();
