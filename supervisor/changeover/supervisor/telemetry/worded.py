"""What a record is once it is in words: one line for people, and how much it asks of them.

A refusal's traceback is no part of the line: `details` gives it, and the log prints it below.
"""

from functools import singledispatch

import msgspec

from changeover.supervisor.core.records.record import Record
from changeover.supervisor.telemetry.stream import Level

DEBUG, INFO, WARNING, ERROR = Level.DEBUG, Level.INFO, Level.WARNING, Level.ERROR


class Unworded(TypeError):
    """A record has no words: a mistake of ours, caught by a test."""


class Worded(msgspec.Struct, frozen=True):
    """A record in words."""

    level: Level
    line: str


@singledispatch
def word(record: Record) -> Worded:
    """Put a record into words; complete once `wording` was imported.

    Raises:
        Unworded: Nobody wrote words for its type.
    """
    raise Unworded(f"{type(record).__name__} has no words")
