"""The documents as data: what README.md and docs/*.md show is taken from them, so that test and text can't differ.

A block of code that is to be run carries a name on the line above it: <!-- test: name -->. A block that is shown only
says why: <!-- not run: reason -->.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "python" / "README.md",
         *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"^(?:<!-- (?P<kind>test|not run): (?P<name>[^\n]+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.S | re.M
)


@dataclass(frozen=True)
class Block:
    """A fenced block, with the marker above it."""

    page: Path
    kind: str | None
    name: str | None
    language: str
    text: str

    def __str__(self):
        return f"{self.page.name}:{self.name}"


def blocks(page):
    """All fenced blocks of a page."""
    found = _BLOCK.finditer(page.read_text())
    return [Block(page, m["kind"], m["name"], m["language"], m["text"]) for m in found]


def block(page, name):
    """The one block of this name."""
    named = [b for b in blocks(ROOT / page) if b.kind == "test" and b.name == name]
    assert len(named) == 1, f"{page} has {len(named)} blocks named {name!r}"
    return named[0]


def tables(page):
    """The tables of a page, each a list of rows, the head first."""
    rows, found = [], []
    for line in [*(ROOT / page).read_text().splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            found.append([rows[0], *rows[2:]])
            rows = []
    return found


def table(page, head):
    """The rows of the table whose head begins with these words."""
    found = [rows[1:] for rows in tables(page) if rows[0][: len(head)] == head]
    assert len(found) == 1, f"{page} has {len(found)} tables headed {head}"
    return found[0]


def words(cell):
    """The names in `backticks` of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def printed(text, comment):
    """What a program says it prints: the comment behind each line that prints."""
    return [line.split(f" {comment} ")[1] for line in text.splitlines() if re.search(r"print|console\.log", line, re.I)]


@dataclass
class Step:
    """A statement and the answer that the document gives to it."""

    statement: str
    answer: str | None


def steps(sql):
    """The statements of a block. The comment lines straight below a statement are its answer."""
    found, statement, answer = [], [], None
    for line in sql.splitlines():
        if not statement and answer is not None and line.startswith("--"):
            answer.append(line[2:].strip())
        elif not line.strip() or (not statement and line.startswith("--")):
            answer = None
        else:
            statement.append(line)
            code = re.sub(r"\s--\s.*$", "", line).rstrip()
            if code.endswith(";") and "\n".join(statement).count("$$") % 2 == 0:
                answer = []
                found.append(("\n".join(statement), answer))
                statement = []
    assert not statement, f"a statement without an end: {statement}"
    return [Step(s, " ".join(a) or None) for s, a in found]


def settled(answer):
    """An answer without what differs from run to run: times, durations, processes."""
    answer = re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+00(:00)?|Z)", "<time>", answer)
    answer = re.sub(r'("(?:duration_ms|seconds)": )[\d.]+', r"\1<number>", answer)
    answer = re.sub(r"\b(process|Process|pid|transaction) \d+", r"\1 <number>", answer)
    return re.sub(r"\s+", " ", answer).strip()
