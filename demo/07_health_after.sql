
-- They have gone.

SELECT foreman.db_health() ->> 'status';
