/* sql/41_server.sql: what checks read of the server itself, as far as it takes more than one look */

CREATE VIEW foreman.transaction_ages AS
SELECT a.database, a.is_connectable, a.transactions, a.multixacts, a.freeze_percent, a.failsafe_percent
FROM pg_catalog.jsonb_to_recordset(foreman.read_server('transaction_ages') OPERATOR(pg_catalog.->) 'rows') AS a (
    database text,
    is_connectable boolean,
    transactions bigint,
    multixacts bigint,
    freeze_percent double precision,
    failsafe_percent double precision
);
COMMENT ON VIEW foreman.transaction_ages IS
    'How old the oldest transaction and multixact numbers of each database are, in percent of where anti-wraparound vacuums begin and of where VACUUM drops everything else.';

-- Columns that came after 15 are asked for by way of jsonb, which has what there is. A slot that is lost keeps nothing any
-- more. A temporary slot goes with its session; a synced one (17) belongs to the primary, and is inactive here by design.
CREATE VIEW foreman.slots AS
WITH wal AS (
    SELECT CASE
               WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
               ELSE pg_catalog.pg_current_wal_lsn()
           END AS at
), slot AS (
    SELECT s.slot_name AS slot,
           s.slot_type AS kind,
           s.database,
           s.active,
           pg_catalog.pg_wal_lsn_diff(w.at, s.restart_lsn)::bigint AS retained_bytes,
           s.safe_wal_size,
           CASE
               WHEN s.wal_status OPERATOR(pg_catalog.=) 'lost'
                   OR (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'conflicting') OPERATOR(pg_catalog.=) 'true'
                   OR (pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'invalidation_reason') IS NOT NULL
                   THEN COALESCE(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'invalidation_reason', 'wal_removed')
           END AS lost_because
    FROM pg_catalog.pg_replication_slots AS s
    CROSS JOIN wal AS w
    WHERE NOT s.temporary
      AND COALESCE(pg_catalog.to_jsonb(s) OPERATOR(pg_catalog.->>) 'synced', 'false') OPERATOR(pg_catalog.=) 'false'
)
SELECT s.slot,
       s.kind,
       s.database,
       s.active,
       CASE WHEN s.lost_because IS NULL THEN GREATEST(0, s.retained_bytes) END AS retained_bytes,
       CASE
           WHEN s.lost_because IS NULL AND s.safe_wal_size IS NOT NULL
               THEN 100.0::double precision OPERATOR(pg_catalog.*) GREATEST(0, s.retained_bytes)
                   OPERATOR(pg_catalog./) GREATEST(1, s.retained_bytes OPERATOR(pg_catalog.+) s.safe_wal_size)
       END AS room_percent,
       s.lost_because,
       pg_catalog.format(
           'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %L AND NOT active; -- whoever used it has to begin anew; takes REPLICATION',
           s.slot) AS remedy
FROM slot AS s;
COMMENT ON VIEW foreman.slots IS
    'The replication slots that stay: how much WAL each keeps, how much of max_slot_wal_keep_size that is (NULL: no limit), and why one is lost.';

-- On a primary a row for each standby; on a standby one for itself, and for those that it feeds. What has been replayed ages
-- on an idle primary, so a standby that has replayed all it got is not late.
CREATE VIEW foreman.replication AS
WITH clock AS MATERIALIZED (
    SELECT pg_catalog.clock_timestamp() AS at,
           CASE
               WHEN pg_catalog.pg_is_in_recovery() THEN GREATEST(
                   pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
               ELSE pg_catalog.pg_current_wal_lsn()
           END AS wal
)
SELECT COALESCE(r.application_name, pg_catalog.format('pid %s', r.pid)) AS standby,
       r.state,
       EXTRACT(epoch FROM COALESCE(r.replay_lag, interval '0'))::double precision AS delay_seconds,
       GREATEST(0, pg_catalog.pg_wal_lsn_diff(c.wal, r.replay_lsn))::double precision AS behind_bytes,
       CASE WHEN r.state IS NULL
           THEN pg_catalog.format('role %I may not see the replication of other roles', CURRENT_USER) END AS hidden_because,
       CASE WHEN r.state IS NULL THEN pg_catalog.format('GRANT pg_monitor TO %I;', CURRENT_USER) END AS reveal
FROM pg_catalog.pg_stat_replication AS r
CROSS JOIN clock AS c
WHERE r.state IS NULL
   OR r.state OPERATOR(pg_catalog.=) ANY (ARRAY['catchup', 'streaming'])
UNION ALL
SELECT 'this server',
       CASE WHEN o.received IS NULL THEN 'restoring' ELSE 'streaming' END,
       CASE
           WHEN o.replayed OPERATOR(pg_catalog.>=) o.received THEN 0
           ELSE GREATEST(0, EXTRACT(epoch FROM o.at OPERATOR(pg_catalog.-) o.replayed_at
               OPERATOR(pg_catalog.-) pg_catalog.current_setting('recovery_min_apply_delay')::interval)::double precision)
       END,
       GREATEST(0, pg_catalog.pg_wal_lsn_diff(o.received, o.replayed))::double precision,
       NULL,
       NULL
FROM (
    SELECT c.at,
           pg_catalog.pg_last_wal_receive_lsn() AS received,
           pg_catalog.pg_last_wal_replay_lsn() AS replayed,
           pg_catalog.pg_last_xact_replay_timestamp() AS replayed_at
    FROM clock AS c
    WHERE pg_catalog.pg_is_in_recovery()
) AS o;
COMMENT ON VIEW foreman.replication IS
    'How far each standby is behind, in time and in bytes; on a standby, this server itself. NULL cannot be told.';
