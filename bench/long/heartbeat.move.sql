\set n random(1, 1000)
UPDATE hand.job SET lease_until = now() + interval '5 min' FROM held
WHERE n = :n AND job.id = held.id AND job.attempt = held.attempt;
