INSERT INTO hand.keyed (key, payload) VALUES ('again', '{"n": 1}') ON CONFLICT (key) DO NOTHING;
UPDATE hand.keyed SET lease_until = now() + interval '5 min'
WHERE id = (
    SELECT id FROM hand.keyed WHERE lease_until IS NULL ORDER BY id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
RETURNING id \gset
DELETE FROM hand.keyed WHERE id = :id;
