-- Settings: each change counts a version up and is remembered; expected_version refuses what was overtaken.
DROP EXTENSION pg_foreman;
CREATE EXTENSION pg_foreman;
\pset null (null)

SELECT foreman.get_setting('colour') ->> 'error_code' AS error_code;
SELECT foreman.get_setting('colour', '"grey"') AS reply;
SELECT foreman.get_setting('colour', 'null') AS reply;
SELECT foreman.set_setting('colour', '"red"', 'of the door') AS reply;
SELECT jsonb_pretty(foreman.get_setting('colour') - 'updated_at');
-- NULL keeps the description, '' takes it away; the default is not asked for.
SELECT foreman.set_setting('colour', '{"r": 1, "g": 0.10}') AS reply;
SELECT r -> 'value' AS value, r ->> 'description' AS description, r -> 'version' AS version
FROM foreman.get_setting('colour', '"grey"') AS r;
SELECT foreman.set_setting('colour', 'null', description => '') AS reply;
SELECT r -> 'value' AS value, r ->> 'description' AS description, r -> 'found' AS found FROM foreman.get_setting('colour') AS r;

-- expected_version
SELECT jsonb_pretty(foreman.set_setting('colour', '"blue"', expected_version => 2));
SELECT foreman.set_setting('colour', '"blue"', expected_version => 3) AS reply;
SELECT r ->> 'error_code' AS error_code, r -> 'version' AS version, r -> 'value' AS value
FROM foreman.set_setting('colour', '1', expected_version => 0) AS r;
SELECT foreman.set_setting('fresh', '1', expected_version => 0) AS reply;
SELECT r ->> 'error_code' AS error_code, r -> 'version' AS version, r ? 'value' AS has_value, r ->> 'message' AS message
FROM foreman.set_setting('absent', '1', expected_version => 4) AS r;
SELECT foreman.get_setting('absent') ->> 'error_code' AS error_code;

-- Plain text is a JSON string, whatever is in it.
SELECT foreman.set_setting_text('text', E'{"no": "json"}\n"quoted" \\ π') AS reply;
SELECT foreman.get_setting('text') ->> 'value' AS value, jsonb_typeof(foreman.get_setting('text') -> 'value') AS type;
SELECT foreman.set_setting_text('text', '') AS reply;
SELECT foreman.get_setting('text') -> 'value' AS value;

-- Keys count as they are written.
SELECT foreman.set_setting('Colour', '1') -> 'version' AS version;
SELECT foreman.set_setting('colour ', '1') -> 'version' AS version;
SELECT foreman.get_setting(' colour') ->> 'error_code' AS error_code;

-- Deleted and made again, a key never repeats a version.
SELECT foreman.delete_setting('colour') AS reply;
SELECT foreman.delete_setting('colour') ->> 'error_code' AS error_code;
SELECT r ->> 'error_code' AS error_code, r -> 'version' AS version
FROM foreman.set_setting('colour', '1', expected_version => 4) AS r;
SELECT foreman.set_setting('colour', '"new"', expected_version => 0) AS reply;
SELECT version, value, description, changed_by, changed_at IS NOT NULL AS dated
FROM foreman.setting_history WHERE key = 'colour' ORDER BY version;

-- The history names who was logged in, not whose rights were used.
CREATE ROLE regress_setter;
SELECT foreman.grant_access('regress_setter', 'admin') ->> 'status' AS granted;
SET SESSION AUTHORIZATION regress_setter;
SELECT foreman.set_setting('mine', '1') -> 'version' AS version;
RESET SESSION AUTHORIZATION;
SELECT changed_by FROM foreman.setting_history WHERE key = 'mine';
SELECT foreman.get_setting('mine') ->> 'updated_by' AS updated_by;
DROP OWNED BY regress_setter;
DROP ROLE regress_setter;

-- Lists: in the order of the keys' bytes, by prefix, page by page.
SELECT count(foreman.set_setting('n/' || n, to_jsonb(n))) FROM generate_series(1, 25) AS n;
SELECT foreman.set_setting('n%2F', '1') -> 'version' AS version;
CREATE FUNCTION pg_temp.keys(reply jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(s ->> 'key', ',' ORDER BY place), 'none') ||
           CASE WHEN reply ? 'next_cursor' THEN ' and more' ELSE '' END
    FROM jsonb_array_elements(reply -> 'settings') WITH ORDINALITY AS t (s, place)
$$;
SELECT foreman.list_settings('n/') AS page \gset
SELECT pg_temp.keys(:'page');
SELECT pg_temp.keys(foreman.list_settings('n/', cursor => :'page'::jsonb ->> 'next_cursor'));
SELECT pg_temp.keys(foreman.list_settings('n%'));
SELECT pg_temp.keys(foreman.list_settings('_/'));
SELECT pg_temp.keys(foreman.list_settings('N'));
SELECT pg_temp.keys(foreman.list_settings(page_size => 3));
SELECT r ->> 'error_code' AS error_code, r ->> 'argument' AS argument
FROM foreman.list_settings('n', cursor => :'page'::jsonb ->> 'next_cursor') AS r;
-- An entry looks as get_setting shows it.
SELECT foreman.list_settings('n/25') #> '{settings,0}' = foreman.get_setting('n/25') - '{status,found}'::text[] AS same;
