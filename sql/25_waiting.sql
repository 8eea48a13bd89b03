/* sql/25_waiting.sql: the one procedure: it ends transactions while it waits */

-- Neither SECURITY DEFINER nor SET, with either of which the server lets no procedure end a transaction. It does nothing
-- by itself: what it looks at is foreman.ready_in(), called with the rights of the role that waits.
CREATE PROCEDURE foreman.wait_for_jobs(queues text[], timeout_seconds double precision)
LANGUAGE c
AS 'MODULE_PATHNAME', 'wait_for_jobs_wrapper';
