
-- 32 of the 40 connections are in use.

SELECT jsonb_pretty(foreman.db_health() - 'checks');
