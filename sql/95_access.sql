/* sql/95_access.sql: who may do what: nothing for PUBLIC, levels for roles */

CREATE VIEW foreman.access_levels (level, kind, object) AS
WITH function_level (level, name) AS (
    VALUES
        ('producer', 'create_job'), ('producer', 'create_jobs'), ('producer', 'get_job'), ('producer', 'list_jobs'),
        ('producer', 'job_stats'), ('producer', 'check'), ('producer', 'execute'), ('producer', 'get_setting'),
        ('producer', 'list_settings'), ('producer', 'request_cancel'), ('producer', 'explain_job'),
        ('producer', 'list_queues'),
        ('worker', 'update_job_status'), ('worker', 'update_job_success'), ('worker', 'update_job_failure'),
        ('worker', 'bulk_update_job_status'), ('worker', 'cancel_job'), ('worker', 'retry_job'),
        ('worker', 'claim_jobs'), ('worker', 'claim_jobs_from'), ('worker', 'heartbeat'), ('worker', 'heartbeat_all'),
        ('worker', 'complete_job'), ('worker', 'complete_jobs'), ('worker', 'fail_job'), ('worker', 'fail_jobs'),
        ('worker', 'release_job'), ('worker', 'wait_for_jobs'), ('worker', 'ready_in'), ('worker', 'finish_and_claim'), ('worker', 'hold_lease'),
        ('monitor', 'db_health'), ('monitor', 'refresh_health'), ('monitor', 'is_live'), ('monitor', 'is_ready'), ('monitor', 'lease_end'), ('monitor', 'read_health_checks'), ('monitor', 'read_server'),
        ('monitor', 'read_health_thresholds'), ('monitor', 'read_call_stats'), ('monitor', 'read_worker_status'),
        ('monitor', 'read_floor_stats'), ('monitor', 'read_slow_calls'), ('monitor', 'read_metrics'), ('monitor', 'metrics'),
        ('monitor', 'job_stats'), ('monitor', 'check'), ('monitor', 'list_queues'), ('monitor', 'figure_source'),
        ('monitor', 'live_figures'), ('monitor', 'live_take_long'), ('monitor', 'ended_take_long'), ('monitor', 'ended_figures'), ('monitor', 'figures_since'),
        ('admin', 'delete_job'), ('admin', 'maintain'), ('admin', 'grant_access'), ('admin', 'set_setting'),
        ('admin', 'set_setting_text'), ('admin', 'delete_setting'), ('admin', 'configure_queue'),
        ('admin', 'pause_queue'), ('admin', 'configure_check'), ('admin', 'resume_queue'), ('admin', 'rescue_expired'),
        -- foreman.jobs calls them with its reader's rights.
        ('admin', 'lease_end'), ('admin', 'lease_progress'), ('admin', 'lease_note')
), relation_level (level, name) AS (
    VALUES
        ('producer', 'error_codes'), ('monitor', 'error_codes'), ('monitor', 'call_stats'), ('monitor', 'health_checks'),
        ('monitor', 'connection_health'), ('monitor', 'health_thresholds'), ('monitor', 'client_sessions'),
        ('monitor', 'health_threshold'), ('monitor', 'slow_finding'), ('monitor', 'unused_indexes'), ('monitor', 'partition_outlook'), ('monitor', 'partition_wait'), ('monitor', 'queue_names'), ('monitor', 'horizon'), ('monitor', 'horizon_holders'),
        ('monitor', 'lease_outlook'), ('monitor', 'blocking'), ('monitor', 'queue_health'),
        ('monitor', 'queues'), ('monitor', 'worker_status'), ('monitor', 'floor_stats'),
        ('monitor', 'slow_calls'), ('monitor', 'metric_samples'), ('monitor', 'metric_families'),
        ('monitor', 'transaction_ages'), ('monitor', 'slots'), ('monitor', 'replication'),
        ('admin', 'jobs'),
        ('admin', 'setting_history')
), own (level, kind, object) AS (
    SELECT f.level, CASE WHEN p.prokind OPERATOR(pg_catalog.=) 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.oid::pg_catalog.regprocedure::pg_catalog.text
    FROM function_level AS f
    JOIN pg_catalog.pg_proc AS p ON p.proname OPERATOR(pg_catalog.=) f.name
        AND p.pronamespace OPERATOR(pg_catalog.=) 'foreman'::pg_catalog.regnamespace
    UNION ALL
    SELECT r.level, 'TABLE', c.oid::pg_catalog.regclass::pg_catalog.text
    FROM relation_level AS r
    JOIN pg_catalog.pg_class AS c ON c.relname OPERATOR(pg_catalog.=) r.name
        AND c.relnamespace OPERATOR(pg_catalog.=) 'foreman'::pg_catalog.regnamespace
), includes (level, included) AS (
    VALUES
        ('producer', 'producer'), ('worker', 'worker'), ('worker', 'producer'), ('monitor', 'monitor'),
        ('admin', 'admin'), ('admin', 'worker'), ('admin', 'producer'), ('admin', 'monitor')
)
SELECT DISTINCT i.level, o.kind, o.object
FROM includes AS i
JOIN own AS o ON o.level OPERATOR(pg_catalog.=) i.included;
COMMENT ON VIEW foreman.access_levels IS 'What each level of foreman.grant_access may call and read.';

CREATE FUNCTION foreman.grant_level(role_name text, level text) RETURNS bigint
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    granted bigint := 0;
    item record;
BEGIN
    EXECUTE pg_catalog.format('GRANT USAGE ON SCHEMA foreman TO %I', role_name);
    FOR item IN
        SELECT a.kind, a.object FROM foreman.access_levels AS a
        WHERE a.level OPERATOR(pg_catalog.=) grant_level.level
        ORDER BY a.object
    LOOP
        -- kind is one of three words, object what regprocedure and regclass have quoted.
        EXECUTE pg_catalog.format('GRANT %s ON %s %s TO %I',
            CASE item.kind WHEN 'TABLE' THEN 'SELECT' ELSE 'EXECUTE' END, item.kind, item.object, role_name);
        granted := granted OPERATOR(pg_catalog.+) 1;
    END LOOP;
    RETURN granted;
END
$$;
COMMENT ON FUNCTION foreman.grant_level(text, text) IS
    'A step of foreman.grant_access(): grants a level to a role, and says how many objects that are.';

REVOKE ALL ON ALL ROUTINES IN SCHEMA foreman FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA foreman FROM PUBLIC;

SELECT foreman.grant_level('pg_monitor', 'monitor');
