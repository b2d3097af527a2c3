"""What the process that rehearses a candidate is told, and what it reports."""

import msgspec

from changeover.workers.protocol.forking import Preload
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.snapshot import Snapshot


class Confinement(msgspec.Struct, frozen=True):
    """What a rehearsal may use up.

    Attributes:
        memory: Bytes beyond what the process has when it begins.
        processes: Processes and threads at the same time.
        output: Bytes of what it writes that are kept, the last ones.
        deadline: Seconds for all of it.
        hook: Seconds for one hook, as in a worker.
    """

    memory: int = 1024 * 1024 * 1024
    processes: int = 64
    output: int = 64 * 1024
    deadline: float = 60.0
    hook: float = 30.0


class RehearsalOrder(msgspec.Struct, frozen=True):
    """What is to be rehearsed.

    Attributes:
        current: What serves; None when nothing does.
        candidate: What is to be swapped in beside it.
        settings: What the rehearsal may use up.
        store: The artifact store.
        preload: The application, where the process has not imported it; None when it has, or when there is none.
    """

    current: Snapshot | None
    candidate: Snapshot
    settings: Confinement
    store: str
    preload: Preload | None = None


class RehearsalReport(msgspec.Struct, frozen=True):
    """How it went. What wrote it is not trusted: it is decoded strictly, and by its size first.

    Attributes:
        refusal: Why the candidate does not pass; None when it does.
        modules: How many modules of plugins were loaded.
        tests_passed: How many self-tests passed.
        tests: How many there are.
        took: Seconds.
        output: The end of what the rehearsal wrote.
    """

    refusal: Refusal | None = None
    modules: int = 0
    tests_passed: int = 0
    tests: int = 0
    took: float = 0.0
    output: str = ""
