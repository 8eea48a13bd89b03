-- How the server is: one document, and a row for each check.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)
-- What is so of the cluster and of the machine that this runs on is left out, and so is what takes a minute to be known.
SELECT count(foreman.check(foreman.configure_check(name, enabled => false))) AS switched_off
FROM unnest('{durability, disk_space, checksum_failures, standby_conflicts, deadlocks, rollbacks, temp_files, cache_hits, wait_events,
              requested_checkpoints, rescued_jobs, unworked_jobs, floor_misses}'::text[]) AS name;
-- Slow checks have not been made yet, and then they are.
SELECT DISTINCT status, reason, remedy FROM foreman.health_checks AS c
WHERE name IN (SELECT name FROM foreman.health_thresholds WHERE tier = 'slow');
SELECT c ->> 'name' AS name, c ->> 'error' AS error
FROM jsonb_array_elements(foreman.check(foreman.refresh_health()) -> 'checks') AS c;
SELECT name, status, age < '1 minute' AS is_fresh, took_ms > 0 AS took_time FROM foreman.health_checks AS c
WHERE name IN (SELECT name FROM foreman.health_thresholds WHERE tier = 'slow') ORDER BY name COLLATE "C";
SELECT foreman.refresh_health('horizon');

-- What each check is measured against.
SELECT name, tier, warn, fail, unit, direction, worst, source, enabled, muted_until, note
FROM foreman.health_thresholds ORDER BY name COLLATE "C";

-- Each says when it warns, but for growth and waits, of which nobody else knows what is much, and for standbys without which all
-- commits wait; it says what it is about and what to do; it fails after it has warned, and only where it may.
SELECT name FROM foreman.health_thresholds
WHERE (warn IS NULL) <> (name = ANY ('{growing_tables, wait_events, synchronous_standbys}')) OR (fail IS NOT NULL) <> (worst = 'fail')
    OR CASE direction WHEN 'above' THEN fail <= warn ELSE fail >= warn END
    OR about !~ '^[A-Z].*\.$' OR advice !~ '^[A-Z].*\.$' OR name !~ '^[a-z_]+$';
-- Every check has its thresholds, and every threshold its check.
SELECT COALESCE(c.name, t.name) AS name, c.name IS NULL AS no_check, t.name IS NULL AS no_threshold
FROM foreman.health_checks AS c FULL JOIN foreman.health_thresholds AS t ON t.name = c.name
WHERE c.name IS NULL OR t.name IS NULL;

-- A row a check: what is well needs no remedy.
SELECT name, status, value IS NOT NULL AS measured, unit, warn_threshold, fail_threshold, meaning <> '' AS explained,
       remedy, reason
FROM foreman.health_checks WHERE name <> 'subtransaction_overflow' ORDER BY name COLLATE "C";

SELECT database, role, application, state, sessions, oldest_seconds >= 0 AS has_an_age
FROM foreman.connection_health WHERE database = current_database() AND state = 'active';

-- The document: the keys that callers know, and no rate where nothing has ended.
CREATE TEMPORARY TABLE answer AS SELECT foreman.db_health() AS health;
SELECT key, jsonb_typeof(value) AS type FROM answer, jsonb_each(health) ORDER BY key COLLATE "C";
SELECT key, jsonb_typeof(value) AS type FROM answer, jsonb_each(health -> 'connection_pool') ORDER BY key COLLATE "C";
SELECT health ->> 'status' AS status, health -> 'complete' AS complete, health -> 'warnings' AS warnings,
       jsonb_pretty((health -> 'database_stats') - 'as_of') AS database_stats
FROM answer;
SELECT (health ->> 'timestamp')::timestamptz BETWEEN now() - interval '1 minute' AND clock_timestamp() AS is_now,
       health ->> 'timestamp' ~ '^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$' AS is_utc
FROM answer;
SELECT (health -> 'database_stats' ->> 'as_of')::timestamptz BETWEEN now() - interval '1 minute' AND clock_timestamp() AS is_now
FROM answer;
SELECT DISTINCT key FROM answer, jsonb_array_elements(health -> 'checks') AS c, jsonb_object_keys(c) AS key
ORDER BY key;

