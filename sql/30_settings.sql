/* sql/30_settings.sql: settings and who changed them */

CREATE TABLE foreman.setting (
    key text COLLATE "C" NOT NULL CONSTRAINT setting_key_is_unique PRIMARY KEY,
    value jsonb NOT NULL,
    description text,
    version integer NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by name NOT NULL
);
COMMENT ON TABLE foreman.setting IS 'Settings as they are now; every change counts the version up.';

CREATE TABLE foreman.setting_history (
    key text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    -- NULL where the setting was deleted.
    value jsonb,
    description text,
    changed_at timestamptz NOT NULL,
    changed_by name NOT NULL,
    CONSTRAINT setting_history_has_each_version_once PRIMARY KEY (key, version)
);
COMMENT ON TABLE foreman.setting_history IS
    'Every version of every setting: what, when, by which session user. A NULL value is a deletion.';
