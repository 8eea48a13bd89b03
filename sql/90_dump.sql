/* sql/90_dump.sql: what holds data, so that a dump and a restore bring it back */

SELECT pg_catalog.pg_extension_config_dump('foreman.queue', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.queue_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.job_id_seq', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.live_job', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.job_key', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.finished_rest', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.finished_day', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.finished_swept', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.setting', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.setting_history', '');
SELECT pg_catalog.pg_extension_config_dump('foreman.health_threshold', '');
