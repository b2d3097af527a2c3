"""Forget what nobody can ask for any more.

Kept are the newest epochs that all workers served, everything that is undecided, what is not retired and all
committed after it, and the newest refusals. Committed epochs go oldest first and none is left out; the
parts of a roll go with those before them.
"""

import sqlite3
from itertools import takewhile

from changeover.supervisor.core.entries import Aborted
from changeover.supervisor.core.quarantine import MOST
from changeover.supervisor.journal import entries
from changeover.supervisor.journal.views import EpochStory

KEEP_ABORTED = MOST
"""How many refused epochs are kept for `explain`, and for what is not tried again by itself."""


def prune(connection: sqlite3.Connection, keep: int) -> None:
    """Delete the entries of every epoch that is not needed, in the caller's transaction.

    Args:
        connection: Inside a transaction.
        keep: How many committed epochs stay.
    """
    told = entries.stories(entries.rows(connection))
    gone = forgotten(told, keep)
    if gone:
        connection.executemany("DELETE FROM entries WHERE epoch = ?", [(epoch,) for epoch in sorted(gone)])
    connection.execute(
        "DELETE FROM entries WHERE kind = 'TermBegun' AND seq < (SELECT max(seq) FROM entries WHERE kind = 'TermBegun')"
    )


def forgotten(told: list[EpochStory], keep: int) -> frozenset[int]:
    """The epochs that need not be kept.

    Args:
        told: All that is kept now, in the order of the epochs.
        keep: How many committed epochs stay, at least 1.
    """
    whole = [story for story in told if story.is_whole]
    aborted = [story.epoch for story in told if isinstance(story.decision, Aborted)]
    passed = tuple(takewhile(lambda story: story.retired_at is not None, whole[:-keep]))
    parts = [story for story in told if story.is_committed and not story.is_whole and story.retired_at is not None]
    gone = {story.epoch for story in passed}
    gone |= {story.epoch for story in parts if passed and story.epoch < whole[len(passed)].epoch}
    last = told[-1].epoch if told else 0
    return frozenset(gone | set(aborted[:-KEEP_ABORTED])) - {last}
