"""What the documents show is what happens: each block of SQL with its answers, each table, each link.

UPDATE_DOCS=1 writes the present answers into the documents.
"""

import os
import re
import subprocess
import textwrap
import threading

import psycopg
import pytest

from conftest import wait_for
from documents import PAGES, ROOT, block, blocks, settled, steps, table, words

UPDATE = "UPDATE_DOCS" in os.environ

# Blocks that have a test of their own: several sessions, or another client than psql.
ELSEWHERE = re.compile(r"deadlock, session|hopeless|psycopg|sqlalchemy|asyncpg|node|go$|java|(before|after): |pgbouncer")
SQL = [b for page in PAGES for b in blocks(page)
       if b.kind == "test" and b.language == "sql" and not ELSEWHERE.search(b.name)]


def answer_of(session, statement):
    """What psql would show for a statement, without the frame."""
    try:
        cursor = session.execute(statement.encode())
    except psycopg.Error as error:
        detail = f"\nDETAIL:  {error.diag.message_detail}" if error.diag.message_detail else ""
        return f"ERROR:  {error.diag.message_primary}{detail}"
    if cursor.description is None:
        return None
    rows = [" | ".join("" if value is None else value for value in row) for row in cursor.fetchall()]
    return "\n".join(rows) if rows else "(0 rows)"


def compare(shown, answers):
    """Fails where a block shows other answers than these; with UPDATE_DOCS=1 corrects it instead."""
    found = steps(shown.text)
    if UPDATE:
        rewrite(shown, [(step.statement, answer) for step, answer in zip(found, answers)])
        return
    for step, answer in zip(found, answers, strict=True):
        expected = None if step.answer is None else settled(step.answer)
        assert expected == (None if answer is None else settled(answer)), f"{shown}: {step.statement}"


def rewrite(shown, answered):
    """Puts answers into a block."""
    rest, text = shown.text, ""
    for statement, answer in answered:
        before, rest = rest.split(statement + "\n", 1)
        rest = re.sub(r"\A(--[^\n]*\n)*", "", rest)
        lines = [line for row in (answer or "").splitlines()
                 for line in textwrap.wrap(row, 115, break_long_words=False, break_on_hyphens=False)]
        text += f"{before}{statement}\n" + "".join(f"-- {line}\n" for line in lines)
    shown.page.write_text(shown.page.read_text().replace(shown.text, text + rest))


@pytest.mark.parametrize("shown", SQL, ids=str)
def test_the_answers_are_those_that_the_server_gives(shown, database):
    with database.reader() as session:
        alone(session)
        session.execute("GRANT ALL ON SCHEMA public TO PUBLIC")
        compare(shown, [answer_of(session, step.statement) for step in steps(shown.text)])


def alone(session):
    """Waits until no other session is there, since documents show how many there are."""
    wait_for(lambda: session.execute(
        "SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'client backend'").fetchone()[0] == "t")


def test_the_deadlock_of_the_readme_happens_and_both_calls_succeed(database):
    with database.reader() as admin:
        for step in steps(block("README.md", "deadlock").text):
            admin.execute(step.statement.encode())
        halves = [block("README.md", f"deadlock, session {n}") for n in ("one", "two")]
        answers = [None, None]

        def call(n):
            with database.reader() as session:
                answers[n] = answer_of(session, steps(halves[n].text)[0].statement)

        threads = [threading.Thread(target=call, args=[n]) for n in (0, 1)]
        threads[0].start()
        wait_for(lambda: admin.execute(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')").fetchone()[0] == "t")
        threads[1].start()
        for thread in threads:
            thread.join()
        assert sorted(re.findall(r'"attempts": (\d)', " ".join(answers))) == ["1", "2"]
        assert database.ask("SELECT array_agg(balance ORDER BY id) FROM account") == [80, 120]
        for half, answer in zip(halves, answers):
            compare(half, [answer])


def test_every_block_of_code_is_run_or_says_why_not():
    silent = [f"{b.page.name}: {b.text.splitlines()[0]}" for page in PAGES for b in blocks(page)
              if b.kind is None and b.language not in ("text", "sh", "json")]
    assert silent == []


def test_every_make_in_the_documents_is_a_target():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    named = {name for page in PAGES for name in re.findall(r"(?:^|`)(?:PG=\d+ )?make ([a-z]+)", page.read_text(), re.M)}
    assert {"demo", "test", "install"} <= named <= targets


def test_every_link_leads_somewhere():
    for page in PAGES:
        text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.S | re.M)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = target.partition("#")
            if re.match(r"https?:", target):
                continue
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.name} links to {target}"
            if anchor:
                heads = re.findall(r"^#+ (.*)$", there.read_text(), re.M)
                slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
                assert anchor in slugs, f"{page.name} links to {target}"


def test_the_table_of_error_codes_is_the_view(database):
    with database.session("postgres") as session:
        rows = session.execute("SELECT code, http_status, retryable, meaning FROM foreman.error_codes").fetchall()
    expected = [[f"`{code}`", str(http), "yes" if retryable else "no", meaning]
                for code, http, retryable, meaning in rows]
    assert table("README.md", ["code", "http_status"]) == expected


HEALTH_MARK = "<!-- The rest is made of foreman.health_thresholds by UPDATE_DOCS=1 tests/clients/run.sh -k documents -->\n"


