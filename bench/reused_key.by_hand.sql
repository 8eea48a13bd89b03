INSERT INTO hand.keyed (key, payload) VALUES ('again', '{"n": 1}') ON CONFLICT (key) DO NOTHING RETURNING id \gset
DELETE FROM hand.keyed WHERE id = :id;
