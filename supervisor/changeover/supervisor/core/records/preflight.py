"""What operators hear of the rehearsals of candidates."""

from changeover.supervisor.core.records.record import EpochRecord, Record


class PreflightCompleted(EpochRecord, frozen=True):
    """A disposable process ran the candidate, a swap beside what serves, and nothing spoke against it.

    Attributes:
        seconds: From the order to the report.
        modules: How many modules of plugins were loaded.
        tests_passed: How many self-tests passed.
        tests: How many plugins have.
        warnings: What is amiss and refuses nothing, a line each.
    """

    seconds: float
    modules: int = 0
    tests_passed: int = 0
    tests: int = 0
    warnings: tuple[str, ...] = ()


class PreflightSkipped(EpochRecord, frozen=True):
    """The candidate goes to the workers without having been rehearsed.

    Attributes:
        why: Why nobody rehearsed it.
    """

    why: str


class PreflightWeak(Record, frozen=True):
    """Rehearsals run with less around them than they should. Told once for each set of what is missing.

    Attributes:
        missing: What the kernel does not have or does not let us have, in words.
    """

    missing: tuple[str, ...]
