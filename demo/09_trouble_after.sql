-- The one who waited goes on, and the server is well.
SELECT foreman.db_health() ->> 'status' AS status, count(*) AS who_blocks FROM foreman.blocking;
