-- As fill.five.sql.
DROP TABLE IF EXISTS hand.job_of_five;
CREATE TABLE hand.job_of_five (LIKE hand.job INCLUDING ALL EXCLUDING INDEXES) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
ALTER TABLE hand.job_of_five ADD PRIMARY KEY (id);
CREATE INDEX ON hand.job_of_five (priority, run_at, id, queue_id) WHERE lease_until IS NULL;
TRUNCATE hand.done;
CHECKPOINT;
INSERT INTO hand.job_of_five (run_at, created_at, queue_id, priority, payload)
SELECT t, t, n % 5 + 1, 5 + n % :priorities, jsonb_build_object('n', n, 'to', 'user@example.org')
FROM generate_series(1, :jobs) AS n, clock_timestamp() AS t;
VACUUM ANALYZE hand.job_of_five;
