"""The database: one table of entries, in order, and the totals that pruning must not forget."""

import sqlite3
import uuid
from pathlib import Path

from changeover.supervisor.journal.errors import JournalCorrupt, JournalNewer

VERSION = 1
APPLICATION = 0x43484F56
"""Marks the file as a journal of ours (`file` shows it)."""
BUSY = 2.0
"""Seconds to wait for another program's lock."""

_TABLES = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER,
    body TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_of_a_kind ON entries (epoch, kind) WHERE epoch IS NOT NULL;
CREATE UNIQUE INDEX one_decision ON entries (epoch) WHERE kind IN ('Committed', 'Aborted');
CREATE TABLE totals (name TEXT PRIMARY KEY, value REAL NOT NULL) STRICT, WITHOUT ROWID;
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open a connection that writes durably: the folder's entry is synced with the rollback journal (EXTRA).

    Raises:
        sqlite3.Error: It cannot be opened, or is no database.
    """
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute("PRAGMA synchronous = EXTRA")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def establish(connection: sqlite3.Connection, path: Path) -> str:
    """Make the tables in a new file, check them in an old one.

    Returns:
        The journal's id, made once.

    Raises:
        JournalNewer: A later version wrote it.
        JournalCorrupt: It is a database of something else.
        sqlite3.Error: The disk does not take it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        if not _is_new(connection):
            _check(connection, path)
        else:
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.execute("INSERT INTO facts VALUES ('journal', ?)", (uuid.uuid4().hex,))
            connection.execute(f"PRAGMA user_version = {VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
        journal = connection.execute("SELECT value FROM facts WHERE name = 'journal'").fetchone()
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    if journal is None:
        raise JournalCorrupt(path, "it has no identity")
    return str(journal[0])


def _is_new(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) = 0 FROM sqlite_schema").fetchone()[0])


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    if application != APPLICATION:
        raise JournalCorrupt(path, "it is a database of another program")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise JournalNewer(path, version, VERSION)
