"""Exit statuses of every command, and the errors that lead to them."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

import click

from changeover.supervisor.api.client import NoAnswer, ProblemAnswered, WaitEnded
from changeover.workers.errors import ChangeoverError


class Exit(enum.IntEnum):
    """What an exit status means."""

    DONE = 0
    REFUSED = 1
    """Refused or aborted; or, of `status --check`, that something needs attention."""
    USAGE = 2
    WORKER_BOOT = 3
    """A worker failed to boot (`run` and `doctor` only)."""
    APP_LOAD = 4
    """The app failed to load (`run` and `doctor` only)."""
    NO_SERVER = 5
    WAIT_ENDED = 6


class Failure(click.ClickException):
    """Ends the command with a message and an exit status."""

    def __init__(self, message: str, exit: Exit) -> None:
        super().__init__(message)
        self.exit_code = exit.value  # type: ignore[misc]


STATUSES: dict[type[ChangeoverError], Exit] = {
    NoAnswer: Exit.NO_SERVER,
    WaitEnded: Exit.WAIT_ENDED,
    ProblemAnswered: Exit.REFUSED,
}
"""What a command that fails with one of these ends with."""


@contextmanager
def failures() -> Iterator[None]:
    """Turn errors that are known into a message and an exit status."""
    try:
        yield
    except tuple(STATUSES) as error:
        raise Failure(str(error), STATUSES[type(error)]) from error
