"""A worker: takes jobs from queues, runs their handlers (handlers.py), and finishes them.

    python worker.py mail reports --concurrency 8

The connection comes from the environment (PGHOST, PGDATABASE, PGUSER, ...); the role needs the level worker.
"""

import argparse
import contextlib
import json
import logging
import os
import random
import signal
import threading
import time
from types import SimpleNamespace

import psycopg

from handlers import HANDLERS

stopping = threading.Event()
jobs = {}  # in work, by id: the heartbeat keeps their leases
waiting = set()  # connections in wait_for_jobs
local = threading.local()  # each thread has its connection


def connection():
    """The thread's own, made anew after it broke. Nothing is prepared, so that PgBouncer may be in between."""
    if not hasattr(local, "connection") or local.connection.closed:
        local.connection = psycopg.connect(autocommit=True, prepare_threshold=None)
    return local.connection


def call(function, *arguments):
    """Asks one of foreman's functions until it answers: each may be asked twice. Raises what would be refused again."""
    pause = 0.1
    while True:
        try:
            return connection().execute(f"SELECT foreman.check(foreman.{function})", arguments).fetchone()[0]
        except psycopg.Error as error:
            if isinstance(error, psycopg.DataError) or error.sqlstate in ("JF004", "JF005", "JF011"):
                raise  # an argument can't be used, there is no such job, or its lease is lost
            logging.warning("%s (again in %.1f s)", str(error).strip(), pause)
            vars(local).pop("connection", None)  # the next has no transaction left open, and finds a new primary
        time.sleep(pause * random.uniform(0.5, 1))
        pause = min(pause * 2, 10)


def run(job):
    """Runs a job's handler, and finishes the job, unless the handler has."""
    jobs[job.job_id] = job
    lease = job.job_id, job.lease_token
    try:
        result = HANDLERS[job.job_type](job, connection())
        call("complete_job(%s, %s, %s)", *lease, json.dumps(result))
    except BaseException as error:  # a sys.exit too, which would end the thread
        logging.exception("job %s", job.job_id)
        with contextlib.suppress(psycopg.Error):  # the lease is lost
            call("fail_job(%s, %s, %s)", *lease, repr(error)[:1000])
    if jobs.get(job.job_id) is job:
        del jobs[job.job_id]


def work(options):
    """A thread's work: a job at a time, and waiting where there is none."""
    name = f"{os.uname().nodename}:{os.getpid()}"
    while not stopping.is_set():
        claimed = call("claim_jobs_from(%s, 1, %s, %s)", options.queues, options.lease, name)["jobs"]
        for job in claimed:
            run(SimpleNamespace(**job, stop=threading.Event()))
        if not claimed:
            waiting.add(local.connection)
            with contextlib.suppress(psycopg.OperationalError):  # cancelled by a shutdown, or the server went away
                local.connection.execute("CALL foreman.wait_for_jobs(%s, 30)", [options.queues])
            waiting.discard(local.connection)


def heartbeat(options):
    """Extends the leases of all jobs in work, and tells those that are to stop."""
    while True:
        time.sleep(options.lease / 3)
        held = dict(jobs)
        leases = [{"job_id": job.job_id, "lease_token": job.lease_token} for job in held.values()]
        for lease in call("heartbeat_all(%s)", json.dumps(leases))["outcomes"] if leases else []:
            if lease["outcome"] != "extended" or lease["cancel_requested"]:
                held[lease["job_id"]].stop.set()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("queues", nargs="+")
    parser.add_argument("--concurrency", type=int, default=4, help="jobs at a time")
    parser.add_argument("--lease", type=float, default=60, help="seconds until others get the jobs of a dead worker")
    parser.add_argument("--grace", type=float, default=20, help="seconds that jobs have to end at a shutdown")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # raises KeyboardInterrupt, as Ctrl-C does
    slots = [threading.Thread(target=work, args=[options], daemon=True) for _ in range(options.concurrency)]
    threads, status = [threading.Thread(target=heartbeat, args=[options], daemon=True), *slots], 1
    try:
        for thread in threads:
            thread.start()
        while all(thread.is_alive() for thread in threads):
            time.sleep(1)
    except KeyboardInterrupt:
        status = 0
    stopping.set()
    end = time.monotonic() + options.grace
    with contextlib.suppress(KeyboardInterrupt):  # a second signal: no grace
        while any(slot.is_alive() for slot in slots) and time.monotonic() < end:
            for idle in list(waiting):
                with contextlib.suppress(psycopg.Error):
                    idle.cancel_safe()
            time.sleep(0.05)
    for job in list(jobs.values()):  # the reply is no matter: an error where the job has just been finished
        connection().execute("SELECT foreman.release_job(%s, %s)", [job.job_id, job.lease_token])
    raise SystemExit(status)
