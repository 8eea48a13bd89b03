-- Both succeeded, and the money is right. One of them is the second attempt of a call that the server had failed: its
-- caller only sees "attempts". The server's own view of it:

SELECT deadlocks FROM pg_stat_database WHERE datname = current_database();

SELECT id, owner, balance FROM demo.account ORDER BY id;

-- And the extension's:

SELECT function, calls, errors, retries, deadlocks, time_max_ms FROM foreman.call_stats WHERE calls > 0;
