"""A database for each test, made from one that has the extension, and sessions in it."""

import itertools
import os
import subprocess
import time

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


@pytest.fixture(scope="session")
def template():
    """The database that the others are made from."""
    with psycopg.connect(autocommit=True) as admin:
        admin.execute("CREATE ROLE app LOGIN")
        admin.execute("CREATE DATABASE template_foreman")
    with psycopg.connect(dbname="template_foreman", autocommit=True) as session:
        session.execute("CREATE EXTENSION pg_foreman")
        session.execute("SELECT foreman.check(foreman.grant_access('app', 'worker'))")
        session.execute("GRANT CREATE ON SCHEMA public TO app")
    return "template_foreman"


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
