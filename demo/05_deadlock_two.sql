-- Session two:

SELECT jsonb_pretty(foreman.execute('SELECT demo.transfer($1, $2, $3)', '[2, 1, 10]'));
