"""One trial: the supervisor dies at one moment of a cutover, and the next one has to settle what it left."""

import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.household import descriptors, surplus
from benchmarks.killing.dying import FILE
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


class Trial(msgspec.Struct, frozen=True):
    """What became of one trial; times are CLOCK_MONOTONIC in nanoseconds.

    Attributes:
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

    def run(self, moment: Moment, then: Iterable[Moment] = ()) -> Trial:
        """Kill the supervisor at `moment` of a cutover, start the next, and see what becomes of it.

        Args:
            moment: When it dies.
            then: When those die that are started after it, one after the other.

        Raises:
            SubjectBroken: The moment does not come, or the service does not get quiet.
        """
        subject, began = self._subject, time.monotonic_ns()
        serving, given = subject.status().epoch, history(subject)[0].epoch
        marker = subject.contents.renew()
        arm(subject, moment)
        subject.hang_up()
        died = self._await_death(moment)
        living = frozenset(residents(subject.folder))
        for next_moment in then:
            arm(subject, next_moment)
            subject.start()
            died = self._await_death(next_moment)
        time.sleep(AWAY)
        started = time.monotonic_ns()
        subject.start()
        subject.await_serving()
        committed = moment.fate is Fate.COMMITTED
        self._await_quiet(given + 1 if committed else serving)
        settled = time.monotonic_ns()
        problems = [*self._adoption(living), *self._record(given + 1, moment.fate)]
        number = given + (1 if moment.fate is Fate.NEVER else 2)
        contents = {number: subject.contents.renew()} | ({given + 1: marker} if committed else {})
        subject.hang_up()
        self._await_quiet(number)
        problems += self._surplus()
        times = (began, died, started, settled, time.monotonic_ns())
        return Trial(str(moment), moment.fate, *times, tuple(problems), contents)

    def _await_death(self, moment: Moment) -> int:
        subject = self._subject
        until(lambda: not subject.alive, DEATH, lambda: f"the moment never came: {moment}\n{subject.words()}", 0.001)
        disarm(subject)
        return time.monotonic_ns()

    def _await_quiet(self, epoch: int) -> None:
        def why() -> str:
            return f"{disquiet(self._subject, epoch)}\n{self._subject.words()}"

        until(lambda: not disquiet(self._subject, epoch), QUIET, why, 0.05)

    def _adoption(self, living: frozenset[int]) -> list[str]:
        """Whether those who serve are those who lived on."""
        fresh = frozenset(self._subject.workers().values()) - living
        return [f"{len(fresh)} workers were started instead of adopted"] if fresh else []

    def _record(self, epoch: int, fate: Fate) -> list[str]:
        """Whether the history has the cutover as it has to be."""
        states = {line.epoch: line.state for line in history(self._subject)}
        wanted = {Fate.NEVER: None, Fate.ABORTED: EpochState.ABORTED, Fate.COMMITTED: EpochState.SERVING}[fate]
        found = states.get(epoch)
        return (
            []
            if found is wanted
            else [f"the history has epoch {epoch} as {found and found.value}, not as {fate.value}"]
        )

    def _surplus(self) -> list[str]:
        """What a supervisor holds more than the first that adopted did."""
        if self._held is None:
            self._held = descriptors(self._subject.pid)
        held, pid = self._held, self._subject.pid
        try:
            until(lambda: not surplus(held, descriptors(pid)), 10.0, str, 0.05)
        except SubjectBroken:
            return [f"the supervisor holds {what} +{count}" for what, count in surplus(held, descriptors(pid)).items()]
        return []


def arm(subject: Subject, moment: Moment) -> None:
    """Have the supervisor of `subject` die at `moment`."""
    whole = subject.folder / f"{FILE}.new"
    whole.write_bytes(msgspec.json.encode(moment))
    whole.rename(subject.folder / FILE)


def disarm(subject: Subject) -> None:
    """Have it live on."""
    (subject.folder / FILE).unlink(missing_ok=True)
