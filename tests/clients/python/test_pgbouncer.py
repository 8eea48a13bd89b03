"""Workers behind PgBouncer in transaction mode: they wait, are woken, and finish their jobs by whatever server connection
comes. The server is one that preloads, so what wakes is a latch; a wake that is missed would be found 10 s later."""

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest
from psycopg.rows import dict_row

from conftest import only_connection_taken, wait_for

PROMPT = 2  # seconds
LONG = 30

SLEEPING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'CALL foreman.wait_for_jobs%'
  AND state = 'active' AND wait_event_type = 'Extension' AND backend_xmin IS NULL"""


@pytest.fixture(scope="module")
def template(preloaded_template):
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGHOST", os.environ["FOREMAN_PRELOADED"])
        yield preloaded_template


@pytest.fixture
def connect(bouncer, database):
    """Connects clients through the pooler, as psycopg has to without tracking of prepared statements."""
    with ExitStack() as clients:
        yield lambda dbname=database.name: clients.enter_context(
            psycopg.connect(**bouncer, dbname=dbname, autocommit=True, prepare_threshold=None))


@pytest.fixture
def wait(connect):
    """Sends a new client to wait; gives it, and its wait as a future."""
    with ThreadPoolExecutor() as threads:
        def wait(seconds=LONG):
            client = connect()
            return client, threads.submit(client.execute, "CALL foreman.wait_for_jobs('{mail}', %s)", [seconds])

        yield wait


def call(client, function, *arguments):
    """The reply to a call that succeeds."""
    return client.execute(f"SELECT foreman.check(foreman.{function})", arguments).fetchone()[0]


def wait_for_sleeping(database, number, seconds=20):
    """Waits until so many sessions sleep, without a snapshot."""
    wait_for(lambda: database.ask(SLEEPING) == number, seconds)


def test_a_client_that_waits_holds_no_snapshot_and_is_woken_by_a_job_of_another_client(database, connect, wait):
    worker, waiting = wait()
    wait_for_sleeping(database, 1)
    job = call(connect(), "create_job('mail')")["job_id"]
    waiting.result(PROMPT)
    assert [claimed["job_id"] for claimed in call(worker, "claim_jobs('mail')")["jobs"]] == [job]


def test_a_job_is_kept_and_finished_by_other_server_connections_than_the_one_that_claimed_it(
        database, bouncer, connect):
    worker = connect()
    own_process = "SELECT pg_backend_pid()"
    call(worker, "create_job('mail')")
    [job] = call(worker, "claim_jobs('mail')")["jobs"]
    lease = job["job_id"], job["lease_token"]
    processes = worker.execute(own_process).fetchone()
    with only_connection_taken(bouncer, database):
        assert call(worker, "heartbeat(%s, %s)", *lease)["cancel_requested"] is False
        assert call(worker, "complete_job(%s, %s)", *lease)["changed"] is True
        assert worker.execute(own_process).fetchone() != processes


def test_a_cancelled_wait_gives_its_server_connection_to_others_and_its_client_goes_on(database, connect, wait):
    (worker, cancelled), (_, other) = wait(), wait()
    wait_for_sleeping(database, 2)
    worker.cancel_safe()
    with pytest.raises(psycopg.errors.QueryCanceled):
        cancelled.result(PROMPT)
    call(connect(), "create_job('mail')")
    other.result(PROMPT)
    assert len(call(worker, "claim_jobs('mail')")["jobs"]) == 1


def test_a_client_that_dies_gives_its_server_connection_to_others_and_takes_no_wake_from_them(
        database, connect, wait):
    # A queue that is new wakes all who wait for it.
    database.ask("SELECT foreman.configure_queue('mail')")
    # Waiters are chosen in turn: in one of the two rounds the dead one.
    for first_dies in (True, False):
        waits = []
        for number in (1, 2):
            waits.append(wait())
            wait_for_sleeping(database, number)
        (dying, died), (_, other) = waits if first_dies else reversed(waits)
        with socket.socket(fileno=os.dup(dying.fileno())) as connection:
            connection.shutdown(socket.SHUT_RDWR)
        with pytest.raises(psycopg.OperationalError):
            died.result(PROMPT)
        creator = connect()
        call(creator, "create_job('mail')")
        other.result(PROMPT)
        # If it was not chosen before it is now, and ends at once.
        call(creator, "create_job('mail')")
        wait_for_sleeping(database, 0, PROMPT)
        assert len(call(creator, "claim_jobs('mail', 10)")["jobs"]) == 2


def test_more_clients_than_server_connections_queue_up_and_each_has_its_turn(database, connect, wait):
    waits = [wait(seconds=2) for _ in range(5)]
    console = connect("pgbouncer").cursor(row_factory=dict_row)
    wait_for(lambda: [(pool["cl_active"], pool["cl_waiting"]) for pool in console.execute("SHOW POOLS")
                      if pool["database"] == database.name] == [(2, 3)])
    call(connect(), "create_job('mail')")
    for _, waiting in waits:
        waiting.result(LONG)
