/* sql/80_comments.sql: the functions' doc comments, written by UPDATE_COMMENTS=1 cargo test --lib */

COMMENT ON FUNCTION foreman.grant_access IS
'Gives a role what a level may do; nothing is granted to PUBLIC.

- `level`: `producer` (creates and looks), `worker` (moves jobs on, too), `monitor` (health and counters),
  `admin` (everything). `foreman.access_levels` says what that is; REVOKE takes it back.
- Replies: `success` with `role`, `level` and `granted`, the number of functions and views.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such role), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.check IS
'Raises an error where the reply is one, else hands the reply back: for SQL and for thin clients.

- `reply`: what a function of this schema answered.
- Errors: raised, whatever `foreman.on_error` says, with the reply''s `sqlstate` and `message`.';

COMMENT ON FUNCTION foreman.read_call_stats IS
'Answers the counters of all functions that were called: `foreman.call_stats` is made of them.

- Replies: `success` with `functions`, and the sums `calls`, `errors` and `slow_calls`; `scope` is `server` (preloaded)
  or `backend`.';

COMMENT ON FUNCTION foreman.read_slow_calls IS
'Answers the last 1,000 calls that took longer than `foreman.slow_call_threshold`: `foreman.slow_calls` is made of it.

- Replies: `success` with `calls`, the last one first; without preload those of this session alone.';

COMMENT ON FUNCTION foreman.read_worker_status IS
'Answers what the background worker did last, in each database: `foreman.worker_status` is made of it.

- Replies: `success` with `enabled`, which is false without preload and where `foreman.max_workers` is 0, and `steps`.';

COMMENT ON FUNCTION foreman.read_floor_stats IS
'Answers what claims have found below their floors, queue by queue: `foreman.floor_stats` is made of it.

- Replies: `success` with `queues`, those of this database that have floors in shared memory: none without preload.';

COMMENT ON FUNCTION foreman.execute IS
'Runs one statement of the caller''s under the guard: in a savepoint, retried on deadlock, bounded in time.

- `statement`: one statement, run with the caller''s rights and search_path; no transaction control, no COPY.
  `params`: a JSON array, bound to $1, $2, ... as text is by a driver; JSON arrays fit array types.
- `on_duplicate`: `error`, or `skip` to answer `skipped` where a unique key is violated. `max_retries`: 0 to 10;
  NULL is `foreman.max_retries`. `timeout_seconds`: up to 86400; NULL is `foreman.query_timeout`. Inside another
  call the outer one''s retries and time limit hold.
- `max_rows`: 0 to 10000 rows in the reply; with more it says `truncated`. What changes rows always runs to its end.
  Rows are JSON objects: of columns with the same name the last is kept.
- Replies: `success` with `rows`, `row_count`, `attempts`, `duration_ms`; `skipped` with `reason`.
- Errors: all of `foreman.error_codes`. What a rollback does not undo (nextval, session advisory locks, dblink)
  a retry does again.';

COMMENT ON FUNCTION foreman.finished_days IS
'The partitions of finished jobs, and whether their day is over and counted.';

COMMENT ON FUNCTION foreman.are_small IS
'Whether live jobs, and those that ended on days that are not counted, are few enough to be counted by who asks.';

COMMENT ON FUNCTION foreman.figure_source IS
'Where the figures come from, a roll-up or (NULL) a count, and the moments that they are of.';

COMMENT ON FUNCTION foreman.live_take_long IS
'Whether live jobs would have to be counted, and are many: upkeep has not counted them for an hour.';

COMMENT ON FUNCTION foreman.ended_take_long IS
'The same of jobs that have ended.';

COMMENT ON FUNCTION foreman.live_figures IS
'The live jobs of each queue as they were rolled up, or as they are now (NULL).';

COMMENT ON FUNCTION foreman.uncounted_figures IS
'The jobs that have ended on days that are not counted yet by quarters of an hour, counted now.';

