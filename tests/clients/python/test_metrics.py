"""Metrics as those read them who are to: Prometheus' own tool, the parsers of its Python client, and a Prometheus that
scrapes the exporter of docs/monitoring.md. Alerts and dashboard name what there is."""

import json
import os
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager

import psycopg
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client import parser as prometheus

from conftest import Database, wait_for
from documents import ROOT, block, table

PARSERS = {"prometheus": prometheus, "openmetrics": openmetrics}
# What the functions refuse may stand in the table all the same.
NAMES = ['say "hello"', "back\\slash", "two\nlines", "\\n", "Zoë", "trailing\\"]
DURATION = "foreman_scrape_duration_seconds"


@pytest.fixture(scope="module", autouse=True)
def template(preloaded_template):
    """Of the server that preloads, which has all metrics."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PGHOST", os.environ["FOREMAN_PRELOADED"])
        yield preloaded_template


def tool(name):
    """A program of Debian's package prometheus, which is unpacked and not installed."""
    path = f"{os.environ['FOREMAN_BUILD']}/prometheus/usr/bin/{name}"
    if not os.path.exists(path):
        pytest.skip("Prometheus could not be had")
    return path


def promtool(*arguments, text=None):
    done = subprocess.run([tool("promtool"), *arguments], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def work(database):
    """Some jobs, one of them done, so that what counts them is not zero."""
    with database.session() as session:
        session.execute("SELECT foreman.create_job('mail', to_jsonb(n)) FROM generate_series(1, 3) AS n")
        (job,) = session.execute("SELECT foreman.claim_jobs('mail') -> 'jobs' -> 0").fetchone()
        session.execute("SELECT foreman.complete_job(%s, %s)", [job["job_id"], job["lease_token"]])
        session.execute("SELECT foreman.create_job('')")


def name_queues(database, names):
    with database.session("postgres") as session:
        for name in names:
            session.execute("INSERT INTO foreman.queue (name) VALUES (%s)", [name])


def parsed(text, form):
    """The samples of a text: name and labels, and what they are worth."""
    return {(sample.name, frozenset(sample.labels.items())): sample.value
            for family in PARSERS[form].text_string_to_metric_families(text) for sample in family.samples}


def test_promtool_finds_nothing_to_say_of_the_text(database):
    work(database)
    name_queues(database, NAMES)
    assert promtool("check", "metrics", text=database.ask("SELECT foreman.metrics()")) == ""


def test_promtool_would_say_something():
    with pytest.raises(AssertionError):
        promtool("check", "metrics", text="# TYPE a_total gauge\na_total 1\n")


@pytest.mark.parametrize("form", PARSERS)
def test_the_parsers_read_the_rows_of_the_view(database, form):
    work(database)
    name_queues(database, NAMES)
    with database.session("postgres") as session:
        # A function has errors to tell of from its first call on.
        session.execute("SELECT foreman.metrics()")
        (text,) = session.execute("SELECT foreman.metrics(%s)", [form]).fetchone()
        rows = session.execute("SELECT name, labels, value, type FROM foreman.metric_samples").fetchall()
    samples = parsed(text, form)
    assert (DURATION, frozenset()) in samples
    expected = {(name, frozenset(labels.items())): value for name, labels, value, _ in rows}
    assert samples.keys() - {(DURATION, frozenset())} == expected.keys()
    # What a scrape does not change itself.
    same = [key for key in expected if re.match(r"foreman_(queue_jobs|queue_ended|jobs_|job_|setting|preloaded)", key[0])]
    assert len(same) > 60 and all(samples[key] == expected[key] for key in same)
    assert samples["foreman_job_wait_seconds_bucket", frozenset({("le", "+Inf")})] == 1
    queues = {labels["queue"] for name, labels, _, _ in rows if name == "foreman_queue_jobs"}
    assert queues == {*NAMES, "mail"}


def test_openmetrics_ends_with_its_last_line_and_has_no_empty_one(database):
    text = database.ask("SELECT foreman.metrics('openmetrics')")
    assert text.endswith("\n# EOF\n") and "\n\n" not in text
    assert "# TYPE foreman_jobs_created counter\n" in text and "\nforeman_jobs_created_total 0\n" in text


@contextmanager
def encoded(encoding):
    """A database in an encoding."""
    name = f"metrics_{encoding.lower()}"
    with psycopg.connect(autocommit=True) as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {name}")
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0")
    try:
        with psycopg.connect(dbname=name, user="postgres", autocommit=True) as session:
            session.execute("CREATE EXTENSION pg_foreman")
        yield Database(name)
    finally:
        with psycopg.connect(autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("form", PARSERS)
@pytest.mark.parametrize("encoding, name, shown", [
    ("SQL_ASCII", b"caf\xc3\xa9", "café"), ("SQL_ASCII", b"caf\xe9 \xff\\", "caf\\xe9 \\xff\\"), ("LATIN1", b"caf\xe9", "café")])
def test_a_queues_name_is_legible_whatever_the_database_is_encoded_in(encoding, name, shown, form):
    with encoded(encoding) as database, psycopg.connect(dbname=database.name, user="postgres", autocommit=True) as session:
        session.execute("SET client_encoding = " + encoding)
        literal = "".join(f"\\x{byte:02x}" for byte in name)
        session.execute(f"INSERT INTO foreman.queue (name) VALUES (E'{literal}')")
        session.execute("SET client_encoding = UTF8")
        (text,) = session.execute("SELECT foreman.metrics(%s)", [form]).fetchone()
        queues = {dict(labels)["queue"] for name, labels in parsed(text, form) if name == "foreman_queue_jobs"}
        assert queues == {shown}
        if form == "prometheus":
            promtool("check", "metrics", text=text)


def test_a_client_in_another_encoding_gets_the_text_in_its_own(database):
    name_queues(database, ["Zoë"])
    with psycopg.connect(dbname=database.name, user="postgres", client_encoding="latin1") as session:
        assert 'queue="Zoë"' in session.execute("SELECT foreman.metrics()").fetchone()[0]


# --- the page on monitoring ---


def families():
    with psycopg.connect(dbname="template_foreman", user="postgres", autocommit=True) as session:
        return session.execute('SELECT name, type, help FROM foreman.metric_families ORDER BY name COLLATE "C"').fetchall()


def test_the_table_of_metrics_is_the_view():
    expected = [[f"`{name}`", kind, says] for name, kind, says in families()]
    assert table("docs/monitoring.md", ["metric", "type"]) == expected


def test_the_line_for_a_textfile_leaves_a_file_that_can_be_read(database, tmp_path):
    work(database)
    environment = database.environment("postgres") | {"TEXTFILES": str(tmp_path)}
    subprocess.run(["sh", "-c", block("docs/monitoring.md", "textfile").text], env=environment, check=True, timeout=60)
    (file,) = tmp_path.iterdir()
    assert file.name == "pg_foreman.prom"
    assert parsed(file.read_text(), "prometheus")["foreman_jobs_created_total", frozenset()] == 3
    failed = subprocess.run(["sh", "-c", block("docs/monitoring.md", "textfile").text], capture_output=True,
                            env=environment | {"PGUSER": "nobody_there"}, timeout=60)
    assert failed.returncode != 0 and "foreman_jobs_created_total 3" in file.read_text()


def test_the_queries_for_sql_exporter_answer_the_columns_that_it_is_told(database):
    work(database)
    collector = block("docs/monitoring.md", "sql_exporter").text
    found = re.findall(r"key_labels: \[(.*?)\]\n    values: \[(.*?)\]\n    query: \|\n((?:      .*\n)+)", collector)
    assert len(found) == collector.count("metric_name") == 2
    with database.session("postgres") as session:
        for labels, value, query in found:
            cursor = session.execute(query)
            assert [column.name for column in cursor.description] == [*labels.split(", "), value]
            assert "mail" in {row[0] for row in cursor}


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def running(command, **kwargs):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **kwargs)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(30)


def get(url, **headers):
    """What a page says, and of what type it is."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as page:
        return page.read().decode(), page.headers["Content-Type"]


def answers(url):
    try:
        return bool(get(url))
    except (urllib.error.URLError, ConnectionError):
        return False


@pytest.fixture
def exporter(database, tmp_path):
    """The exporter of the page, as role app with the level monitor."""
    database.ask("SELECT foreman.check(foreman.grant_access('app', 'monitor'))")
    (program := tmp_path / "exporter.py").write_text(block("docs/monitoring.md", "exporter").text)
    port = free_port()
    with running([sys.executable, program, str(port)], env=database.environment()):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/metrics"))
        yield port


def test_the_exporter_answers_each_format_as_its_own_type_and_outlives_its_session(exporter, database):
    url = f"http://127.0.0.1:{exporter}/metrics"
    text, kind = get(url)
    assert kind == "text/plain; version=0.0.4; charset=utf-8" and parsed(text, "prometheus")
    text, kind = get(url, Accept="application/openmetrics-text; version=1.0.0")
    assert kind == "application/openmetrics-text; version=1.0.0; charset=utf-8" and parsed(text, "openmetrics")
    database.ask("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                 "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'")
    wait_for(lambda: answers(url))


@pytest.fixture
def scraped(exporter, tmp_path):
    """A Prometheus that scrapes the exporter each second, with our alerts; asked by a query, it gives what it found."""
    port = free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{ROOT}/docs/alerts.yml]\n"
        f"scrape_configs: [{{job_name: foreman, static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]}}]\n")
    command = [tool("prometheus"), f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/tsdb",
               f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]

    def ask(path, **parameters):
        return json.loads(get(f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}")[0])["data"]

    with running(command):
        wait_for(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), 60)
        yield ask


def panels():
    """The expressions of the dashboard, as Grafana asks them."""
    dashboard = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [e.replace("$__rate_interval", "1m").replace("$instance", ".*") for e in expressions]


def test_prometheus_scrapes_the_exporter_and_the_dashboard_finds_what_it_asks_for(scraped, database):
    work(database)

    def value(query):
        return [float(found["value"][1]) for found in scraped("query", query=query)["result"]]

    wait_for(lambda: value('foreman_queue_jobs{queue="mail", state="ready"}') == [2.0], 60)
    assert value('up{job="foreman"}') == [1.0] and value("foreman_preloaded") == [1.0]
    # Two scrapes make a rate.
    wait_for(lambda: value("rate(foreman_calls_total{function='metrics'}[1m]) > 0"), 60)
    (target,) = scraped("targets")["activeTargets"]
    assert target["lastError"] == "" and target["health"] == "up"
    (group,) = scraped("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} <= {"ok", "unknown"} and len(group["rules"]) == 15
    for expression in panels():
        scraped("query", query=expression)
        if not re.search(r"rate|increase", expression):
            # The worker may not have come yet.
            wait_for(lambda: value(expression), 60)


# --- alerts and dashboard ---


def test_each_alert_comes_when_it_should():
    promtool("check", "rules", str(ROOT / "docs" / "alerts.yml"))
    promtool("test", "rules", str(ROOT / "tests" / "clients" / "alerts.test.yml"))
    alerts = re.findall(r"alert: (\w+)", (ROOT / "docs" / "alerts.yml").read_text())
    tested = set(re.findall(r"alertname: (\w+)\n +exp_alerts", (ROOT / "tests" / "clients" / "alerts.test.yml").read_text()))
    assert len(alerts) == 15 and set(alerts) == tested


@pytest.mark.parametrize("page", ["docs/alerts.yml", "docs/grafana-dashboard.json", "tests/clients/alerts.test.yml"])
def test_only_metrics_that_there_are_are_named(page):
    known = {name for name, _, _ in families()}
    known |= {name + suffix for name, kind, _ in families() if kind == "histogram" for suffix in ("_bucket", "_count", "_sum")}
    text = (ROOT / page).read_text()
    named = set(re.findall(r"\bforeman_[a-z_]+", re.sub(r"foreman\.\w+", "", text)))
    assert named and named <= known, named - known


def test_the_page_names_alerts_that_there_are():
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "docs" / "alerts.yml").read_text()))
    named = set(re.findall(r"`(Foreman[A-Z]\w+)`", (ROOT / "docs" / "monitoring.md").read_text()))
    assert named and named <= alerts
