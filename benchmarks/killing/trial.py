"""One trial: the supervisor dies at one moment of a cutover, and the next one has to settle what it left."""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from benchmarks.household import surplus
from benchmarks.killing.cutovers import SURGE, Cutover, Staging
from benchmarks.killing.dying import FILE
from benchmarks.killing.holdings import of_supervisor
from benchmarks.killing.moments import Fate, Moment
from benchmarks.killing.premises import disquiet, history
from benchmarks.subject import Subject, SubjectBroken, residents, until
from changeover.supervisor.control import EpochState

ROOT = Path(__file__).parents[2]
DYING = (
    *(sys.executable, "-c"),
    f"import sys; sys.path.append({str(ROOT)!r}); from benchmarks.killing.dying import main; main()",
)
"""The command that dies when it is told to."""
AWAY = 0.5
"""Seconds from the death to the next start."""
DEATH = 60.0
"""Seconds until the moment comes."""
QUIET = 60.0
"""Seconds until nothing is under way any more."""


ENDINGS: dict[Fate, tuple[EpochState, ...]] = {
    Fate.NEVER: (),
    Fate.ABORTED: (EpochState.ABORTED,),
    Fate.COMMITTED: (EpochState.SERVING,),
    Fate.REVERTED: (EpochState.RETIRED, EpochState.SERVING),
    Fate.REVERTED_LATER: (EpochState.RETIRED, EpochState.ABORTED, EpochState.SERVING),
    Fate.COMMITTED_LAST: (EpochState.RETIRED, EpochState.SERVING),
}
"""What the history has to say of each number that was given, in order."""
COMMITS = frozenset(fate for fate, states in ENDINGS.items() if EpochState.SERVING in states)
"""After these, what serves has another number than before."""
REVERTS = frozenset({Fate.REVERTED, Fate.REVERTED_LATER})
"""Of these, the workers of a part are relieved by others."""


class Trial(msgspec.Struct, frozen=True):
    """What became of one trial; times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
        cutover: Of which cutover, in words.
        moment: When the supervisor died, in words.
        fate: What was to become of its cutover.
        began: When the trial began.
        died: When the supervisor was seen to be dead.
        started: When the next one was started.
        settled: When the service was quiet again.
        ended: When it was quiet after a further reload.
        problems: What was not as it has to be.
        contents: Epoch -> what its content calls itself.
    """

    cutover: str
    moment: str
    fate: Fate
    began: int
    died: int
    started: int
    settled: int
    ended: int
    problems: tuple[str, ...]
    contents: dict[int, str]

    @property
    def took(self) -> float:
        """Seconds from the start to the quiet state."""
        return (self.settled - self.started) / 1e9


class Trials:
    """Kills one service's supervisor again and again.

    Args:
        subject: The service, run by `DYING`, quiet.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._held: dict[str, int] | None = None

    def run(self, cutover: Cutover, moment: Moment) -> Trial:
        """Kill the supervisor at `moment` of `cutover`, start the next, and see what becomes of it.

        Raises:
            SubjectBroken: The moment does not come, or the service does not get quiet.
        """
        subject, began, fate = self._subject, time.monotonic_ns(), moment.fate
        serving, given, old = subject.status().epoch, history(subject)[0].epoch, subject.contents.marker
        staging, first = Staging(subject, cutover), cutover.first or moment
        arm(subject, first)
        marker = staging.set_off()
        died = self._await_death(first)
        living = frozenset(residents(subject.folder))
        if first is not moment:
            arm(subject, moment)
            subject.start()
            died = self._await_death(moment)
        time.sleep(AWAY)
        started = time.monotonic_ns()
        subject.start()
        subject.await_serving()
        last = given + len(ENDINGS[fate])
        self._await_quiet(last if fate in COMMITS else serving)
        settled = time.monotonic_ns()
        problems = [*unadopted(subject.workers().values(), living, fate), *self._record(given + 1, fate)]
        problems += staging.problems(marker, fate.keeps)
        contents = _contents(given + 1, last, fate, marker, old) | {last + 1: self._go_on(staging, last + 1)}
        problems += self._surplus()
        times = (began, died, started, settled, time.monotonic_ns())
        return Trial(cutover.name, str(moment), fate, *times, tuple(problems), contents)

    def _go_on(self, staging: Staging, epoch: int) -> str:
        """Reload once more, and say what the new content calls itself."""
        staging.take_back()
        marker = self._subject.contents.renew()
        self._subject.hang_up()
        self._await_quiet(epoch)
        return marker

    def _await_death(self, moment: Moment) -> int:
        subject = self._subject
        until(lambda: not subject.alive, DEATH, lambda: f"the moment never came: {moment}\n{subject.words()}", 0.001)
        disarm(subject)
        return time.monotonic_ns()

    def _await_quiet(self, epoch: int) -> None:
        def why() -> str:
            return f"{disquiet(self._subject, epoch)}\n{self._subject.words()}"

        until(lambda: not disquiet(self._subject, epoch), QUIET, why, 0.05)

    def _record(self, epoch: int, fate: Fate) -> list[str]:
        """Whether the history has the cutover as it has to be."""
        known = {line.epoch: line.state for line in history(self._subject)}
        wanted = dict(enumerate(ENDINGS[fate] or (None,), start=epoch))
        found = {number: known.get(number) for number in wanted}
        return [] if found == wanted else [f"the history has {_worded(found)}, not {_worded(wanted)}"]

    def _surplus(self) -> list[str]:
        """What a supervisor holds more than the first that adopted did."""
        subject = self._subject
        if self._held is None:
            self._held = of_supervisor(subject)
        held = self._held
        try:
            until(lambda: not surplus(held, of_supervisor(subject)), 10.0, str, 0.05)
        except SubjectBroken:
            return [
                f"the supervisor holds {what} +{count}" for what, count in surplus(held, of_supervisor(subject)).items()
            ]
        return []


def unadopted(serving: Iterable[int], living: frozenset[int], fate: Fate) -> list[str]:
    """Whether those who serve are those who lived on, but for who relieves the workers of a part."""
    fresh = len(frozenset(serving) - living) - (SURGE if fate in REVERTS else 0)
    return [f"{fresh} workers were started instead of adopted"] if fresh > 0 else []


def _contents(first: int, last: int, fate: Fate, new: str, old: str) -> dict[int, str]:
    """What the content of each number that may have been committed calls itself."""
    if fate not in COMMITS:
        return {}
    return dict.fromkeys(range(first, last + 1), new) | ({} if fate.keeps else {last: old})


def _worded(states: Mapping[int, EpochState | None]) -> str:
    return ", ".join(
        f"epoch {epoch} as {'unknown' if state is None else state.value}" for epoch, state in states.items()
    )


def arm(subject: Subject, moment: Moment) -> None:
    """Have the supervisor of `subject` die at `moment`."""
    whole = subject.folder / f"{FILE}.new"
    whole.write_bytes(msgspec.json.encode(moment))
    whole.rename(subject.folder / FILE)


def disarm(subject: Subject) -> None:
    """Have it live on."""
    (subject.folder / FILE).unlink(missing_ok=True)