COMMENT ON FUNCTION foreman.counted_figures IS
'The jobs that have ended on days that are over and counted; several rows of each queue and state.';

COMMENT ON FUNCTION foreman.ended_figures IS
'The jobs of each queue that have ended ever, and those since then (NULL: all), as they were rolled up or as they are now;
several rows of each.';

COMMENT ON FUNCTION foreman.figures_since IS
'From which moment on jobs can be counted that have ended since this one: it, or the beginning of its hour or quarter.';

COMMENT ON FUNCTION foreman.db_health IS
'Answers how the server is, as one document: made for a dashboard, or for a probe that asks every second.

- `detail`: true has the checks that pass tell their `subjects`, too, and `query_performance` tell of each function.
- The document is the reply: its `status` is `healthy`, `degraded` (a check warns) or `unhealthy` (a check fails).
  `complete` is false where something is `unknown`, which does not worsen the status.
- `connection_pool` is the server''s own slots: `size` is those that ordinary roles can have, `checked_out` the
  client sessions, `overflow` those in reserved slots. Degraded from 75 percent, unhealthy above 90.
- `database_stats` counts jobs, exactly as of `as_of` (see `job_stats`); `success_rate` is the percentage of completed
  among completed and failed, null where there are none. `checks` are the rows of `foreman.health_checks`, worst
  first; `warnings` names those that warn or fail; `skipped` says which were not made, and why.
- Every role that may call it gets all figures, with or without pg_monitor; a query''s text is never among them.
  In a transaction it looks at the sessions anew, and so forgets what pg_stat_activity showed before.
- A check that fails, or waits for a lock for more than 50 ms, is `unknown`. After half a second that was lost to such
  ones, or a second and a half in all, no more are begun.';

COMMENT ON FUNCTION foreman.read_health_checks IS
'Answers the checks as `foreman.health_checks` shows them, with the rights of whoever asks.

- Replies: `success` with `checks`. Errors are raised, whatever `foreman.on_error` says: a view without rows would
  look well.';

COMMENT ON FUNCTION foreman.read_server IS
'A step of views: answers what checks read of the server, as far as whoever asks may see it.

- `of`: `sessions` (`foreman.client_sessions`), `horizon` (`foreman.horizon_holders`) or `transaction_ages`.
- Replies: `success` with `rows`. Errors are raised.';

COMMENT ON FUNCTION foreman.is_ready IS
'For readiness probes and load balancers: false where the other sessions hold every connection that an ordinary role can
have. Nothing else is helped by taking traffic away.

- The session that asks may have taken the last one itself. Errors are raised.';

COMMENT ON FUNCTION foreman.read_health_thresholds IS
'Answers what each check is measured against: `foreman.health_thresholds` is made of it.

- Replies: `success` with `thresholds`. Errors are raised.';

COMMENT ON FUNCTION foreman.refresh_health IS
'Makes the slow checks now, which the background worker makes every `foreman.slow_check_interval`: those that go
through all tables, indexes or sequences of this database.

- `name`: one of them, a check of `foreman.health_thresholds` whose `tier` is `slow`; NULL makes all.
- It reads catalogs and statistics, takes no lock on a table of yours for longer than it takes to ask its size, and waits
  50 ms at most for one; a check that fails costs only itself. With 5,000 tables all of them take some 300 ms.
- Replies: `success` with `checks`, each with `name`, `took_ms` and `error` (null where there is none). What was found
  is in `db_health` and `foreman.health_checks`.
- Errors: `INVALID_PARAMS`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.configure_check IS
'Sets what a check is measured against, switches it off, or mutes it. What is NULL stays as it is.

- `name`: a check of `foreman.health_thresholds`. `warn`, `fail`: 0 to 1000000000000, in the check''s unit; `fail` only
  for a check that may fail. `enabled`: false skips it. `muted_until`: it is made and shown until then, and raises no
  alarm; a time that is over ends that. `note`: up to 64 kB, why.
