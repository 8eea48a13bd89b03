-- 5. A real deadlock
-- A transfer locks the giver's row, then the taker's. Two transfers in opposite directions at the same moment deadlock:
-- each waits for the row that the other one has. The server ends that by failing one of the two.
-- So that they are sure to meet, each waits here until the other has its first row too. (A sequence is not rolled back,
-- so whoever comes a second time does not wait.)

CREATE SEQUENCE demo.arrival;

CREATE FUNCTION demo.transfer(giver int, taker int, amount int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    UPDATE demo.account SET balance = balance - amount WHERE id = giver;
    PERFORM nextval('demo.arrival');
    WHILE (SELECT last_value FROM demo.arrival) < 2 LOOP
        PERFORM pg_sleep(0.01);
    END LOOP;
    UPDATE demo.account SET balance = balance + amount WHERE id = taker;
    RETURN format('%s from %s to %s', amount, giver, taker);
END
$$;

