"""A journal that cannot be had says what is wrong and what to do, by name."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from changeover.supervisor.core.entries import TermBegun
from changeover.supervisor.journal.errors import (
    JournalBusy,
    JournalCorrupt,
    JournalDiskFault,
    JournalError,
    JournalFull,
    JournalHeld,
    JournalNewer,
    JournalReadOnly,
    JournalUnreachable,
    named,
)
from changeover.supervisor.journal.file import JournalFile, reread
from changeover.supervisor.journal.schema import VERSION
from tests.entries import committed, given

AS_NOBODY = "os.getuid() == 0 and os.setuid(65534)"
"""Gives up root's rights, which would be above every permission."""

APPEND = """
import os, resource, sys
from pathlib import Path
from changeover.supervisor.core.entries import TermBegun
from changeover.supervisor.journal.errors import JournalError
from changeover.supervisor.journal.file import JournalFile
{before}
try:
    journal = JournalFile(Path(sys.argv[1]), 10)
    {after}
    for term in range(1, 200):
        journal.append(TermBegun(term + 1000 * os.getpid()))
except JournalError as error:
    print(type(error).__name__, error)
"""


def in_a_process(path: Path, before: str = "", after: str = "pass") -> str:
    """Open and write the journal in a process of its own, that can give up rights."""
    script = APPEND.format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30, check=True
    )
    return done.stdout


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("as SQLite says it")
    error.sqlite_errorcode = code
    return error


def fill(journal: JournalFile) -> None:
    for epoch in range(2, 200):
        journal.append(given(epoch))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite3"


def test_a_journal_that_another_supervisor_holds_names_it(path: Path) -> None:
    first = JournalFile(path, 10)
    with pytest.raises(JournalHeld, match=f"is held by pid {os.getpid()} ") as caught:
        JournalFile(path, 10)
    assert [holder.pid for holder in caught.value.holders] == [os.getpid()]
    assert str(caught.value).endswith(f"; `kill {os.getpid()}` ends it; or choose another --state-dir")
    first.close()
    JournalFile(path, 10).close()


def test_a_refused_journal_does_not_keep_the_lock(path: Path) -> None:
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    for _ in range(2):
        with pytest.raises(JournalCorrupt, match="move it away"):
            JournalFile(path, 10)


def test_a_database_of_another_program_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    with pytest.raises(JournalCorrupt, match="another program"):
        JournalFile(path, 10)


def test_a_journal_of_a_later_version_is_refused_with_what_to_do(path: Path) -> None:
    JournalFile(path, 10).close()
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {VERSION + 1}")
    other.close()
    with pytest.raises(JournalNewer, match="upgrade changeover") as caught:
        JournalFile(path, 10)
    assert (caught.value.found, caught.value.known) == (VERSION + 1, VERSION)


def test_an_entry_that_cannot_be_read_is_damage_and_not_silence(path: Path) -> None:
    journal = JournalFile(path, 10)
    journal.append(given(1))
    with sqlite3.connect(path) as other:
        other.execute("UPDATE entries SET body = '{}'")
    other.close()
    with pytest.raises(JournalCorrupt, match="an entry cannot be read"):
        journal.recover()
    journal.close()


def test_pages_that_are_overwritten_are_damage(path: Path) -> None:
    journal = JournalFile(path, 10)
    for epoch in range(1, 60):
        journal.append(given(epoch))
    journal.close()
    with path.open("r+b") as raw:
        raw.seek(4096)
        raw.write(b"\xff" * 4096 * 6)
    with pytest.raises(JournalCorrupt):
        JournalFile(path, 10).recover()


def test_a_full_disk_is_named_and_leaves_the_journal_as_it_was(path: Path) -> None:
    journal = JournalFile(path, 10)
    journal.append(given(1))
    connection = journal._connection
    [(pages,)] = connection.execute("PRAGMA page_count").fetchall()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(JournalFull, match="free some on its disk"):
        fill(journal)
    known = journal.recover().epoch
    connection.execute("PRAGMA max_page_count = 100000")
    journal.append(given(known + 1))
    assert journal.recover().epoch == known + 1
    journal.close()


def test_a_disk_that_takes_no_more_bytes_is_named(path: Path) -> None:
    told = in_a_process(path, after="resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))")
    assert told.startswith(("JournalFull", "JournalDiskFault"))


def test_a_folder_that_may_not_be_read_is_named(path: Path) -> None:
    JournalFile(path, 10).close()
    path.parent.chmod(0)
    told = in_a_process(path, before=AS_NOBODY)
    path.parent.chmod(0o700)
    assert told.startswith("JournalUnreachable")
    assert "Permission denied" in told


def test_a_folder_that_becomes_read_only_is_named(path: Path) -> None:
    told = in_a_process(path, after=f"os.chmod({str(path.parent)!r}, 0o555); {AS_NOBODY}")
    path.parent.chmod(0o700)
    assert told.startswith(("JournalReadOnly", "JournalUnreachable"))


def test_a_state_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(JournalUnreachable, match="check that its folder exists"):
        JournalFile(tmp_path / "state" / "journal.sqlite3", 10)


def test_a_program_that_holds_the_databases_lock_is_an_error_after_a_moment(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("changeover.supervisor.journal.schema.BUSY", 0.05)
    journal = JournalFile(path, 10)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalBusy, match="fuser"):
        journal.append(TermBegun(1))
    with pytest.raises(JournalBusy):
        reread(path, 1)
    other.execute("ROLLBACK")
    other.close()
    journal.append(TermBegun(1))
    journal.close()


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (sqlite3.SQLITE_IOERR_FSYNC, JournalDiskFault),
        (sqlite3.SQLITE_IOERR, JournalDiskFault),
        (sqlite3.SQLITE_FULL, JournalFull),
        (sqlite3.SQLITE_READONLY_DIRECTORY, JournalReadOnly),
        (sqlite3.SQLITE_CANTOPEN, JournalUnreachable),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, JournalBusy),
        (sqlite3.SQLITE_NOTADB, JournalCorrupt),
        (sqlite3.SQLITE_CORRUPT_INDEX, JournalCorrupt),
    ],
)
def test_each_of_sqlites_complaints_has_a_name(path: Path, code: int, name: type[JournalError]) -> None:
    assert type(named(path, sqlite_error(code))) is name


def test_the_journal_is_usable_after_the_disk_failed_in_the_middle_of_a_write(path: Path) -> None:
    journal = JournalFile(path, 10)
    journal.append(given(1))
    journal._connection.execute("BEGIN IMMEDIATE")
    journal.append(committed(1))
    assert reread(path, 1) == committed(1)
    journal.close()
