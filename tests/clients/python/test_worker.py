"""The example of a worker, started as its users start it, killed, and started again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from psycopg.types.json import Jsonb

from conftest import wait_for
from documents import ROOT, block

EXAMPLE = ROOT / "examples" / "python"


def heed_interrupts():
    """Where a shell started the tests in the background it had them ignore SIGINT, and they would pass that on."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def start(database, tmp_path):
    """Starts the example on the queue work; what it logged is shown where the test fails."""
    processes = []

    def start(*options):
        with open(tmp_path / f"{len(processes)}.log", "w") as log:
            command = [sys.executable, EXAMPLE / "worker.py", "work", *map(str, options)]
            processes.append(subprocess.Popen(
                command, env=database.environment(), stdout=log, stderr=log, preexec_fn=heed_interrupts))
        processes[-1].log = Path(log.name)
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        print(f"--- {process.log}\n{process.log.read_text()}")


@pytest.fixture
def queue(database):
    return Queue(database)


class Queue:
    """The queue work, in which failed attempts are soon repeated."""

    def __init__(self, database):
        self.database = database
        policy = "backoff => 'fixed', backoff_base_seconds => 0.1, max_attempts => 50"
        assert database.ask(f"SELECT foreman.configure_queue('work', {policy})")["status"] == "success"
        database.ask("CREATE TABLE deposit (account text, amount int)", role="app")

    def create(self, job_type, payload, times=1, **arguments):
        jobs = [{"queue": "work", "job_type": job_type, "payload": payload, **arguments} for _ in range(times)]
        return self.database.ask("SELECT foreman.create_jobs(%s)", Jsonb(jobs))["job_ids"]

    def count(self, status):
        return self.database.ask("SELECT count(*) FROM foreman.jobs WHERE status::text = %s", status)

    def job(self, job_id):
        return self.database.ask("SELECT to_jsonb(j) FROM foreman.jobs AS j WHERE job_id = %s", job_id)

    def wait_for(self, **counts):
        """Waits until so many jobs are in these states. No upkeep is done meanwhile, but what workers do themselves."""
        wait_for(lambda: all(self.count(status) == number for status, number in counts.items()))


def wait_for_idle(database, connections):
    """Waits until so many sessions wait for jobs."""
    wait_for(lambda: database.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' "
        "AND query LIKE 'CALL foreman.wait_for_jobs%'") == connections)


def test_it_works_off_jobs_and_those_that_fail_are_tried_again(database, queue, start):
    database.ask("ALTER TABLE deposit RENAME TO not_yet")
    queue.create("count", {"seconds": 0}, times=10)
    deposits = queue.create("deposit", {"account": "ann", "amount": 5}, times=4)
    [hopeless] = queue.create("unheard of", {}, max_attempts=3)
    start("--concurrency", 3)
    queue.wait_for(completed=10, failed=1)
    wait_for(lambda: queue.job(deposits[0])["attempt"] > 1)
    assert "UndefinedTable" in queue.job(deposits[0])["error"]
    database.ask("ALTER TABLE not_yet RENAME TO deposit")
    queue.wait_for(completed=14, failed=1)
    assert database.ask("SELECT sum(amount) FROM deposit") == 20
    job = queue.job(hopeless)
    assert (job["attempt"], job["error"]) == (3, "KeyError('unheard of')")


def test_jobs_of_a_killed_worker_come_back_after_their_lease_and_finish(database, queue, start):
    jobs = queue.create("count", {"seconds": 4}, times=3)
    first = start("--concurrency", 3, "--lease", 2)
    queue.wait_for(running=3)
    # Longer than the lease, which has been extended meanwhile.
    time.sleep(2.5)
    assert database.ask("SELECT foreman.rescue_expired()")["rescued"] == 0
    first.kill()
    second = start("--concurrency", 3, "--lease", 2)
    queue.wait_for(completed=3)
    for job in map(queue.job, jobs):
        assert (job["attempt"], job["result"]) == (2, {"counted": 4})
        assert job["worker"].endswith(f":{second.pid}")


def test_sigterm_gives_back_at_once_what_is_unfinished_and_no_attempt_is_used_up(queue, start):
    long = queue.create("count", {"seconds": 60}, times=2)
    worker = start("--concurrency", 2, "--grace", 0.5)
    queue.wait_for(running=2)
    queue.create("count", {"seconds": 0})
    worker.terminate()
    assert worker.wait(timeout=10) == 0
    assert queue.count("pending") == 3
    assert [queue.job(job)["attempt"] for job in long] == [0, 0]
    start("--concurrency", 1, "--lease", 60)
    queue.wait_for(running=1)


def test_within_the_grace_time_jobs_end_and_no_other_is_claimed(queue, start):
    [job] = queue.create("count", {"seconds": 2})
    worker = start("--concurrency", 1, "--grace", 20)
    queue.wait_for(running=1)
    queue.create("count", {"seconds": 0})
    worker.terminate()
    assert worker.wait(timeout=20) == 0
    assert queue.job(job)["status"] == "completed"
    assert queue.count("pending") == 1


