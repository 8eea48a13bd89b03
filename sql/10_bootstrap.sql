/* sql/10_bootstrap.sql: the schema, before anything that lives in it */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION pg_foreman" to load this file. \quit

-- Fails if somebody made a schema of this name before: what lay in it could not be trusted.
CREATE SCHEMA foreman;

COMMENT ON SCHEMA foreman IS 'Jobs, settings and health: call the functions, read the views.';
