-- What a reused key is compared with: a queue by hand whose key is a unique index, as lean as can be.
CREATE SCHEMA IF NOT EXISTS hand;
DROP TABLE IF EXISTS hand.keyed;
CREATE TABLE hand.keyed (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    lease_until timestamptz,
    key text NOT NULL CONSTRAINT key_is_unique UNIQUE,
    payload jsonb NOT NULL
);
CREATE INDEX keyed_ready ON hand.keyed (id) WHERE lease_until IS NULL;