def test_a_second_signal_ends_the_grace_time(queue, start):
    [job] = queue.create("count", {"seconds": 60})
    worker = start("--grace", 60)
    queue.wait_for(running=1)
    worker.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=10) == 0
    assert queue.job(job)["status"] == "pending"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_at_once(number, database, queue, start):
    worker = start("--concurrency", 3)
    wait_for_idle(database, 3)
    worker.send_signal(number)
    assert worker.wait(timeout=10) == 0


def test_an_idle_worker_is_there_when_a_job_comes(database, queue, start):
    start("--concurrency", 2)
    wait_for_idle(database, 2)
    [job] = queue.create("count", {"seconds": 0})
    wait_for(lambda: queue.job(job)["status"] == "completed", seconds=10)


def test_it_may_be_started_before_its_queue_is_there(database, start):
    worker = start("--concurrency", 1)
    wait_for_idle(database, 1)
    create = "SELECT foreman.create_job('work', '{\"seconds\": 0}', job_type => 'count')"
    assert database.ask(create)["status"] == "success"
    wait_for(lambda: database.ask("SELECT count(*) FROM foreman.jobs WHERE status = 'completed'") == 1, seconds=10)
    assert worker.poll() is None


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restarted_server_does_not_end_it(mode, database, queue, start):
    [in_work] = queue.create("count", {"seconds": 3})
    worker = start("--concurrency", 2)
    queue.wait_for(running=1)
    wait_for_idle(database, 1)
    restart(mode)
    [later] = queue.create("count", {"seconds": 0})
    queue.wait_for(completed=2)
    assert queue.job(later)["status"] == "completed"
    # Its handler knew nothing of the restart, and its end was told to the server that came back.
    assert queue.job(in_work)["attempt"] == 1
    assert worker.poll() is None


def restart(mode):
    """Restarts the server of the tests, at the same socket."""
    data = Path(os.environ["FOREMAN_LOG"]).parent / "data"
    command = [shutil.which("pg_ctl"), "restart", "--silent", "--wait", "--mode", mode, "--pgdata", data,
               "--log", os.environ["FOREMAN_LOG"]]
    if os.geteuid() == 0:
        command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
    subprocess.run(command, cwd="/", check=True, stdout=subprocess.DEVNULL)


def test_terminated_sessions_do_not_end_it(database, queue, start):
    worker = start("--concurrency", 2)
    wait_for_idle(database, 2)
    database.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
    queue.create("count", {"seconds": 0}, times=5)
    queue.wait_for(completed=5)
    assert worker.poll() is None


def test_a_cancel_is_learned_by_heartbeat(database, queue, start):
    [job] = queue.create("count", {"seconds": 60})
    worker = start("--lease", 1)
    queue.wait_for(running=1)
    assert database.ask("SELECT foreman.request_cancel(%s, 'no longer wanted')", job)["cancel_requested"] is True
    queue.wait_for(cancelled=1)
    assert queue.job(job)["error"] == "no longer wanted"
    assert "told to stop" in worker.log.read_text()


def test_who_lost_the_lease_is_told_and_finishes_nothing(queue, start):
    [job] = queue.create("count", {"seconds": 3})
    frozen = start("--lease", 1)
    queue.wait_for(running=1)
    frozen.send_signal(signal.SIGSTOP)
    other = start("--lease", 2)
    wait_for(lambda: (queue.job(job)["worker"] or "").endswith(f":{other.pid}"))
    frozen.send_signal(signal.SIGCONT)
    # By a heartbeat, or by its finish: whichever comes first.
    wait_for(lambda: f"job {job}" in frozen.log.read_text())
    queue.wait_for(completed=1)
    assert queue.job(job)["worker"].endswith(f":{other.pid}")
    assert queue.job(job)["attempt"] == 2


def test_an_effect_with_hold_lease_is_there_once_however_often_workers_are_killed(database, queue, start):
    queue.create("deposit", {"account": "ann", "amount": 1}, times=120)
    for n in range(1, 9):
        worker = start("--concurrency", 4, "--lease", 0.5)
        wait_for(lambda: database.ask("SELECT count(*) FROM deposit") >= 12 * n)
        worker.kill()
    start("--concurrency", 4, "--lease", 0.5)
    queue.wait_for(completed=120)
    assert database.ask("SELECT count(*) FROM deposit") == 120


def test_the_example_is_short():
    assert len((EXAMPLE / "worker.py").read_text().splitlines()) < 120


def test_the_example_wants_the_driver_that_it_is_tested_with():
    tested = (ROOT / "tests" / "clients" / "requirements.txt").read_text().splitlines()
    assert set((EXAMPLE / "requirements.txt").read_text().splitlines()) <= set(tested)


def test_the_handler_that_the_documents_show_is_that_of_the_example():
    assert block("docs/workers.md", "handler").text in (EXAMPLE / "handlers.py").read_text()