- `reset`: true forgets first what was configured before.
- Replies: `success` with what is in force, as a row of `foreman.health_thresholds`.
- Errors: `INVALID_PARAMS`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.create_job IS
'Creates a job and answers its id.

- `queue`: 1 to 200 characters; the queue is made on first use. `payload`: any JSON up to
  `foreman.max_payload_bytes`. `priority`: 0 (first) to 9; NULL is the queue''s. `run_at`: not before then; NULL is now.
- `unique_key`: no second job with it in the queue while one is pending or running; `on_duplicate` says what
  then: `skip` (answers the job that is there), `error` (`DUPLICATE_ENTRY`), `replace` (gives a pending one
  the new payload, priority and time).
- `max_attempts`: 1 to 1000; NULL is the queue''s. `metadata`: a JSON object. `options`: none yet.
- Replies: `success` with `job_id` and `created`; `skipped` with `job_id` and `reason`.
- Errors: `INVALID_PARAMS`, `DUPLICATE_ENTRY`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.create_jobs IS
'Creates up to 10000 jobs, all or none.

- `jobs`: a JSON array of objects with the arguments of `create_job` as members; `queue` has to be there,
  `run_at` is a string in ISO 8601 with a time zone.
- Replies: `success` with `job_ids` in the order of the array, the numbers `created` and `replaced`, and a
  list `skipped` of those whose unique key was taken.
- Errors: `INVALID_PARAMS` (names the member, such as `jobs[3].priority`), `DUPLICATE_ENTRY`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.update_job_status IS
'Moves a job to another state.

- `status`: from `pending` to `running`, `completed`, `failed`, `cancelled`; from `running` to those and back
  to `pending`, which forgets a requested cancel; from `failed` and `cancelled` back to `pending`. `result` and `error`: only where the job ends.
- `lease_token`: of a claimed job its token; of one that was never claimed NULL. Set running without a claim,
  a job has the queue''s `max_run_seconds` as its lease. `options`: none yet.
- Replies: `success` with `from`, `to` and `changed`, which is false where the job was in that state already.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION`, `LEASE_LOST`, `DUPLICATE_ENTRY` (the unique key
  was taken meanwhile), `DB_DEADLOCK`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.update_job_success IS
'Moves a job to `completed`: `update_job_status` by a name of its own.

- `result`: any JSON up to `foreman.max_payload_bytes`. `lease_token`: as for `update_job_status`.
- Replies and errors: as for `update_job_status`.';

COMMENT ON FUNCTION foreman.update_job_failure IS
'Moves a job to `failed`, for good: `update_job_status` by a name of its own.

- `error`: up to 64 kB of text. `lease_token`: as for `update_job_status`.
- Replies and errors: as for `update_job_status`.';

COMMENT ON FUNCTION foreman.bulk_update_job_status IS
'Moves many jobs to a state, each with an outcome of its own.

- `job_ids`: 1 to 10000 different ids. The other arguments are those of `update_job_status`, for all of them.
  Rows are locked in the order of their ids.
- Replies: `success` with the numbers `updated`, `unchanged`, `not_found`, `refused`, and `outcomes`, a list
  with each job''s, in the order of their ids.
- Errors: `INVALID_PARAMS`, `DB_DEADLOCK`, `DB_TIMEOUT_ERROR`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.get_job IS
'Answers a job with all that is known of it, payload and result as they were given.

- Replies: `success` with `job`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`.';

COMMENT ON FUNCTION foreman.list_jobs IS
'Lists jobs, newest first.

- `queue`, `status`, `job_type`: only those; NULL is all. `page_size`: 1 to 100.
- `cursor`: the `next_cursor` of the page before, asked for with the same filters; NULL is the first page.
  Jobs that come or end meanwhile neither repeat nor hide others.
- Replies: `success` with `jobs` and, where more follow, `next_cursor`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue).';

