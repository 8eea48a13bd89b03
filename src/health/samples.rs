//! Takes readings of the server's counters, which `shared/samples.rs` keeps.

use crate::guc;
use crate::jobs::live::LIVE_JOB;
use crate::pg::spi::{self, Statement};
use crate::pg::{compat, process, xact};
use crate::shared::floors;
use crate::shared::samples::{self, FIGURES, Figure, Sample};
use crate::shared::tally::{self, Event};

// As the figures come. How many jobs have left the live ones is what the server has counted of that table.
static READ: Statement = Statement::new(
    c"SELECT COALESCE((EXTRACT(epoch FROM d.stats_reset) OPERATOR(pg_catalog.*) 1000000)::bigint, 0),
             d.xact_commit, d.xact_rollback, d.blks_hit, d.blks_read, d.temp_bytes, d.deadlocks, d.conflicts,
             pg_catalog.pg_stat_get_tuples_deleted('foreman.live_job'::pg_catalog.regclass),
             COALESCE((
                 SELECT pg_catalog.sum(f.pending OPERATOR(pg_catalog.-) f.scheduled)
                 FROM foreman.figure_source() AS s
                 CROSS JOIN LATERAL foreman.live_figures(s.live_roll_up) AS f
                 JOIN foreman.queue_names AS q ON q.queue_id OPERATOR(pg_catalog.=) f.queue_id
                 WHERE q.paused_at IS NULL AND NOT foreman.live_take_long(s.live_roll_up)
             ), 0)::bigint
      FROM pg_catalog.pg_stat_database AS d
      WHERE d.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()",
    &[],
);

// 17 gave checkpoints a view of their own.
static CHECKPOINTS: Statement = Statement::new(
    if compat::MAJOR_VERSION < 17 {
        c"SELECT COALESCE((EXTRACT(epoch FROM b.stats_reset) OPERATOR(pg_catalog.*) 1000000)::bigint, 0),
                 b.checkpoints_timed, b.checkpoints_req
          FROM pg_catalog.pg_stat_bgwriter AS b"
    } else {
        c"SELECT COALESCE((EXTRACT(epoch FROM c.stats_reset) OPERATOR(pg_catalog.*) 1000000)::bigint, 0),
                 c.num_timed, c.num_requested
          FROM pg_catalog.pg_stat_checkpointer AS c"
    },
    &[],
);

// What is hidden has no start, and then nothing is counted. Who takes the reading is not looked at.
static SESSIONS: Statement = Statement::new(
    c"SELECT 0::bigint, 1::bigint,
             pg_catalog.count(*),
             pg_catalog.count(*) FILTER (WHERE s.wait_event_type OPERATOR(pg_catalog.=) 'Lock'),
             pg_catalog.count(*) FILTER (
                 WHERE s.wait_event_type OPERATOR(pg_catalog.=) ANY (ARRAY['LWLock', 'BufferPin', 'Buffer'])),
             pg_catalog.count(*) FILTER (WHERE s.wait_event_type OPERATOR(pg_catalog.=) 'IO'),
             pg_catalog.count(*) FILTER (WHERE s.wait_event_type OPERATOR(pg_catalog.=) 'IPC')
      FROM pg_catalog.pg_stat_activity AS s
      WHERE s.state OPERATOR(pg_catalog.=) 'active'
        AND s.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
      HAVING NOT EXISTS (
          SELECT FROM pg_catalog.pg_stat_activity AS h
          WHERE h.backend_start IS NULL AND h.usesysid IS NOT NULL AND h.datid IS NOT NULL)",
    &[],
);

/// The figures of a statement, which come after the time of the last reset.
const DATABASE: &[Figure] = &[
    Figure::Commits,
    Figure::Rollbacks,
    Figure::BlocksHit,
    Figure::BlocksRead,
    Figure::TempBytes,
    Figure::Deadlocks,
    Figure::Conflicts,
    Figure::JobsEnded,
    Figure::JobsReady,
];
/// As above.
const SERVER: &[Figure] = &[Figure::CheckpointsTimed, Figure::CheckpointsRequested];
/// As above; nothing resets them.
const ACTIVITY: &[Figure] = &[
    Figure::SessionLooks,
    Figure::Running,
    Figure::OnLocks,
    Figure::OnLightweight,
    Figure::OnDisk,
    Figure::OnProcesses,
];

/// Whether the caller is to take a reading now.
pub fn is_due(database: u32) -> bool {
    samples::take_turn(database, xact::clock(), guc::sample_interval())
}

/// Takes a reading.
pub fn take() {
    let mut sample = Sample { at: xact::clock(), resets: [0; 3], values: [0; FIGURES] };
    let sources = [(&READ, DATABASE), (&CHECKPOINTS, SERVER), (&SESSIONS, ACTIVITY)];
    spi::connect(|connection| {
        for ((statement, figures), reset) in sources.into_iter().zip(&mut sample.resets) {
            let rows = connection.run(statement, &[]);
            let Some(row) = rows.first() else { continue };
            *reset = row.bigint(1).unwrap_or_default();
            for (figure, column) in figures.iter().zip(2..) {
                sample.values[*figure as usize] = row.bigint(column).unwrap_or_default();
            }
        }
    });
    let rescued = tally::read().map_or(0, |tally| tally.of(Event::Rescued));
    let misses = floors::figures(LIVE_JOB.oid()).iter().map(|of_queue| of_queue.found).sum();
    for (figure, count) in [(Figure::Rescued, rescued), (Figure::FloorMisses, misses)] {
        sample.values[figure as usize] = i64::try_from(count).unwrap_or(i64::MAX);
    }
    samples::keep(process::database(), sample);
}
