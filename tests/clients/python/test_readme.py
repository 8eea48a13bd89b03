"""The clients' lines in the README run as they stand there, by a role of an application, and do what they say."""

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from conftest import run
from documents import block, printed

JDBC = Path("/usr/share/java/postgresql.jar")
LIB_PQ = Path("/usr/share/gocode/src/github.com/lib/pq")


@pytest.mark.parametrize("name", ["psycopg", "sqlalchemy", "asyncpg"])
def test_python(name, database):
    text = block("README.md", name).text
    assert run([sys.executable, "-c", text], database.environment()).splitlines() == printed(text, "#")
    assert database.jobs() == 1


@pytest.mark.skipif(not shutil.which("go") or not LIB_PQ.exists(), reason="Go or its driver is not installed")
def test_go(database, tmp_path):
    text = block("README.md", "go").text
    lines = "\n".join(f"\t{line}" for line in text.splitlines())
    program = tmp_path / "main.go"
    program.write_text(
        "package main\n\nimport (\n\t\"database/sql\"\n\t\"fmt\"\n\n\t_ \"github.com/lib/pq\"\n)\n\n"
        f"func main() {{\n{lines}\n}}\n"
    )
    go = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
          "GOCACHE": os.environ["FOREMAN_BUILD"] + "/go-cache"}
    # lib/pq would ask for TLS, which a socket has none of.
    environment = database.environment() | go | {"PGSSLMODE": "disable"}
    assert run(["go", "run", str(program)], environment).splitlines() == printed(text, "//")
    assert database.jobs() == 1


def java(database, lines, tmp_path):
    """Runs lines of Java that find `connection`, and hands back what they printed."""
    program = tmp_path / "Readme.java"
    body = "\n".join(f"            {line}" for line in lines.splitlines())
    program.write_text(
        "import java.sql.*;\n\npublic class Readme {\n    public static void main(String[] a) throws Exception {\n"
        "        try (var connection = DriverManager.getConnection(a[0])) {\n" f"{body}\n" "        }\n    }\n}\n"
    )
    with tcp_port() as port:
        url = f"jdbc:postgresql://127.0.0.1:{port}/{database.name}?user=app&sslmode=disable"
        return run(["java", "-cp", str(JDBC), str(program), url], database.environment())


needs_java = pytest.mark.skipif(not shutil.which("java") or not JDBC.exists(), reason="Java or its driver is not installed")


@needs_java
def test_java(database, tmp_path):
    text = block("README.md", "java").text
    assert java(database, text, tmp_path).splitlines() == printed(text, "//")
    assert database.jobs() == 1


@needs_java
def test_jdbc_without_a_cast_finds_no_such_function(database, tmp_path):
    text = block("README.md", "java").text
    assert "?::jsonb" in text
    with pytest.raises(AssertionError, match=r"function foreman.create_job\(unknown, character varying\) does not exist"):
        java(database, text.replace("?::jsonb", "?"), tmp_path)


@contextmanager
def tcp_port():
    """A port of this machine that leads to the cluster's socket, which JDBC can't connect to by itself."""
    path = f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}"
    with socket.create_server(("127.0.0.1", 0)) as server:

        def copy(source, target):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

        def serve():
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                backend = socket.socket(socket.AF_UNIX)
                backend.connect(path)
                for pair in ((client, backend), (backend, client)):
                    threading.Thread(target=quietly, args=(copy, *pair), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]


def quietly(copy, source, target):
    """A broken connection is told to the client by its other end."""
    try:
        copy(source, target)
    except OSError:
        pass
