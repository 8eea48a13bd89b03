/* sql/26_worker.sql: what the background worker does, for whoever asks */

CREATE VIEW foreman.worker_status AS
SELECT COALESCE(d.datname::pg_catalog.text, s.database::pg_catalog.text) AS database,
       s.step,
       pg_catalog.to_timestamp(s.last_run) AS last_run_at,
       s.took_ms,
       s.runs,
       s.errors,
       s.last_error,
       pg_catalog.to_timestamp(s.last_error_at) AS last_error_at,
       pg_catalog.to_timestamp(s.next_visit) AS next_visit_at
FROM pg_catalog.jsonb_to_recordset(foreman.read_worker_status() OPERATOR(pg_catalog.->) 'steps') AS s (
    database bigint,
    step text,
    last_run double precision,
    took_ms double precision,
    runs bigint,
    errors bigint,
    last_error text,
    last_error_at double precision,
    next_visit double precision
)
LEFT JOIN pg_catalog.pg_database AS d ON d.oid::pg_catalog.int8 OPERATOR(pg_catalog.=) s.database;
COMMENT ON VIEW foreman.worker_status IS
    'Each step of upkeep in each database: when the background worker took it last, how long it took, its last error. Empty without preload.';
