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

- Replies: `success` with `functions`.';

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

COMMENT ON FUNCTION foreman.db_health IS
'Answers how the server is, as one document: made for a dashboard, or for a probe that asks every second.

- The document is the reply: its `status` is `healthy`, `degraded` (a check warns) or `unhealthy` (a check fails).
  `complete` is false where a check is `unknown`, which does not worsen the status.
- `connection_pool` is the server''s own slots: `size` is those that ordinary roles can have, `checked_out` the
  client sessions, `overflow` those in reserved slots. Degraded from 75 percent, unhealthy above 90.
- `database_stats` counts jobs; `success_rate` is the percentage of completed among completed and failed, null
  where there are none. `checks` are the rows of `foreman.health_checks`, worst first; `warnings` names those that
  warn or fail.
- Every role that may call it gets all figures, with or without pg_monitor; a query''s text is never among them.
  In a transaction it looks at the sessions anew, and so forgets what pg_stat_activity showed before.
- Errors: `DB_TIMEOUT_ERROR` (somebody has a table of ours locked for more than 50 ms).';

COMMENT ON FUNCTION foreman.create_job IS
'Creates a job and answers its id.

- `queue`: 1 to 200 characters; the queue is made on first use. `payload`: any JSON up to
  `foreman.max_payload_bytes`. `priority`: 0 (first) to 9. `run_at`: not before then; NULL is now.
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
  to `pending`; from `failed` and `cancelled` back to `pending`. `result` and `error`: only where the job ends.
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
  Live jobs are counted in any case.
- Replies: `success` with `pending` (of which `scheduled` are not due yet), `running`, `completed`, `failed`,
  `cancelled`, `total`, `success_rate` (percent of completed and failed; null where none) and
  `oldest_ready_seconds`.
- Errors: `INVALID_PARAMS`, `NOT_FOUND` (no such queue).';

COMMENT ON FUNCTION foreman.maintain IS
'Does the upkeep that nobody else does: partitions for the week ahead, and finished jobs moved into them.

- To be called once a day or more often, outside of a transaction block, which would hold its locks for longer. It
  waits at most 50 ms for a lock; what it can''t do at once the next call does.
- Replies: `success` with `partitions_made` and `jobs_moved`; `skipped` where another session is at it.
- Errors: `DB_QUERY_ERROR` 25001 (in a transaction block), `DB_TIMEOUT_ERROR` (somebody holds a lock: call again
  later), `READ_ONLY`.';

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
