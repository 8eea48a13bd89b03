
-- 38 of the 40.

SELECT jsonb_pretty(foreman.db_health() - 'checks');

SELECT jsonb_pretty(to_jsonb(health_checks)) FROM foreman.health_checks WHERE status IN ('warn', 'fail');