COMMENT ON FUNCTION foreman.cancel_job IS
'Cancels a job, whoever holds its lease.

- `reason`: up to 64 kB of text, kept as the job''s error.
- Replies: as for `update_job_status`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it has ended otherwise), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.delete_job IS
'Deletes a job for good, in any state but `running`.

- Replies: `success` with `deleted` and the state it was in.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it is running: cancel it first), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.retry_job IS
'Makes a job that failed or was cancelled pending again, with the same id and at least one attempt left.

- Replies: as for `update_job_status`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it is running, or completed), `DUPLICATE_ENTRY`
  (its unique key was taken meanwhile), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.job_stats IS
'Counts jobs by state, of one queue or of all.

- `since_seconds`: of the jobs that ended, counts those of the last so many seconds, up to 10 years; NULL is all.
  Live jobs are counted in any case. `since` in the reply is the moment from which was counted: that one, or where so
  many have ended the beginning of its quarter of an hour, of its hour on days that are over.
- Replies: `success` with `pending` (of which `scheduled` are not due yet), `running`, `completed`, `failed`,
  `cancelled`, `total`, `success_rate` (percent of completed and failed; null where none) and
  `oldest_ready_seconds`, exact as of a moment: `live_as_of` for the first three and the last, `as_of` for those that
  ended. It is now where tables are small, else that of the last count by upkeep; docs/operations.md.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue).';

COMMENT ON FUNCTION foreman.maintain IS
'Does the upkeep: expired leases, partitions for the week ahead, finished jobs moved into them, what no queue keeps any
longer deleted, and jobs counted.

- To be called every few seconds where leases are to be rescued, outside of a transaction block, which would hold its
  locks for longer. It waits at most 50 ms for a lock; what it can''t do at once the next call does.
- Replies: `success` with the numbers `rescued`, `failed`, `cancelled` (as of `rescue_expired`), `partitions_made`,
  `jobs_moved`, `jobs_deleted`, `partitions_emptied`, `partitions_dropped`, `days_changed`, `days_counted`, `days_closed`,
  `roll_ups` (of figures), `floors_saved`, `queues_woken`, and `postponed`, the steps that could not have their lock;
  `skipped` where another session is at it.
- Errors: `DB_QUERY_ERROR` 25001 (in a transaction block), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.lease_end IS
'A step of `foreman.jobs`: until when nobody takes a lease away, as its row, its heartbeats and the grace after a crash have it.';

COMMENT ON FUNCTION foreman.lease_progress IS
'A step of `foreman.jobs`: the progress that was last told by heartbeats, else what the row says.';

COMMENT ON FUNCTION foreman.lease_note IS
'A step of `foreman.jobs`: the note that was last told by heartbeats, else what the row says.';

COMMENT ON FUNCTION foreman.metrics IS
'Answers all metrics as text, for Prometheus and what reads the same: the rows of `foreman.metric_samples`.

- `format`: `prometheus` (text format 0.0.4) or `openmetrics` (1.0).
- Queues are told by name up to the 100th that was made; those after it together as `_other`.
- Every role that may call it gets all figures, with or without pg_monitor. In a transaction it looks at the sessions
  anew, and so forgets what pg_stat_activity showed before.
- Errors are raised, whatever `foreman.on_error` says, since text is no reply: JF004 (another format), 55P03 (somebody
  has a table of ours locked for more than 50 ms).';

COMMENT ON FUNCTION foreman.read_metrics IS
'Answers the samples that only shared memory has, and the settings: `foreman.metric_samples` is made of it.

- Replies: `success` with `samples`, and with `looks`, what claims have found below their floors.';

COMMENT ON FUNCTION foreman.configure_queue IS
'Sets a queue''s policy, and makes the queue if there is none. What is NULL stays as it is.

