-- All have ended: none is lost, whoever was killed with it.
SELECT status, count(*) FROM foreman.jobs WHERE queue = 'render' GROUP BY status ORDER BY status;
-- The failed ones, with their reasons.
SELECT error, count(*), min(attempt) AS attempts FROM foreman.jobs WHERE queue = 'render' AND status = 'failed'
GROUP BY error ORDER BY count(*) DESC, error LIMIT 5;
SELECT payload ->> 'page' AS page, error FROM foreman.jobs WHERE queue = 'render' AND payload ->> 'does' = 'crash' ORDER BY job_id;
