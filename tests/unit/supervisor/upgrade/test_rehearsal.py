"""The program that may be next reads, in a child, what it would be given."""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from changeover.supervisor.journal.file import JournalFile
from changeover.supervisor.upgrade.errors import ImageUnfit
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.launch import Launch
from changeover.supervisor.upgrade.rehearsal import Answer, rehearse
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.messages import PROTOCOL_VERSION

HANDED = Handed("1", 0, 0, Belongings())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An application, and the journal of a service."""
    (tmp_path / "shop.py").write_text("async def app(scope, receive, send): ...\n")
    JournalFile(tmp_path / "copy.sqlite3", 10).close()
    return tmp_path


async def rehearsed(
    folder: Path, arguments: tuple[str, ...], handed: Handed = HANDED, env: dict[str, str] | None = None
) -> Answer:
    launch = Launch(sys.executable, arguments, str(folder), {**os.environ, **(env or {})})
    return await rehearse(launch, sys.executable, folder / "copy.sqlite3", handed)


@pytest.mark.parametrize("arguments", [("run", "shop:app"), ("run", "--", "shop:app"), ("dev", "-w", "2", "shop:app")])
async def test_whatever_was_typed_is_understood_again(arguments: tuple[str, ...], folder: Path) -> None:
    assert (await rehearsed(folder, arguments)).protocol == PROTOCOL_VERSION


async def test_settings_that_the_next_program_does_not_accept_are_shown(folder: Path) -> None:
    (folder / "changeover.toml").write_text('[app]\ntarget = "shop:app"\n[drain]\nhttp = "soon"\n')
    with pytest.raises(ImageUnfit, match=r"drain\.http"):
        await rehearsed(folder, ("run",))


@pytest.mark.parametrize("arguments", [("run", "shop:app", "--of-another-version"), ("run", "gone:app")])
async def test_what_was_typed_and_is_not_understood_any_more_is_shown(arguments: tuple[str, ...], folder: Path) -> None:
    with pytest.raises(ImageUnfit, match=r"of-another-version|gone"):
        await rehearsed(folder, arguments)


async def test_a_program_of_which_a_part_that_serves_cannot_be_imported_is_refused(folder: Path) -> None:
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Lacking:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'changeover.supervisor.core.machine': raise ImportError('half installed')\n"
        "sys.meta_path.insert(0, Lacking())\n"
    )
    with pytest.raises(ImageUnfit, match="half installed"):
        await rehearsed(folder, ("run", "shop:app"), env={"PYTHONPATH": str(folder)})


async def test_a_journal_with_an_entry_that_the_next_program_does_not_understand_is_refused(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "copy.sqlite3")) as journal, journal:
        journal.execute("INSERT INTO entries (at, kind, epoch, body) VALUES (0, 'TermBegun', NULL, '{\"term\": true}')")
    with pytest.raises(ImageUnfit, match=r"copy\.sqlite3"):
        await rehearsed(folder, ("run", "shop:app"))


async def test_a_journal_that_the_next_program_cannot_read_is_named(folder: Path) -> None:
    (folder / "copy.sqlite3").write_bytes(b"of another version " * 200)
    with pytest.raises(ImageUnfit, match=r"copy\.sqlite3"):
        await rehearsed(folder, ("run", "shop:app"))


async def test_what_would_be_handed_over_in_another_form_is_refused(folder: Path) -> None:
    other = Handed("1", "a lock by name", 0, Belongings())  # type: ignore[arg-type]
    with pytest.raises(ImageUnfit, match=r"runtime_lock"):
        await rehearsed(folder, ("run", "shop:app"), other)