- `lease_seconds`: of claims that name none, 0.1 to 604800 (300). `max_attempts`: of jobs that name none, 1 to 1000
  (25). `default_priority`: of jobs that name none, 0 to 9 (5).
- `backoff`: the pause before the next attempt: `exponential` (base * factor ^ (attempt - 1)), `linear`
  (base * attempt) or `fixed` (base), of which `backoff_jitter`, 0 to 1 (0.2), is the part that may be less, by chance.
  `backoff_base_seconds`: 0 to a year (5). `backoff_factor`: 1 to 10 (2). `backoff_cap_seconds`: the base to a year
  (3600).
- `max_run_seconds`: the lease of jobs set running without a claim, 0.1 to 31536000 (3600).
- `completed_retention_seconds`, `failed_retention_seconds` (of cancelled jobs too): from 1; ''infinity'' keeps for ever
  (a week, 30 days). They count from the end of the day (UTC) on which a job ended.
- `notify`: whether NOTIFY foreman_jobs, with the queue''s name, tells of new jobs (false). `options`: none yet.
- `ready_target_seconds`: for how long the oldest ready job may have been waiting before the check `late_queues` warns,
  up to a year; 0 takes the target away (none: then the check `oldest_ready_job` judges the queue).
- Replies: `success` with the whole policy, where a retention of null is for ever, a target of null is none.
- Errors: `INVALID_PARAMS`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.pause_queue IS
'Stops handing out a queue''s jobs; those that run go on, and new ones are taken.

- Replies: `success` with `paused` and `changed`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.resume_queue IS
'Hands out a queue''s jobs again.

- Replies: `success` with `paused` and `changed`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.list_queues IS
'Lists all queues with their policies, by name; job_stats counts their jobs.

- Replies: `success` with `queues`, as of `configure_queue`, with `paused_at` besides.';

COMMENT ON FUNCTION foreman.set_setting IS
'Sets a setting and answers its new version.

- `key`: 1 to 200 characters. `value`: any JSON up to `foreman.max_payload_bytes`. `description`: up to 64 kB;
  NULL keeps the present one.
- `expected_version`: the version that the caller saw, 0 for a setting that is not there yet; NULL sets it
  whatever the version is.
- Replies: `success` with `key` and `version`.
- Errors: `INVALID_PARAMS`, `VERSION_CONFLICT` (carries the present `version` and `value`), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.set_setting_text IS
'Sets a setting to plain text: `set_setting` with a JSON string.

- Arguments, replies and errors: as for `set_setting`.';

COMMENT ON FUNCTION foreman.get_setting IS
'Answers a setting.

- `default_value`: answered where there is no such setting; NULL makes that an error.
- Replies: `success` with `key`, `value`, `version`, `found` and, where it was found, `description`,
  `updated_at`, `updated_by`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`.';

COMMENT ON FUNCTION foreman.list_settings IS
'Lists settings in the order of their keys.

- `prefix`: only keys that begin with it; NULL is all. `page_size`: 1 to 100. `cursor`: the `next_cursor` of the
  page before, asked for with the same prefix.
- Replies: `success` with `settings` and, where more follow, `next_cursor`.
- Errors: `INVALID_PARAMS`.';

COMMENT ON FUNCTION foreman.delete_setting IS
'Deletes a setting; its history stays.

- Replies: `success` with `key`, `deleted` and the version that the deletion has in the history.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `READ_ONLY`.';

COMMENT ON FUNCTION foreman.ready_in IS
'Says whether there are jobs to claim in one of these queues: what `wait_for_jobs` looks at.

- `queues`: 1 to 100 different names. One that is not there yet, or paused, has no jobs to claim.
- Replies: `success` with `ready` and `next_due_seconds`, the time until the next delayed job becomes due; null where
  there is none.
- Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`.';

COMMENT ON PROCEDURE foreman.wait_for_jobs IS
'Waits until there may be jobs to claim in one of these queues, or the time is over: to be called, not selected.

