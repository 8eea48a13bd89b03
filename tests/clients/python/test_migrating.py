"""Each pair of docs/migrating.md: what was before and what comes after do the same in the same trouble."""

import logging
import threading

import psycopg
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import IntegrityError

from conftest import wait_for
from documents import block

HALVES = ["before", "after"]

# A transfer that waits until two have come this far: then each has its first row. The sequence is not rolled back, so
# who comes again does not wait.
TRANSFER = """
    INSERT INTO account VALUES (1, 100), (2, 100);
    CREATE SEQUENCE arrival;
    CREATE FUNCTION transfer(giver int, taker int, amount int) RETURNS int LANGUAGE plpgsql AS $$
    DECLARE
        answer int;
    BEGIN
        UPDATE account SET balance = balance - amount WHERE id = giver;
        PERFORM nextval('arrival');
        WHILE (SELECT last_value FROM arrival) < 2 LOOP
            PERFORM pg_sleep(0.01);
        END LOOP;
        UPDATE account SET balance = balance + amount WHERE id = taker RETURNING balance INTO answer;
        RETURN answer;
    END $$;
"""


def half(which, name):
    """The code of a half as a namespace."""
    namespace = {}
    shown = block("docs/migrating.md", f"{which}: {name}")
    exec(compile(shown.text, str(shown), "exec"), namespace)
    return namespace


@pytest.fixture
def engine(database):
    """An engine of the application, whose tables are there."""
    with database.session() as session:
        session.execute(block("docs/migrating.md", "tables").text)
    engine = create_engine("postgresql+psycopg://")
    yield engine
    engine.dispose()


@pytest.mark.parametrize("which", HALVES)
def test_two_transfers_that_deadlock_both_succeed(which, database, engine):
    with database.session() as session:
        session.execute(TRANSFER)
    transfer, answers = half(which, "deadlock")["transfer"], {}

    def call(giver, taker, amount):
        answers[giver] = transfer(engine, giver, taker, amount)

    threads = [threading.Thread(target=call, args=crossing) for crossing in ((1, 2, 30), (2, 1, 10))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # The one that came second answered the balance of its taker after both.
    assert set(answers) == {1, 2}
    assert database.ask("SELECT array_agg(balance ORDER BY id) FROM account") == [80, 120]
    engine.dispose()
    wait_for(lambda: database.ask("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == 1)


@pytest.mark.parametrize("which", HALVES)
def test_a_duplicate_is_no_error(which, database, engine):
    subscribe = half(which, "duplicate")["subscribe"]
    assert [subscribe(engine, email) for email in ("a@b", "c@d", "a@b")] == [True, True, False]
    assert database.ask("SELECT count(*) FROM subscriber") == 2
    # What is none is an error still.
    with pytest.raises(IntegrityError) as caught:
        subscribe(engine, "nobody")
    assert caught.value.orig.sqlstate == "23514"


def test_a_slow_call_was_told_to_the_log_of_the_application(engine, caplog):
    with caplog.at_level(logging.WARNING):
        assert half("before", "slow")["report"](engine) == 42
    assert [r.getMessage() for r in caplog.records if "slow query: report took" in r.getMessage()]


def test_a_slow_call_is_told_to_the_log_of_the_server(database, engine, log):
    try:
        with database.session("postgres") as admin:
            admin.execute(block("docs/migrating.md", "after: slow, setting").text)
        assert half("after", "slow")["report"](engine) == 42
        told = [line for line in log.lines() if "slow call: foreman.execute took" in line]
        assert len(told) == 1 and told[0].endswith("in 1 attempt(s), no error") and "slow_report" not in told[0]
    finally:
        with psycopg.connect(dbname="postgres", user="postgres", autocommit=True) as admin:
            admin.execute("ALTER ROLE app RESET ALL")


@pytest.mark.parametrize("which", HALVES)
def test_a_report_that_takes_too_long_is_given_up(which, database, engine):
    namespace = half(which, "timeout")
    try:
        assert namespace["report"]() == "too slow"
        with database.session() as session:
            session.execute("CREATE OR REPLACE FUNCTION slow_report() RETURNS int LANGUAGE sql AS 'SELECT 42'")
        assert namespace["report"]() == 42
    finally:
        namespace["engine"].dispose()


@pytest.mark.parametrize("which", HALVES)
def test_a_failure_is_a_response_with_a_code(which, engine):
    post = half(which, "response")["post_subscriber"]
    responses = [post(engine, email) for email in ("a@b", "a@b", "nobody")]
    assert [(body["status"], body.get("error_code"), http) for body, http in responses] == [
        ("success", None, 200), ("error", "DUPLICATE_ENTRY", 409), ("error", "INVALID_PARAMS", 400)]


def test_the_health_document_has_what_the_endpoint_had(database, engine):
    before = half("before", "health")["health"](engine)
    with pytest.raises(Exception, match="permission denied for function db_health"):
        half("after", "health")["health"](engine)
    assert database.ask("SELECT foreman.grant_access('app', 'monitor')")["status"] == "success"
    after = half("after", "health")["health"](engine)
    assert before.keys() <= after.keys()
    assert before["connection_pool"].keys() <= after["connection_pool"].keys()
    assert before["status"] == after["status"] == "healthy"
    assert before["database_connected"] is after["database_connected"] is True
    assert after["connection_pool"]["checked_out"] >= 1


@pytest.mark.parametrize("which", HALVES)
def test_a_violated_constraint_is_named_and_the_transaction_goes_on(which, database, engine):
    add = half(which, "integrity")["add"]
    with engine.begin() as connection:
        answers = [add(connection, email) for email in ("a@b", "a@b", "nobody", "c@d")]
    assert answers == [None, "subscriber_is_unique", "email_has_an_at", None]
    assert database.ask("SELECT array_agg(email ORDER BY email) FROM subscriber") == ["a@b", "c@d"]


def test_handlers_of_integrity_error_can_stay(database, engine):
    add = half("after", "integrity, raised")["add"]
    with engine.begin() as connection:
        add(connection, "a@b")
    with pytest.raises(IntegrityError) as caught, engine.begin() as connection:
        add(connection, "a@b")
    assert caught.value.orig.sqlstate == "23505"
    assert caught.value.orig.diag.constraint_name == "subscriber_is_unique"
    with engine.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM subscriber")) == 1
