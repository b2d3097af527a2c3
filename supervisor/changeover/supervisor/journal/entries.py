"""Entries to rows and back, and what a row adds up to."""

import sqlite3
from collections.abc import Iterable

import msgspec

from changeover.supervisor.core import quarantine
from changeover.supervisor.core.entries import (
    Aborted,
    Committed,
    EpochGiven,
    JournalEntry,
    Quarantined,
    Recovered,
    Retired,
    TermBegun,
)
from changeover.supervisor.journal.views import EpochStory, Line
from changeover.workers.protocol.snapshot import Snapshot

_decoder: msgspec.json.Decoder[JournalEntry] = msgspec.json.Decoder(JournalEntry)

Row = tuple[int, float, str]
"""seq, at, body."""


def kind(entry: JournalEntry) -> str:
    """The entry's kind, as the column has it."""
    return type(entry).__name__


def epoch_of(entry: JournalEntry) -> int | None:
    """The epoch that the entry is about, None for a term."""
    return None if isinstance(entry, TermBegun) else entry.epoch


def body(entry: JournalEntry) -> str:
    """The entry as JSON, so that `sqlite3` shows people what it says."""
    return msgspec.json.encode(entry).decode()


def line(row: Row) -> Line:
    """Read one row.

    Raises:
        msgspec.DecodeError: It is no entry.
    """
    seq, at, text = row
    return Line(seq, at, _decoder.decode(text))


def stories(lines: Iterable[Line]) -> list[EpochStory]:
    """Gather lines by epoch, in the order of the epochs."""
    found: dict[int, EpochStory] = {}
    for each in lines:
        entry = each.entry
        if isinstance(entry, EpochGiven):
            found[entry.epoch] = EpochStory(entry, each.at)
        elif not isinstance(entry, TermBegun) and entry.epoch in found:
            found[entry.epoch] = _continued(found[entry.epoch], each)
    return [found[epoch] for epoch in sorted(found)]


def _continued(story: EpochStory, each: Line) -> EpochStory:
    match each.entry:
        case Committed() | Aborted() as decision:
            return msgspec.structs.replace(story, decision=decision, decided_at=each.at)
        case Retired():
            return msgspec.structs.replace(story, retired_at=each.at)
        case _:
            return story


def set_aside(told: Iterable[EpochStory]) -> frozenset[str]:
    """Digests of the generations that were rolled back: committing the same content again takes it off."""
    result: set[str] = set()
    serving = ""
    for story in told:
        if story.is_whole:
            if serving and story.given.restores is not None:
                result.add(serving)
            serving = story.given.candidate.digest
            result.discard(serving)
    return frozenset(result)


def recovered(journal: str, term: int, epoch: int, told: list[EpochStory]) -> Recovered:
    """Add everything up to what a starting supervisor must know; `epoch` is the highest that any entry names."""
    committed = [story for story in told if story.is_whole]
    undecided = [story.epoch for story in told if story.decision is None]
    parted = _parted(told)
    living = {story.epoch for story in (*committed[-1:], *parted)}
    return Recovered(
        journal=journal,
        term=term,
        epoch=epoch,
        committed=committed[-1].given.candidate if committed else None,
        undecided=undecided[-1] if undecided else None,
        unretired=tuple(
            story.epoch
            for story in told
            if story.is_committed and story.retired_at is None and story.epoch not in living
        ),
        held=frozenset(committed[-1].given.held) if committed else frozenset(),
        quarantine=_quarantine(told),
        parted=parted[0].given.candidate if parted else None,
        part=parted[0].given.part if parted else None,
    )


def _parted(told: list[EpochStory]) -> list[EpochStory]:
    """The last of a roll's committed parts, when neither all workers followed nor it is retired; at most one."""
    parts = [story for story in told if story.is_committed and not story.is_whole]
    rolled = max((story.given.candidate.rolled for story in told if story.is_whole), default=0)
    return [each for each in parts[-1:] if each.retired_at is None and each.given.candidate.rolled > rolled]


def _quarantine(told: list[EpochStory]) -> tuple[Quarantined, ...]:
    known: tuple[Quarantined, ...] = ()
    before: Snapshot | None = None
    for story in told:
        if story.is_whole:
            known = quarantine.after_commit(known, story.given.candidate, before)
            before = story.given.candidate
        elif isinstance(story.decision, Aborted):
            known = quarantine.after_abort(known, story.given.candidate, story.decision.refusals)
    return known


def rows(connection: sqlite3.Connection, where: str = "1", *values: int) -> list[Line]:
    """Read the lines that a condition selects, in order."""
    selected = connection.execute(f"SELECT seq, at, body FROM entries WHERE {where} ORDER BY seq", values)
    return [line(row) for row in selected]
