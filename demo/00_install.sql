-- 0. The extension
-- One statement, once for each database. Everything is in the schema foreman.

CREATE EXTENSION pg_foreman;
