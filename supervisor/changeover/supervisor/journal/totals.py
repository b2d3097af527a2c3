"""Counts that outlive the entries they were counted from."""

import sqlite3

from changeover.supervisor.core.entries import Aborted, Committed, EpochGiven
from changeover.supervisor.journal import entries
from changeover.supervisor.journal.views import Totals

_STAGE = "refused at "


def count(connection: sqlite3.Connection, decision: Committed | Aborted, at: float) -> None:
    """Count a decision, in the transaction that writes it.

    Args:
        connection: Inside the transaction.
        decision: The decision.
        at: When it is made, seconds since 1970.
    """
    if isinstance(decision, Aborted):
        _add(connection, "aborted")
        if decision.refusals:
            _add(connection, _STAGE + decision.refusals[0].refusal.stage.value)
        return
    _add(connection, "committed")
    for line in entries.rows(connection, "epoch = ? AND kind = 'EpochGiven'", decision.epoch):
        if isinstance(line.entry, EpochGiven):
            if line.entry.restores is not None:
                _add(connection, "rollbacks")
            connection.execute("REPLACE INTO totals VALUES ('last_duration', ?)", (max(0.0, at - line.at),))


def _add(connection: sqlite3.Connection, name: str) -> None:
    connection.execute("INSERT INTO totals VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", (name,))


def read(connection: sqlite3.Connection) -> Totals:
    """Read all counts."""
    found: dict[str, float] = dict(connection.execute("SELECT name, value FROM totals").fetchall())
    return Totals(
        committed=int(found.get("committed", 0)),
        rollbacks=int(found.get("rollbacks", 0)),
        aborted=int(found.get("aborted", 0)),
        refusals={
            name.removeprefix(_STAGE): int(value) for name, value in sorted(found.items()) if name.startswith(_STAGE)
        },
        last_duration=found.get("last_duration"),
    )
