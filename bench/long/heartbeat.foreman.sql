\set n random(1, 1000)
SELECT foreman.heartbeat(id, token) FROM held WHERE n = :n;
