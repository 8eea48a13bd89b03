//! Who keeps VACUUM from removing dead rows.

use crate::health::check::{Check, Direction, Measure, Run, Status};
use crate::pg::spi::Statement;

pub const CHECK: Check = Check {
    name: "horizon",
    unit: "transactions",
    direction: Direction::Above,
    warn: Some(1_000_000.0),
    fail: Some(100_000_000.0),
    worst: Status::Fail,
    from_version: 15,
    on_standby: true,
    about: "How many transactions ago the oldest one began that VACUUM has to think of in this database: rows that died since \
            then can't be removed. It may be held by a session, a prepared transaction, a replication slot or a standby's \
            query (hot_standby_feedback).",
    advice: "End what holds it, by the remedy; foreman.horizon shows all holders. Dropping a slot that only repeats what \
             a session holds changes nothing: such echoes are told apart. Claims of foreman stay fast for as long as it lasts, \
             tables grow.",
    run: Run::Fast(|connection| Measure::of_row(connection, &ROW)),
};

// Sessions of other databases keep only what all databases share.
static ROW: Statement = Statement::new(
    c"WITH holder AS MATERIALIZED (
          SELECT h.holder, h.application, h.state, h.transactions, pg_catalog.round(
                     EXTRACT(epoch FROM h.open_for)::numeric, 1) AS seconds, h.affects, h.is_echo, h.remedy
          FROM foreman.horizon_holders AS h
          WHERE h.affects OPERATOR(pg_catalog.=) ANY (
              ARRAY['all databases', 'catalogs', pg_catalog.current_database()::pg_catalog.text])
          LIMIT 10
      ), worst AS (
          SELECT h.holder, h.application, h.state, h.transactions, h.seconds, h.affects, h.remedy
          FROM holder AS h
          WHERE NOT h.is_echo
          ORDER BY h.transactions DESC, h.seconds DESC NULLS LAST, h.holder
          LIMIT 1
      )
      SELECT COALESCE(w.transactions, 0)::double precision AS value,
             CASE
                 WHEN w.holder IS NULL THEN 'Nothing keeps VACUUM from removing dead rows.'
                 ELSE pg_catalog.format('%s%s holds back the removal of rows that died in the last %s transactions (%s). foreman.live_job has %s dead rows.',
                     w.holder,
                     CASE WHEN w.state IS NULL THEN ''
                          ELSE pg_catalog.format(' (%s)', pg_catalog.concat_ws(', ',
                              CASE WHEN w.application OPERATOR(pg_catalog.<>) ''
                                  THEN pg_catalog.format('application %L', w.application) END,
                              w.state,
                              CASE WHEN w.seconds IS NOT NULL THEN pg_catalog.format('%s s', w.seconds) END)) END,
                     w.transactions,
                     w.affects,
                     pg_catalog.pg_stat_get_dead_tuples('foreman.live_job'::pg_catalog.regclass))
             END AS meaning,
             w.remedy,
             (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(h) ORDER BY h.is_echo, h.transactions DESC, h.holder)
              FROM holder AS h) AS subjects,
             NULL::pg_catalog.text AS reason,
             NULL::pg_catalog.text AS reveal,
             w.holder AS culprit
      FROM (VALUES (1)) AS one (n)
      LEFT JOIN worst AS w ON true",
    &[],
);
