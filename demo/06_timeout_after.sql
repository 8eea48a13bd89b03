
-- The other session has committed. Now the same call goes through.

SELECT jsonb_pretty(foreman.execute('UPDATE demo.account SET balance = balance + 1 WHERE id = $1', '[1]'));
