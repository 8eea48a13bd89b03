"""The traps of the README's table, for Python: each would fail here if the driver had lost it."""

import asyncio
import json
import os
from datetime import datetime, timezone

import asyncpg
import psycopg
import psycopg2
import pytest
from psycopg.types.json import Jsonb
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError

from conftest import only_connection_taken

PAYLOAD = {"to": "ann@example.org"}


def test_psycopg_refuses_a_bare_dict(database):
    with psycopg.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.ProgrammingError, match="cannot adapt type 'dict'"):
            connection.execute("SELECT foreman.create_job('mail', %s)", [PAYLOAD])
        reply = connection.execute("SELECT foreman.create_job('mail', %s)", [Jsonb(PAYLOAD)]).fetchone()[0]
    assert reply["status"] == "success"


@pytest.mark.parametrize("driver", [psycopg, psycopg2], ids=["psycopg", "psycopg2"])
def test_a_connection_closed_without_commit_loses_the_job_and_the_reply_told(driver, database):
    for commit, jobs in ((False, 0), (True, 1)):
        connection = driver.connect("")
        cursor = connection.cursor()
        cursor.execute("SELECT foreman.create_job('mail')")
        reply = cursor.fetchone()[0]
        assert reply["status"] == "success" and reply["in_transaction"] is True
        if commit:
            connection.commit()
        connection.close()
        assert database.jobs() == jobs


def test_with_autocommit_the_job_is_there_at_once(database):
    connection = psycopg.connect(autocommit=True)
    reply = connection.execute("SELECT foreman.create_job('mail')").fetchone()[0]
    connection.close()
    assert "in_transaction" not in reply and database.jobs() == 1


@pytest.mark.parametrize("url", ["postgresql+psycopg://", "postgresql+psycopg2://"])
def test_sqlalchemy_needs_the_cast_in_words(url, database):
    engine, payload = create_engine(url), {"payload": json.dumps(PAYLOAD)}
    try:
        with pytest.raises(ProgrammingError, match="syntax error"), engine.begin() as connection:
            connection.scalar(text("SELECT foreman.create_job('mail', :payload::jsonb)"), payload)
        with engine.begin() as connection:
            reply = connection.scalar(text("SELECT foreman.create_job('mail', CAST(:payload AS jsonb))"), payload)
        assert reply["status"] == "success" and database.jobs() == 1
    finally:
        engine.dispose()


def test_asyncpg_hands_out_and_wants_text_unless_it_is_told(database):
    async def calls():
        connection = await asyncpg.connect()
        create = "SELECT foreman.create_job('mail', $1)"
        with pytest.raises(asyncpg.DataError, match="expected str, got dict"):
            await connection.fetchval(create, PAYLOAD)
        reply = await connection.fetchval(create, json.dumps(PAYLOAD))
        assert isinstance(reply, str) and json.loads(reply)["job_id"] == 1
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        assert (await connection.fetchval(create, PAYLOAD))["job_id"] == 2
        await connection.close()

    asyncio.run(calls())


def test_asyncpg_wants_a_datetime_for_run_at(database):
    async def calls():
        connection = await asyncpg.connect()
        create = "SELECT foreman.create_job('mail', run_at => $1)"
        with pytest.raises(asyncpg.DataError, match="expected a datetime"):
            await connection.fetchval(create, "2030-01-01T00:00:00Z")
        reply = await connection.fetchval(create, datetime(2030, 1, 1, tzinfo=timezone.utc))
        assert json.loads(reply)["status"] == "success"
        await connection.close()

    asyncio.run(calls())


def test_django_hands_out_text(database):
    import django
    from django.conf import settings
    from django.db import connection

    settings.configure(DATABASES={"default": {
        "ENGINE": "django.db.backends.postgresql", "NAME": database.name, "USER": "app", "HOST": os.environ["PGHOST"]}})
    django.setup()
    with connection.cursor() as cursor:
        cursor.execute("SELECT foreman.create_job('mail', %s)", [json.dumps(PAYLOAD)])
        reply = cursor.fetchone()[0]
    connection.close()
    assert isinstance(reply, str) and json.loads(reply)["status"] == "success"
    assert database.ask("SELECT payload FROM foreman.jobs") == PAYLOAD


def test_a_role_of_an_application_can_not_create_the_extension(database):
    database.ask("DROP EXTENSION pg_foreman")
    with database.session() as session:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("CREATE EXTENSION IF NOT EXISTS pg_foreman")


def test_a_role_without_a_level_can_call_nothing(database):
    with database.session("postgres") as admin:
        admin.execute("CREATE ROLE stranger LOGIN")
    try:
        with database.session("stranger") as session, pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT foreman.create_job('mail')")
    finally:
        with database.session("postgres") as admin:
            admin.execute("DROP ROLE stranger")


# --- PgBouncer in transaction mode, older than 1.21 or with tracking of prepared statements off ---


def call_by_psycopg(bouncer, database, **options):
    """Calls often enough for psycopg to prepare the statement, and once more by another server connection."""
    create = "SELECT foreman.create_job(%s)"
    with psycopg.connect(**bouncer, dbname=database.name, autocommit=True, **options) as connection:
        for _ in range(10):
            connection.execute(create, ["mail"])
        with only_connection_taken(bouncer, database):
            return connection.execute(create, ["mail"]).fetchone()[0]["status"]


def test_psycopg_behind_pgbouncer_needs_prepare_threshold_none(bouncer, database):
    with pytest.raises(psycopg.errors.InvalidSqlStatementName):
        call_by_psycopg(bouncer, database)
    assert call_by_psycopg(bouncer, database, prepare_threshold=None) == "success"


async def call_by_asyncpg(bouncer, database, **options):
    """Calls, and once more by another server connection."""
    create = "SELECT foreman.create_job($1)"
    connection = await asyncpg.connect(**bouncer, database=database.name, **options)
    try:
        await connection.fetchval(create, "mail")
        with only_connection_taken(bouncer, database):
            return json.loads(await connection.fetchval(create, "mail"))["status"]
    finally:
        connection.terminate()


def test_asyncpg_behind_pgbouncer_needs_statement_cache_size_0(bouncer, database):
    with pytest.raises(asyncpg.InvalidSQLStatementNameError):
        asyncio.run(call_by_asyncpg(bouncer, database))
    assert asyncio.run(call_by_asyncpg(bouncer, database, statement_cache_size=0)) == "success"
