-- Session one:

SELECT jsonb_pretty(foreman.execute('SELECT demo.transfer($1, $2, $3)', '[1, 2, 30]'));
