"""A database for each test, made from one that has the extension, and sessions in it."""

import itertools
import os
import subprocess
import tempfile
import time
from contextlib import contextmanager

import psycopg
import pytest
from psycopg.types.string import TextLoader

_number = itertools.count()


class Database:
    """A database with the extension in it. The role app has the level worker there, and can make tables."""

    def __init__(self, name):
        self.name = name

    def session(self, role="app", autocommit=True):
        """A session by psycopg 3."""
        return psycopg.connect(dbname=self.name, user=role, autocommit=autocommit)

    def reader(self, role="postgres"):
        """A session that hands out values as the text that psql would show."""
        session = self.session(role)
        for kind in session.adapters.types:
            session.adapters.register_loader(kind.oid, TextLoader)
            session.adapters.register_loader(kind.array_oid, TextLoader)
        return session

    def ask(self, statement, *parameters, role="postgres"):
        """The first value that a statement answers."""
        with self.session(role) as session:
            row = session.execute(statement, parameters or None)
            return row.fetchone()[0] if row.description else None

    def jobs(self):
        """How many jobs are there for others to see."""
        return self.ask("SELECT count(*) FROM foreman.jobs")

    def environment(self, role="app"):
        """What a program needs in its environment to connect here."""
        return os.environ | {"PGDATABASE": self.name, "PGUSER": role}


def wait_for(fact, seconds=20):
    """Waits until a fact holds."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it did not come to pass in time"
        time.sleep(0.02)


# Checks that find what is so of these clusters and of the machine, or that take a minute to know anything
UNCHECKED = """
    SELECT foreman.check(foreman.configure_check(name, enabled => false))
    FROM unnest('{durability, disk_space, standby_conflicts, deadlocks, rollbacks, temp_files, cache_hits, wait_events,
                  requested_checkpoints, rescued_jobs, unworked_jobs, floor_misses}'::text[]) AS name"""


def make_template():
    """Makes the database that others are made from, in the cluster of the environment."""
    with psycopg.connect(autocommit=True) as admin:
        admin.execute("CREATE ROLE app LOGIN")
        admin.execute("CREATE DATABASE template_foreman")
    with psycopg.connect(dbname="template_foreman", autocommit=True) as session:
        session.execute("CREATE EXTENSION pg_foreman")
        session.execute(UNCHECKED)
        session.execute("SELECT foreman.check(foreman.refresh_health())")
        session.execute("SELECT foreman.check(foreman.grant_access('app', 'worker'))")
        session.execute("GRANT CREATE ON SCHEMA public TO app")
    return "template_foreman"


@pytest.fixture(scope="session")
def template():
    return make_template()


@pytest.fixture(scope="session")
def preloaded_template():
    """The same in the server that preloads."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGHOST", os.environ["FOREMAN_PRELOADED"])
        return make_template()


@pytest.fixture
def database(template, monkeypatch):
    """A database of the test's own, which clients that are told nothing else connect to, as role app."""
    name = f"test_{next(_number)}"
    with psycopg.connect(autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    with monkeypatch.context() as environment:
        environment.setenv("PGDATABASE", name)
        environment.setenv("PGUSER", "app")
        yield Database(name)
    with psycopg.connect(autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def bouncer(database):
    """A pooler of two server connections, at a socket of its own, that does not track prepared statements."""
    program = "/usr/sbin/pgbouncer"
    if not os.path.exists(program):
        pytest.skip("PgBouncer is not installed")
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    tracks = tuple(map(int, version.split(".")[:2])) >= (1, 21)
    # A socket's path has to be short. As root, which it refuses to run as, it runs as the server's user.
    with tempfile.TemporaryDirectory(prefix="foreman-bouncer.", dir="/tmp") as folder:
        with open(f"{folder}/pgbouncer.ini", "w") as ini:
            ini.write(
                f"[databases]\n* = host={os.environ['PGHOST']} port={os.environ['PGPORT']} user=app\n"
                f"[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {folder}\nauth_type = any\n"
                f"pool_mode = transaction\ndefault_pool_size = 2\n{'max_prepared_statements = 0' if tracks else ''}\n")
        command = [program, "-q", f"{folder}/pgbouncer.ini"]
        if os.geteuid() == 0:
            subprocess.run(["chown", "-R", "postgres:", folder], check=True)
            command = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(lambda: os.path.exists(f"{folder}/.s.PGSQL.6432"))
            yield {"host": folder, "port": 6432, "user": "app"}
        finally:
            process.terminate()
            process.wait()


@contextmanager
def only_connection_taken(bouncer, database):
    """The one server connection that is open is in a transaction of somebody else's: who comes now gets another."""
    with psycopg.connect(**bouncer, dbname=database.name, prepare_threshold=None) as holder:
        holder.execute("SELECT 1")
        yield


class Log:
    """The server's log, from now on."""

    def __init__(self):
        self._path = os.environ["FOREMAN_LOG"]
        self._start = os.path.getsize(self._path)

    def lines(self):
        with open(self._path) as log:
            log.seek(self._start)
            return log.read().splitlines()


@pytest.fixture
def log():
    return Log()


def run(command, environment, **kwargs):
    """Runs a program and hands back what it printed."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, **kwargs)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
