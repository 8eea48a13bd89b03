//! The server's health as one document, made of the views of `sql/40_health.sql`.

use crate::pg::activity;
use crate::pg::spi::{self, Statement};
use crate::reply::Reply;

// MATERIALIZED, since the planner would count once for each time that a count is named.
static DOCUMENT: Statement = Statement::new(
    c"WITH checks AS MATERIALIZED (
          SELECT c.name, c.status, c.value, c.unit, c.warn_threshold, c.fail_threshold, c.meaning, c.remedy,
                 c.reason, c.subjects,
                 CASE c.status WHEN 'fail' THEN 1 WHEN 'warn' THEN 2 WHEN 'unknown' THEN 3 ELSE 4 END AS rank
          FROM foreman.health_checks AS c
      ), words (status, word) AS (
          VALUES ('pass', 'healthy'), ('warn', 'degraded'), ('fail', 'unhealthy'), ('unknown', 'unknown')
      ), document AS (
          SELECT CASE
                     WHEN pg_catalog.min(c.rank) OPERATOR(pg_catalog.=) 1 THEN 'unhealthy'
                     WHEN pg_catalog.min(c.rank) OPERATOR(pg_catalog.=) 2 THEN 'degraded'
                     ELSE 'healthy'
                 END AS status,
                 pg_catalog.bool_and(c.status OPERATOR(pg_catalog.<>) 'unknown') AS complete,
                 pg_catalog.jsonb_agg(pg_catalog.to_jsonb(c) OPERATOR(pg_catalog.-) 'rank'
                     ORDER BY c.rank, c.name) AS checks,
                 pg_catalog.jsonb_agg(c.name OPERATOR(pg_catalog.||) ': ' OPERATOR(pg_catalog.||) c.meaning
                     ORDER BY c.rank, c.name) FILTER (WHERE c.rank OPERATOR(pg_catalog.<=) 2) AS warnings
          FROM checks AS c
      ), pool AS (
          SELECT pg_catalog.jsonb_build_object(
                     'size', p.size,
                     'checked_in', CASE WHEN p.hidden_because IS NULL THEN p.checked_in END,
                     'checked_out', CASE WHEN p.hidden_because IS NULL THEN p.checked_out END,
                     'overflow', CASE WHEN p.hidden_because IS NULL THEN p.overflow END,
                     'utilization_percent', c.value,
                     'status', w.word) AS pool
          FROM foreman.connection_pool AS p
          CROSS JOIN checks AS c
          JOIN words AS w ON w.status OPERATOR(pg_catalog.=) c.status
          WHERE c.name OPERATOR(pg_catalog.=) 'connections'
      ), source AS MATERIALIZED (
          SELECT f.live_roll_up, f.ended_roll_up, f.as_of FROM foreman.figure_source() AS f
      ), counted AS MATERIALIZED (
          SELECT pg_catalog.sum(c.jobs)::bigint AS total,
                 COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.status OPERATOR(pg_catalog.=) 'completed'), 0)::bigint
                     AS completed,
                 COALESCE(pg_catalog.sum(c.jobs) FILTER (WHERE c.status OPERATOR(pg_catalog.=) 'failed'), 0)::bigint
                     AS failed
          FROM (
              SELECT NULL AS status, f.pending OPERATOR(pg_catalog.+) f.running AS jobs
              FROM source AS s
              CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
              UNION ALL
              SELECT f.status::text, f.jobs
              FROM source AS s
              CROSS JOIN LATERAL foreman.ended_figures(s.ended_roll_up, NULL) AS f
          ) AS c
      )
      SELECT pg_catalog.jsonb_build_object(
          'status', d.status,
          'complete', d.complete,
          'database_connected', true,
          'timestamp', pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC',
              'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
          'server', pg_catalog.jsonb_build_object(
              'version_num', pg_catalog.current_setting('server_version_num')::integer,
              'role', CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby' ELSE 'primary' END),
          'connection_pool', p.pool,
          'database_stats', pg_catalog.jsonb_build_object(
              'total_jobs', COALESCE(n.total, 0),
              'completed_jobs', n.completed,
              'failed_jobs', n.failed,
              'success_rate', pg_catalog.round(100.0 OPERATOR(pg_catalog.*) n.completed
                  OPERATOR(pg_catalog./) NULLIF(n.completed OPERATOR(pg_catalog.+) n.failed, 0), 1),
              'as_of', pg_catalog.to_char(s.as_of AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')),
          'checks', d.checks,
          'warnings', COALESCE(d.warnings, '[]'))
      FROM document AS d
      CROSS JOIN pool AS p
      CROSS JOIN source AS s
      CROSS JOIN counted AS n",
    &[],
);

/// `db_health`.
pub fn document() -> Reply {
    // The server copies the sessions once a transaction: who polls in one would see the same figures for ever.
    activity::look_anew();
    let document = spi::connect(|connection| connection.run(&DOCUMENT, &[]).first().and_then(|row| row.jsonb(1)));
    document.map_or_else(Reply::success, Reply::verbatim)
}
