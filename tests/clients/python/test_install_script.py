"""The install script opens no hole to whoever can make objects in a schema on somebody's search_path."""

import os
import pathlib
import subprocess
import sys


def findings(*scripts):
    """What pgspot has to say of the scripts. PS010 is left out: pgrx writes CREATE SCHEMA IF NOT EXISTS, after our own
    CREATE SCHEMA has failed where somebody had made one."""
    command = [pathlib.Path(sys.executable).with_name("pgspot"), "--ignore", "PS010", *scripts]
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout + found.stderr


def install_script():
    """The script that CREATE EXTENSION runs."""
    folder = subprocess.check_output([os.environ["PG_CONFIG"], "--sharedir"], text=True).strip()
    (script,) = pathlib.Path(folder, "extension").glob("pg_foreman--*.sql")
    return script


def test_the_install_script_passes_pgspot():
    found = findings(install_script())
    assert "Errors: 0 Warnings: 0 Unknown: 0" in found and "PS0" not in found and "range" not in found, found


def test_a_hole_would_be_found(tmp_path):
    hole = tmp_path / "hole.sql"
    hole.write_text("CREATE FUNCTION f() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1';")
    assert "PS003" in findings(hole)