- `queues`: 1 to 100 different names, of queues that are there or that may come. `timeout_seconds`: above 0, up to
  3600. A session''s `statement_timeout` ends it earlier, with an error.
- Ends without a word; then claim, and wait again where there was nothing. While it waits it holds no snapshot.
- Preloaded, a commit that makes a job ready wakes one waiter; what wakes nobody (COMMIT PREPARED) is found within
  10 s. Not preloaded, it polls: every 50 ms at first, every second later on.
- Errors are raised, there being no reply: JF004 (an argument), 25001 (in a transaction block or a function: use
  autocommit), 42501 (the role may not call `ready_in`), 25006 (on a standby).';

COMMENT ON FUNCTION foreman.claim_jobs IS
'Hands out ready jobs of a queue: each becomes running, under a lease.

- `max_jobs`: 1 to 1000. `lease_seconds`: 0.1 to 604800; NULL is the queue''s. `worker`: a name to show, up to 200
  characters. `options`: none yet.
- By priority, then the time since when they are ready, then id. Jobs that are not due, or locked by another session,
  are passed over; nobody waits. A job whose lease has expired before is handed out alone: should it kill its worker
  again, it takes no others with it.
- Replies: `success` with `jobs`, each with `job_id`, `payload`, `attempt`, `lease_token`, `lease_expires_at` and
  more; an empty list where none is ready. `paused` where the queue is, `warning` where there is no such queue yet.
- Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`, `DB_DEADLOCK` (under REPEATABLE READ: use READ COMMITTED), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.claim_jobs_from IS
'Hands out ready jobs of several queues, as `claim_jobs` does of one.

- `queues`: 1 to 100 different names, looked at in this order: a later one only for what the former had not enough of.
  The other arguments are those of `claim_jobs`.
- Replies and errors: as for `claim_jobs`.';

COMMENT ON FUNCTION foreman.heartbeat IS
'Extends the lease of a job that the caller works on, and tells whether its cancel was requested.

- `extend_seconds`: the lease ends no earlier than so many seconds from now, 0.1 to 604800; NULL is the length that it
  was claimed for. It never becomes shorter. `progress`: 0 to 100 percent. `note`: up to 120 bytes; both are shown by
  `get_job`, and NULL leaves them. Preloaded, all this is kept in shared memory, and counts also where the transaction
  is rolled back. `options`: none yet.
- Replies: `success` with `lease_expires_at` and `cancel_requested`, `cancel_reason` where one was given, and `held`
  where another transaction has the job locked, as after `hold_lease`: the lease is left as it is until that ends.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (stop: another worker may have the job), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.heartbeat_all IS
'Extends many leases in one call.

- `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `extend_seconds`,
  `progress`, `note`, as for `heartbeat`. No job twice.
- Replies: `success` with `outcomes` in the order of the ids: `extended` (with `lease_expires_at` and
  `cancel_requested`), `lease_lost` or `not_found`.
- Errors: `INVALID_PARAMS` (names the member, such as `leases[3].progress`), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.complete_job IS
'Completes a job that the caller holds.

- `lease_token`: as claimed. `result`: any JSON up to `foreman.max_payload_bytes`. `options`: none yet.
- Replies: `success` with `from`, `to` and `changed`, which is false where the same was said before under the same
  lease: so a call whose reply was lost may be made again.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.complete_jobs IS
'Completes many jobs that the caller holds, each with an outcome of its own.

