-- How late a call ends: a second session holds the row while we ask for it ten times.
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE TABLE bare.contested (id int PRIMARY KEY);
INSERT INTO bare.contested VALUES (1);
SELECT dblink_connect('holder', format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)) \g /dev/null
SELECT dblink_exec('holder', 'BEGIN') \g /dev/null
SELECT * FROM dblink('holder', 'SELECT id FROM bare.contested FOR UPDATE') AS t (id int) \g /dev/null
SET foreman.query_timeout = '300ms';
SELECT format('late by %s to %s ms in ten calls, code %s', round(min(late)::numeric, 1), round(max(late)::numeric, 1), min(code))
FROM (
    SELECT extract(epoch FROM clock_timestamp() - before) * 1000 - 300 AS late, code
    FROM generate_series(1, 10) AS n
    CROSS JOIN LATERAL (SELECT clock_timestamp() + n * interval '0' AS before OFFSET 0) AS b
    CROSS JOIN LATERAL (
        SELECT foreman.execute('SELECT id FROM bare.contested FOR UPDATE') ->> 'error_code' AS code
        WHERE b.before IS NOT NULL OFFSET 0) AS c
    OFFSET 0
) AS t;
SELECT dblink_disconnect('holder') \g /dev/null
