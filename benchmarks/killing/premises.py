"""Who and what belongs to a service at one moment, and whether that is as it should be when nothing is under way."""

from benchmarks.subject import Subject, parent, residents, title
from benchmarks.zygotes import cohort, named, unnamed
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
        return _unserved(subject, least) or _unsettled(subject) or _surplus(subject)
    except (NoAnswer, ProblemAnswered) as error:
        return f"no answer: {error}"


def _unserved(subject: Subject, least: int) -> str:
    status = subject.status()
    if status.epoch < least:
        return f"epoch {status.epoch} serves, not {least}"
    if (stored := subject.cell.read()) != status.epoch:
        return f"the commit cell says {stored}"
    return "" if subject.alone else f"not all serve: {', '.join(f'{s.slot} {s.state.value}' for s in status.slots)}"


def _unsettled(subject: Subject) -> str:
    """Which epochs are undecided or not retired: of those that serve, only the latest is to stay."""
    lines = history(subject)
    serving = [line for line in lines if line.state is EpochState.SERVING]
    passing = [line for line in lines if line.state in PASSING]
    return ", ".join(f"epoch {line.epoch} is {line.state.value}" for line in (*passing, *serving[1:]))


def zygotes(subject: Subject) -> frozenset[int]:
    """The zygotes of those who serve; every other that is there where those of all who serve are dead."""
    workers = frozenset(subject.workers().values())
    forking = frozenset(map(parent, workers)) & frozenset(residents(subject.folder))
    return forking or frozenset(filter(cohort, residents(subject.folder)))


def _surplus(subject: Subject) -> str:
    """Who and what is there beside those who serve and the zygotes that are named, or which of these is not there."""
    status = subject.status()
    workers = frozenset(slot.pid for slot in status.slots)
    others = frozenset(residents(subject.folder)) - workers - {subject.pid}
    waiting = frozenset(filter(cohort, others))
    if strangers := [*(others - waiting), *unnamed(status, waiting)]:
        return f"also there: {', '.join(map(_described, strangers))}"
    if missing := named(status) - frozenset(map(cohort, waiting)):
        return f"not there: the zygotes {', '.join(map(str, missing))}"
    if passing := [each for each in status.zygotes if each.cohort not in named(status)]:
        return f"the zygote {passing[0].cohort} is {passing[0].state.value}"
    sockets = sorted(path.name for path in (subject.folder / "run").glob("*-*.sock"))
    return "" if len(sockets) == len(workers) + len(waiting) else f"sockets: {', '.join(sockets)}"


def _described(pid: int) -> str:
    return f"{pid} ({title(pid)})"
