"""Who and what belongs to a service at one moment, and whether that is as it should be when nothing is under way."""

from pathlib import Path

from benchmarks.subject import Subject, parent, residents
from changeover.supervisor.api.bodies import HistoryAnswer
from changeover.supervisor.api.client import NoAnswer, ProblemAnswered
from changeover.supervisor.control import EpochState, HistoryLine

PASSING = frozenset({EpochState.UNDECIDED, EpochState.DRAINING})


def history(subject: Subject) -> tuple[HistoryLine, ...]:
    """The latest epochs, newest first."""
    return subject.control.get("/v1/history?limit=50", HistoryAnswer).epochs


def disquiet(subject: Subject, least: int) -> str:
    """Why the service is not quiet; empty when it is.

    Quiet: the commit cell says what all slots serve, older epochs are retired, and nobody and nothing else is there.

    Args:
        subject: The service.
        least: What it is to serve, or something later.
    """
    try:
        return _unserved(subject, least) or _undecided(subject) or _surplus(subject)
    except (NoAnswer, ProblemAnswered) as error:
        return f"no answer: {error}"


def _unserved(subject: Subject, least: int) -> str:
    status = subject.status()
    if status.epoch < least:
        return f"epoch {status.epoch} serves, not {least}"
    if (stored := subject.cell.read()) != status.epoch:
        return f"the commit cell says {stored}"
    return "" if subject.alone else f"not all serve: {', '.join(f'{s.slot} {s.state.value}' for s in status.slots)}"


def _undecided(subject: Subject) -> str:
    return ", ".join(f"epoch {line.epoch} is {line.state.value}" for line in history(subject) if line.state in PASSING)


def zygotes(subject: Subject) -> frozenset[int]:
    """The zygotes of those who serve; whoever else is there where those of all who serve are dead."""
    family = frozenset(residents(subject.folder))
    workers = frozenset(subject.workers().values())
    forking = frozenset(map(parent, workers)) & family
    return forking or family - workers - {subject.pid}


def _surplus(subject: Subject) -> str:
    workers, waiting = frozenset(subject.workers().values()), zygotes(subject)
    if len(waiting) != 1:
        return f"{len(waiting)} zygotes"
    strangers = frozenset(residents(subject.folder)) - workers - waiting - {subject.pid}
    if strangers:
        return f"also there: {', '.join(map(_described, strangers))}"
    sockets = sorted(path.name for path in (subject.folder / "run").glob("*-*.sock"))
    return "" if len(sockets) == len(workers) + 1 else f"sockets: {', '.join(sockets)}"


def _described(pid: int) -> str:
    try:
        return f"{pid} ({Path(f'/proc/{pid}/cmdline').read_bytes().replace(bytes(1), b' ').decode().strip()})"
    except OSError:
        return str(pid)