- `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `result`. No job twice.
- Replies: `success` with `outcomes` in the order of the ids: `completed`, `unchanged`, `lease_lost` or `not_found`.
- Errors: `INVALID_PARAMS` (names the member, such as `leases[3].job_id`), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.fail_job IS
'Says that an attempt at a job failed: it is tried again later, or ends as failed.

- `error`: up to 64 kB of text, shown by `get_job`. `retry_in_seconds`: 0 to a year; NULL is the queue''s backoff.
  `final`: true ends the job at once. `options`: none yet.
- Replies: `success` with `from` and `to`: `pending` (with `ready_at`, `attempt`, `max_attempts`), `failed` where the
  attempts are used up or this was final, `cancelled` where a cancel was requested.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.fail_jobs IS
'Says of many jobs that an attempt failed, each with an outcome of its own.

- `leases`: a JSON array of 1 to 10000 objects with `job_id`, `lease_token` and, if wanted, `error`,
  `retry_in_seconds`, `final`, as for `fail_job`. No job twice.
- Replies: `success` with `outcomes` in the order of the ids: `pending` (with `ready_at`), `failed`, `cancelled`,
  `unchanged`, `lease_lost` or `not_found`.
- Errors: `INVALID_PARAMS` (names the member, such as `leases[3].final`), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.release_job IS
'Gives a job back unfinished, at a shutdown or to look again later; no attempt is used up.

- `run_at`: not before then; NULL is now. `options`: none yet.
- Replies: `success` with `from` and `to`: `pending` (with `ready_at`), or `cancelled` where a cancel was requested.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `LEASE_LOST` (nothing was changed), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.finish_and_claim IS
'Finishes what is done and claims the next jobs, in one call and one commit.

- `outcomes`: a JSON array of up to 10000 objects with `job_id`, `lease_token` and `outcome`: `completed` (with
  `result`), `failed` (with `error`, `retry_in_seconds`, `final`) or `released` (with `run_at`). No job twice. The
  other arguments are those of `claim_jobs`.
- Replies: `success` with `outcomes` as of `complete_jobs` and `fail_jobs`, and `jobs` as of `claim_jobs`.
- Errors: `INVALID_PARAMS`, `DB_TIMEOUT_ERROR`, `READ_ONLY`; then nothing was finished and nothing claimed.';

COMMENT ON FUNCTION foreman.hold_lease IS
'Holds a lease until the caller''s transaction ends: nobody else can be given the job before.

- To be called first in the transaction that has the job''s effect; `complete_job` in the same transaction makes the
  effect happen once.
- Replies: `success`. Errors are raised, whatever `foreman.on_error` says, so that the effect can''t commit:
  `LEASE_LOST` (JF011), `NOT_FOUND` (JF005), `INVALID_PARAMS` (JF004) and those of the server.';

COMMENT ON FUNCTION foreman.explain_job IS
'Says why a job does not run, by the conditions of the claim itself.

- Replies: `success` with `job_status`, `runnable` (the next claim with room takes it), `jobs_ahead` (ready ones of the
  queue that come first; 1000 with `jobs_ahead_is_at_least` where there are more) and `reasons`, each with a `reason` (`queue_paused`, `not_due`, `leased`,
  `lease_expired`, `cancel_requested`, `attempts_used_up`, `ended`; of a runnable one, and only where the library is preloaded,
  `not_claimed_from`) and a `message`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`.';

COMMENT ON FUNCTION foreman.request_cancel IS
'Asks for a job''s cancel: a pending one is cancelled at once, a running one''s worker learns it by its next heartbeat.

- `reason`: up to 64 kB of text. A running job may still be completed; failed, given back or past its lease it is
  cancelled. `cancel_job` does not wait for the worker.
- Replies: `success` with `from`, `to`, `changed` and, where the job runs, `cancel_requested`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND`, `INVALID_TRANSITION` (it has ended otherwise), `READ_ONLY`.';

COMMENT ON FUNCTION foreman.rescue_expired IS
'Takes jobs back whose lease has expired: pending again, or ended where they can''t be tried again.

- `max_jobs`: 1 to 10000, those that expired first. A job that another session has locked, by `hold_lease` or in
  finishing it, is left alone. `maintain` does this too.
- Replies: `success` with the numbers `rescued`, `failed` (attempts used up) and `cancelled` (as was requested).
- Errors: `INVALID_PARAMS`, `READ_ONLY`.';
