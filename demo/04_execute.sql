-- 4. Your own SQL, under the same guard
-- foreman.execute runs one statement of yours, with your rights. Parameters are bound, never pasted into the text.

CREATE SCHEMA demo;
CREATE TABLE demo.account (id int PRIMARY KEY, owner text UNIQUE, balance int CHECK (balance >= 0));

SELECT jsonb_pretty(foreman.execute('INSERT INTO demo.account VALUES ($1, $2, 100), ($3, $4, 100)',
                                    '[1, "ann", 2, "bob"]'));

SELECT jsonb_pretty(foreman.execute('SELECT * FROM demo.account ORDER BY id'));

-- What the server refuses comes back as a code that your program can switch on.

SELECT jsonb_pretty(foreman.execute('INSERT INTO demo.account VALUES (3, ''ann'', 5)'));

SELECT jsonb_pretty(foreman.execute('UPDATE demo.account SET balance = -1 WHERE id = $1', '[1]'));

SELECT jsonb_pretty(foreman.execute('COMMIT'));
