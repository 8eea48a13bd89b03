"""The health document is as docs/health.schema.json says, whatever becomes of the server and whoever asks."""

import json
import os
import threading

import jsonschema
import psycopg
import pytest

from conftest import wait_for
from documents import ROOT

SCHEMA = json.loads((ROOT / "docs" / "health.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def document(session, call="db_health(true)"):
    """A document that is as the schema says, and has no key that it does not name."""
    health = session.execute(f"SELECT foreman.{call}".encode()).fetchone()[0]
    VALIDATOR.validate(health)
    assert set(health) == set(SCHEMA["properties"])
    for check in health["checks"]:
        assert set(check) == set(SCHEMA["$defs"]["check"]["properties"])
    return health


def test_the_schema_is_one():
    VALIDATOR.check_schema(SCHEMA)


def test_a_document_that_is_not_whole_is_refused(database):
    with database.session("postgres") as session:
        health = document(session)
        for broken in [health | {"status": "fine"}, health | {"timestamp": "now"},
                       health | {"checks": [health["checks"][0] | {"value": None}]}]:
            with pytest.raises(jsonschema.ValidationError):
                VALIDATOR.validate(broken)


@pytest.mark.parametrize("call", ["db_health()", "db_health(true)"])
def test_a_server_that_is_well(database, call):
    with database.session("postgres") as session:
        health = document(session, call)
        assert health["complete"] and health["warnings"] == []


def test_a_preloaded_server():
    server = {"host": os.environ["FOREMAN_PRELOADED"], "user": "postgres", "autocommit": True}
    with psycopg.connect(dbname="postgres", **server) as admin:
        admin.execute("CREATE DATABASE health")
    with psycopg.connect(dbname="health", **server) as session:
        session.execute("CREATE EXTENSION pg_foreman")
        skipped = {check["name"] for check in document(session)["skipped"]}
    assert skipped.isdisjoint({"background_worker", "shared_tables"})


def test_a_server_in_trouble(database):
    """A chain of causes, a table of ours that is locked, a check that is muted and one that is off."""
    with database.session("postgres") as admin, database.session("postgres", autocommit=False) as idle:
        for call in ["'blocked_sessions', warn => 0.1", "'idle_in_transaction', warn => 0.1",
                     "'longest_transaction', warn => 0.1, muted_until => now() + interval '1 hour'",
                     "'failed_jobs', enabled => false"]:
            admin.execute(f"SELECT foreman.check(foreman.configure_check({call}))")
        admin.execute("CREATE TABLE held (n int)")
        idle.execute("LOCK TABLE held, foreman.live_job")

        def wait():
            with database.session("postgres") as waiting:
                waiting.execute("SELECT * FROM held")

        waiting = threading.Thread(target=wait)
        waiting.start()
        wait_for(lambda: len(document(admin)["warnings"]) == 1 and "→" in document(admin)["warnings"][0])
        health = document(admin)
        idle.rollback()
        waiting.join()
    assert not health["complete"] and health["database_stats"] is None
    checks = {check["name"]: check for check in health["checks"]}
    assert checks["blocked_sessions"]["caused_by"] == "idle_in_transaction"
    assert checks["longest_transaction"]["muted"] and checks["longest_transaction"]["status"] == "warn"
    assert "failed_jobs" in [skipped["name"] for skipped in health["skipped"]]
