"""What the supervisor learns about zygotes and their workers, one typed fact at a time."""

from collections.abc import Callable

import msgspec

from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Refusal


class ZygoteReady(msgspec.Struct, frozen=True):
    """A cohort can fork.

    Attributes:
        cohort: Its number.
        pid: The zygote's process, for people.
        threads: Modules that started threads when preloaded; empty when preloading worked (or was not asked for).
    """

    cohort: int
    pid: int
    threads: tuple[str, ...] = ()


class PreloadRefused(msgspec.Struct, frozen=True):
    """The application cannot be imported; the zygote leaves, `ZygoteLost` follows."""

    cohort: int
    refusal: Refusal


class ZygoteLost(msgspec.Struct, frozen=True):
    """A zygote is confirmed dead; its workers may live on.

    Attributes:
        cohort: Its number.
        status: Exit status, minus a signal's number, None when unknown.
        reason: In words.
    """

    cohort: int
    status: int | None
    reason: str


class WorkerForked(msgspec.Struct, frozen=True):
    """A worker exists and its pidfd is held."""

    worker: WorkerId
    pid: int


class ForkFailed(msgspec.Struct, frozen=True):
    """A worker that was asked for does not exist."""

    worker: WorkerId
    reason: str


class WorkerExited(msgspec.Struct, frozen=True):
    """A worker is confirmed dead: its pidfd is readable.

    Attributes:
        worker: Who it was.
        status: Exit status, minus a signal's number, None when nobody who knew it is alive.
        stacks: What it wrote into its stacks file, empty when nothing.
    """

    worker: WorkerId
    status: int | None
    stacks: str = ""


ProcessFact = ZygoteReady | PreloadRefused | ZygoteLost | WorkerForked | ForkFailed | WorkerExited

Tell = Callable[[ProcessFact], None]
"""Takes a fact on the loop; must not block or raise."""
