-- 7. How the server is
-- One document for a dashboard or a load balancer. This server allows 40 connections, and few are in use.

SELECT jsonb_pretty(foreman.db_health());
