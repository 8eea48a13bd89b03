-- What claims and finishes are compared with: queues on SKIP LOCKED written by hand, as lean as they can be and still give
-- what ours do: an order by priority and time, payloads, attempts, a lease that a rescue can find, history. No tokens: the
-- attempt's number guards a finish.
CREATE SCHEMA hand;

-- Ready is what has no lease, so that one column says both and the index has only what can be claimed. A rescue reads the
-- whole table, which holds no history.
CREATE TABLE hand.job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    lease_until timestamptz,
    queue_id integer NOT NULL,
    attempt smallint NOT NULL DEFAULT 0,
    priority smallint NOT NULL,
    payload jsonb NOT NULL
) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX job_ready ON hand.job (queue_id, priority, run_at, id) WHERE lease_until IS NULL;

CREATE TABLE hand.done (
    id bigint PRIMARY KEY,
    run_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    started_at timestamptz,
    finished_at timestamptz NOT NULL,
    queue_id integer NOT NULL,
    attempt smallint NOT NULL,
    priority smallint NOT NULL,
    payload jsonb NOT NULL
);

-- The same with the history in the table itself: a finish is an UPDATE. The rescue needs an index, since the table grows.
CREATE TABLE hand.job_in_place (LIKE hand.job INCLUDING ALL, finished_at timestamptz) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX job_in_place_lease ON hand.job_in_place (lease_until) WHERE lease_until IS NOT NULL AND finished_at IS NULL;
