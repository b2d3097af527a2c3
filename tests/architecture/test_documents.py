"""Documents say nothing that is not there: links lead somewhere, and commands and flags can be typed."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from changeover.supervisor.cli import main

ROOT = Path(__file__).parents[2]
DECISIONS = ROOT / "docs" / "decisions"

FENCED = re.compile(r"^ *```(?P<kind>\w*)[^\n]*\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<words>.+)$", re.MULTILINE)
COMMAND = re.compile(r"(?<![\w.-])changeover (?P<name>[a-z]+)(?P<rest>[^|;&#>]*)")
FLAG = re.compile(r"(?<!\S)--?[a-zA-Z][\w-]*")
TRIED = re.compile(r"^\| (\w+) \| (\d[\d.]+) \| (?:ASGI|WSGI)", re.MULTILINE)
TYPED = frozenset({"", "console", "ini", "text"})
"""Kinds of blocks in which commands are typed."""


def documents() -> list[Path]:
    """Every Markdown file that belongs to the project."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    try:
        found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        folders = (ROOT, ROOT / "docs", ROOT / "examples")
        return sorted({path for folder in folders for path in folder.glob("*.md" if folder == ROOT else "**/*.md")})
    return [ROOT / name for name in found if (ROOT / name).is_file()]


DOCUMENTS = documents()
COMMANDS: dict[str, click.Command] = {}
with click.Context(main) as _context:
    for _name in main.list_commands(_context):
        _command = main.get_command(_context, _name)
        assert _command is not None
        COMMANDS[_name] = _command


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def prose(text: str) -> str:
    return FENCED.sub("", text)


def slug(words: str) -> str:
    """The anchor of a heading, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words).replace("`", "").strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {slug(heading["words"]) for heading in HEADING.finditer(prose(path.read_text()))}


def flags_of(command: click.Command) -> set[str]:
    own = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    below = command.commands.values() if isinstance(command, click.Group) else ()
    return own.union({"-h", "--help"}, *map(flags_of, below))


def typed(text: str) -> Iterator[str]:
    """What the document would have people type: lines of blocks, and code in sentences."""
    for block in FENCED.finditer(text):
        if block["kind"] in TYPED:
            yield from block["text"].splitlines()
    yield from SPAN.findall(prose(text))


def unknown(line: str) -> Iterator[str]:
    for said in COMMAND.finditer(line):
        command, rest = COMMANDS.get(said["name"]), said["rest"].split()
        if isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
            command = command.commands.get(rest[0])
        if command is None:
            yield f"changeover {said['name']}"
        else:
            yield from (
                f"{said['name']} {flag}" for flag in FLAG.findall(said["rest"]) if flag not in flags_of(command)
            )


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for link in LINK.finditer(prose(document.read_text())):
        target, _, anchor = link["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        path = (document.parent / target).resolve() if target else document
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(link["target"])
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_command_and_flag_can_be_typed(document: Path) -> None:
    assert [each for line in typed(document.read_text()) for each in unknown(line)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_every_flag_in_a_sentence_belongs_to_a_command(document: Path) -> None:
    known = set().union(*map(flags_of, COMMANDS.values()), {"--version"})
    spans = SPAN.findall(prose(document.read_text()))
    assert [span for span in spans if span.startswith("--") and re.split(r"[ =]", span)[0] not in known] == []


def test_every_decision_is_short_and_in_the_list() -> None:
    index = (DECISIONS / "README.md").read_text()
    pages = sorted(path for path in DECISIONS.glob("*.md") if path.name != "README.md")
    assert [path.name for path in pages if f"]({path.name})" not in index] == []
    for path in pages:
        text = path.read_text()
        assert len(text.splitlines()) <= 30, path.name
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Cost")), path.name


def test_the_list_of_decisions_is_in_their_order() -> None:
    linked = re.findall(r"^\| (\d+) \| \[[^\]]+\]\((\d+)-", (DECISIONS / "README.md").read_text(), re.MULTILINE)
    assert [number for number, _ in linked] == [page for _, page in linked]
    assert [number for number, _ in linked] == sorted((number for number, _ in linked), key=int)


def test_the_index_has_every_document() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    pages = [path.name for path in (ROOT / "docs").glob("*.md") if path.name != "index.md"]
    assert [name for name in pages if f"({name}" not in index] == []


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_frameworks_are_said_to_be_tried_in_the_versions_that_tests_install() -> None:
    locked = dict(line.split("==") for line in (ROOT / "requirements-dev.lock").read_text().splitlines())
    said = TRIED.findall((ROOT / "docs" / "applications.md").read_text())
    assert len(said) == 6
    assert {name: locked[name.lower()] for name, _ in said} == dict(said)