-- Jobs that fail and jobs that nobody takes are told, and never make the server unhealthy.
SELECT foreman.update_job_success((foreman.create_job('health') ->> 'job_id')::bigint) ->> 'status' AS completed
FROM generate_series(1, 2);
SELECT foreman.update_job_failure((foreman.create_job('health') ->> 'job_id')::bigint, 'no route') ->> 'status' AS failed;
SELECT status, value, subjects FROM foreman.health_checks WHERE name = 'failed_jobs';
SELECT count(foreman.update_job_failure((foreman.create_job('health') ->> 'job_id')::bigint, 'no route'))
FROM generate_series(1, 38);
SELECT status, value, meaning, remedy, subjects FROM foreman.health_checks WHERE name = 'failed_jobs';
SELECT foreman.create_job('health') ->> 'status' AS created, foreman.create_job('health tomorrow', run_at => 'tomorrow') ->> 'status' AS later;
UPDATE foreman.live_job SET ready_at = clock_timestamp() - interval '1 day' WHERE ready_at <= clock_timestamp();
SELECT status, value BETWEEN 86400 AND 86460 AS a_day, jsonb_path_query_array(subjects, '$[*].queue') AS queues
FROM foreman.health_checks WHERE name = 'oldest_ready_job';
SELECT health ->> 'status' AS status, health -> 'complete' AS complete,
       jsonb_path_query_array(health, '$.checks[0 to 1].name') AS worst_first,
       jsonb_array_length(health -> 'warnings') AS warnings,
       (health -> 'database_stats') - 'as_of' AS database_stats
FROM foreman.db_health() AS health;
-- What failed more than an hour ago is history.
UPDATE foreman.finished_rest SET finished_at = finished_at - interval '61 minutes';
SELECT status, value FROM foreman.health_checks WHERE name = 'failed_jobs';

-- What a check is measured against is the administrator's to say.
SELECT r ->> 'status' AS status, r ->> 'error_code' AS error_code, r ->> 'message' AS message
FROM (VALUES
    (foreman.configure_check(NULL)),
    (foreman.configure_check('no such check')),
    (foreman.configure_check('failed_jobs', fail => 50)),
    (foreman.configure_check('connections', warn => 95)),
    (foreman.configure_check('partitions_ahead', warn => -1)),
    (foreman.configure_check('connections', warn => 'NaN')),
    (foreman.configure_check('connections', muted_until => 'infinity')),
    (foreman.configure_check('connections', reset => NULL))) AS v (r);
SELECT foreman.configure_check('oldest_ready_job', warn => 100000, note => 'nightly imports') - '{about,advice}'::text[] AS configured;
SELECT status, warn_threshold FROM foreman.health_checks WHERE name = 'oldest_ready_job';
SELECT foreman.configure_check('oldest_ready_job', warn => 60) - '{about,advice}'::text[] AS configured;
-- A muted one is shown, and raises no alarm.
SELECT foreman.configure_check('oldest_ready_job', muted_until => now() + interval '1 hour') ->> 'status' AS muted;
SELECT status, muted FROM foreman.health_checks WHERE name = 'oldest_ready_job';
SELECT health ->> 'status' AS status, health -> 'warnings' AS warnings, health -> 'complete' AS complete FROM foreman.db_health() AS health;
SELECT foreman.configure_check('oldest_ready_job', muted_until => now()) ->> 'status' AS unmuted;
SELECT foreman.db_health() ->> 'status' AS status;
-- One that is switched off is skipped, and said to be.
SELECT foreman.configure_check('oldest_ready_job', enabled => false) ->> 'status' AS disabled;
SELECT status, value, reason FROM foreman.health_checks WHERE name = 'oldest_ready_job';
SELECT health ->> 'status' AS status, health -> 'complete' AS complete, jsonb_path_query(health, '$.skipped[*] ? (@.name == "oldest_ready_job")') AS skipped
FROM foreman.db_health() AS health;
SELECT foreman.configure_check('oldest_ready_job', reset => true) - '{about,advice}'::text[] AS as_it_came;
SELECT name, updated_by FROM foreman.health_threshold WHERE name = 'oldest_ready_job';

-- Probes.
SELECT foreman.is_live(), foreman.is_ready();

-- A role that may read the views and not see other sessions is told so, with the grant that helps.
CREATE ROLE regress_watcher;
SELECT foreman.grant_access('regress_watcher', 'monitor') ->> 'status' AS granted;
SET ROLE regress_watcher;
SELECT name, status, value, meaning, remedy, reason, subjects FROM foreman.health_checks WHERE name = 'connections';
SELECT state, oldest_seconds FROM foreman.connection_health WHERE application LIKE 'pg_regress/health';
-- db_health() gives it the figures.
SELECT health -> 'complete' AS complete, health -> 'connection_pool' ->> 'status' AS pool FROM foreman.db_health() AS health;
RESET ROLE;
-- With pg_monitor the views do, too.
GRANT pg_monitor TO regress_watcher;
SET ROLE regress_watcher;
SELECT status, value > 0 AS measured, reason FROM foreman.health_checks WHERE name = 'connections';
SELECT foreman.is_live(), foreman.is_ready();
SELECT foreman.configure_check('connections');
RESET ROLE;
-- Without a level there is nothing at all.
CREATE ROLE regress_stranger;
SET ROLE regress_stranger;
SELECT status FROM foreman.health_checks;
SELECT foreman.db_health();
RESET ROLE;

DROP OWNED BY regress_watcher;
DROP ROLE regress_watcher, regress_stranger;