def section(name, tier, warn, fail, unit, direction, worst, from_version, on_standby, about, advice):
    """A check's section of the page on health."""
    onward, beyond = ("on", "more than") if direction == "above" else ("down", "less than")
    said = ["warns where somebody has set a threshold" if warn is None else f"warns from {warn:,.0f} {unit} {onward}"]
    said += [f"fails at {beyond} {fail:,.0f} {unit}"] if fail is not None else []
    said += ["never fails"] if worst != "fail" else []
    judged = ", ".join(said).capitalize() + "."
    judged += f" Skipped before PostgreSQL {from_version}." if from_version > 15 else ""
    judged += "" if on_standby else " Skipped on a standby."
    if tier == "slow":
        judged += " [Slow](#slow-checks)."
    paragraphs = [about, judged, f"What to do: {advice}"]
    return f"\n### {name}\n\n" + "\n\n".join(textwrap.fill(p, 120, break_long_words=False) for p in paragraphs) + "\n"


def test_the_documents_list_the_checks_as_they_are(database):
    with database.session("postgres") as session:
        checks = session.execute(
            "SELECT name, tier, warn, fail, unit, direction, worst, from_version, on_standby, about, advice "
            'FROM foreman.health_thresholds ORDER BY name COLLATE "C"').fetchall()
    page = ROOT / "docs" / "health.md"
    by_hand, _ = page.read_text().split(HEALTH_MARK)
    text = by_hand + HEALTH_MARK + "".join(section(*check) for check in checks)
    if UPDATE:
        page.write_text(text)
    assert page.read_text() == text


def settings():
    """The settings of a server that preloads, which knows them all: name, value and context."""
    with psycopg.connect(host=os.environ["FOREMAN_PRELOADED"], dbname="postgres", user="postgres") as session:
        return session.execute(
            "SELECT name, current_setting(name), context FROM pg_settings WHERE name LIKE 'foreman.%'").fetchall()


def test_the_tables_of_settings_are_what_the_server_knows():
    who = {"user": "anyone", "superuser": "superuser", "sighup": "configuration", "postmaster": "restart"}
    expected = sorted([f"`{name}`", f"`{value}`", who[context]] for name, value, context in settings())
    assert sorted(row[:3] for row in table("README.md", ["setting", "default"])) == expected
    assert sorted(row[:3] for row in table("docs/settings.md", ["setting", "default"])) == expected


def test_the_table_of_levels_is_what_grant_access_grants(database):
    with database.session("postgres") as session:
        rows = session.execute("SELECT level, object FROM foreman.access_levels WHERE kind <> 'TABLE'").fetchall()
    granted = {}
    for level, function in rows:
        name = re.match(r'foreman\."?(\w+)"?\(', function)[1]
        granted.setdefault(level, set()).add(name)
    shown = {words(row[0])[0]: set(words(row[1])) for row in table("README.md", ["level", "may"])}
    # Helpers of the views, which nobody calls by hand
    helpers = {"lease_end", "read_server", "read_health_checks", "read_health_thresholds", "read_call_stats", "read_floor_stats", "read_slow_calls", "read_metrics", "read_worker_status", "ready_in",
               "figure_source", "live_figures", "live_take_long", "ended_take_long", "ended_figures", "figures_since"}
    assert shown["producer"] == granted["producer"]
    assert shown["worker"] | shown["producer"] == granted["worker"] - helpers
    views = {"call_stats", "floor_stats", "metric_families", "metric_samples", "queues", "slow_calls", "worker_status"}
    assert shown["monitor"] - views == granted["monitor"] - helpers
    with database.session("postgres") as session:
        every = session.execute(
            "SELECT DISTINCT proname FROM pg_proc WHERE pronamespace = 'foreman'::regnamespace AND prorettype = "
            "'jsonb'::regtype").fetchall()
    assert {name for (name,) in every} <= granted["admin"], "an admin lacks a function"


def test_no_statement_of_the_documents_asks_for_what_is_not_there(database):
    """Every foreman.name in the documents is a function, a relation, a setting or a type."""
    with database.session("postgres") as session:
        known = {name for (name,) in session.execute(
            "SELECT proname FROM pg_proc WHERE pronamespace = 'foreman'::regnamespace "
            "UNION ALL SELECT relname FROM pg_class WHERE relnamespace = 'foreman'::regnamespace "
            "UNION ALL SELECT typname FROM pg_type WHERE typnamespace = 'foreman'::regnamespace")}
    known |= {name.removeprefix("foreman.") for name, _, _ in settings()}
    for page in PAGES:
        # One is misspelt on purpose, to show that the server refuses it.
        named = set(re.findall(r"\bforeman\.([a-z_]+)\b", page.read_text())) - {"slow_cal_threshold"}
        assert named <= known, f"{page.name} names {named - known}"


def test_the_picture_is_well_formed():
    subprocess.run(["python3", "-c", "import sys, xml.dom.minidom as m; m.parse(sys.argv[1])",
                    str(ROOT / "docs" / "call.svg")], check=True)


def test_a_hopeless_deadlock_is_answered_at_once_as_the_page_on_errors_shows(database):
    page = "docs/errors.md"
    one, two, helper = (database.reader() for _ in range(3))
    with one, two, helper:
        for step in steps(block(page, "hopeless, set-up").text):
            helper.execute(step.statement.encode())
        # Session two looks for deadlocks so late that session one is the one to find it.
        two.execute("SET deadlock_timeout = '1min'")
        for step in steps(block(page, "hopeless, session one").text):
            one.execute(step.statement.encode())
        begin, first, crossing = steps(block(page, "hopeless, session two").text)
        two.execute(begin.statement.encode())
        two.execute(first.statement.encode())
        waiting = threading.Thread(target=two.execute, args=[crossing.statement.encode()])
        waiting.start()
        wait_for(lambda: helper.execute("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)").fetchone()[0] == "t")
        again = block(page, "hopeless, session one again")
        compare(again, [answer_of(one, step.statement) for step in steps(again.text)])
        waiting.join()
        two.execute("ROLLBACK")
        assert database.ask("SELECT array_agg(balance ORDER BY id) FROM account") == [70, 100]
