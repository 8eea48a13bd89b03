-- 3. Settings
-- A setting is a key, any JSON, and a version.

SELECT jsonb_pretty(foreman.set_setting('mail.batch_size', '50', 'how many mails go out at once'));

SELECT jsonb_pretty(foreman.get_setting('mail.batch_size'));

SELECT jsonb_pretty(foreman.set_setting('mail.batch_size', '80', expected_version => 1));

-- Somebody else also read version 1. He is told what is there now, and nothing is overwritten.

SELECT jsonb_pretty(foreman.set_setting('mail.batch_size', '20', expected_version => 1));

SELECT jsonb_pretty(foreman.get_setting('mail.colour', '"blue"'));

SELECT jsonb_pretty(foreman.list_settings('mail.'));
