"""What can happen to a service at any moment, one mishap after the other, chosen by a seeded generator."""

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.killing.moments import Moment, of_roll, of_swap
from benchmarks.killing.premises import zygotes
from benchmarks.killing.trial import arm
from benchmarks.killing.victims import kill_and_name
from benchmarks.subject import Subject
from changeover.supervisor.api.bodies import CutoverBody, ScaleBody
from changeover.supervisor.api.client import Client, NoAnswer, ProblemAnswered, WaitEnded
from changeover.supervisor.core.outcome import Strategy

BROKEN = '\nraise RuntimeError("broken on purpose")\n'
AWAY = (0.1, 1.0)
"""Seconds for which nobody supervises, at least and at most."""
STOPPED = (0.05, 1.0)
"""Seconds for which a process is stopped: less than any deadline."""
KILLS, PERIOD = 3, 60.0
"""A slot's worker is killed at most so often within so many seconds: five deaths would park the slot."""
WAIT = 30.0
"""Seconds after which a command that nobody waits for gives up."""


@dataclass
class Mishaps:
    """Does harm, and keeps what that explains.

    Attributes:
        subject: The service.
        random: Chooses.
        module: A file of the content, which is broken by turns.
        workers_die: Whether workers are killed, too.
        excused: Ports of clients whose connection a killed worker took along.
        done: Every mishap, in order, in words.
        counts: How often each kind happened.
    """

    subject: Subject
    random: random.Random
    module: str
    workers_die: bool
    excused: set[int] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _kills: dict[int, list[float]] = field(default_factory=dict)

    def next(self) -> None:
        """Let one happen; a service without a supervisor gets one first."""
        self.revive()
        table: dict[Callable[[], None], int] = {
            self._hang_up: 6,
            self._hang_up_broken: 2,
            self._roll: 2,
            self._more: 1,
            self._fewer: 1,
            self._to_one_and_back: 2,
            self._stop_somebody: 3,
            self._kill_zygote: 1,
            self._kill_supervisor: 3,
            self._kill_both: 1,
            self._die_at_a_moment: 3,
            self._kill_worker: 3 if self.workers_die else 0,
            self._kill_worker_unsupervised: 1 if self.workers_die else 0,
        }
        [mishap] = self.random.choices(list(table), list(table.values()))
        with contextlib.suppress(NoAnswer, ProblemAnswered, ProcessLookupError):
            mishap()

    def revive(self) -> None:
        """Start a supervisor where there is none, after a while, as a service manager does."""
        if not self.subject.alive:
            time.sleep(self.random.uniform(*AWAY))
            self.subject.start()
            self._tell("start")

    def _tell(self, what: str, *details: object) -> None:
        self.counts[what] += 1
        self.done.append(" ".join(map(str, (f"{time.monotonic():.3f}", what, *details))))

    def _hang_up(self) -> None:
        self._tell("HUP", self.subject.contents.renew())
        self.subject.hang_up()

    def _hang_up_broken(self) -> None:
        self._tell("HUP with broken content", self.subject.contents.renew())
        self.subject.contents.append(self.module, BROKEN)
        self.subject.hang_up()

    def _roll(self) -> None:
        self._tell("reload --strategy roll", self.subject.contents.renew())
        threading.Thread(target=_ask_for_roll, args=(self.subject.control,), name="roll", daemon=True).start()

    def _more(self) -> None:
        if len(self.subject.workers()) <= self.subject.count:
            self._signal("TTIN")

    def _fewer(self) -> None:
        if len(self.subject.workers()) > 1:
            self._signal("TTOU")

    def _to_one_and_back(self) -> None:
        """Let several leave at once, of which one may be handed connections before it leaves itself."""
        for slots in (1, self.subject.count):
            self._tell("scale", slots)
            self.subject.control.raw("PUT", "/v1/scale", ScaleBody(slots))
            time.sleep(self.random.uniform(*AWAY))

    def _signal(self, name: str) -> None:
        self._tell(name)
        os.kill(self.subject.pid, signal.Signals[f"SIG{name}"])

    def _stop_somebody(self) -> None:
        workers = sorted(pid for pid in self.subject.workers().values() if pid)
        name, several = self.random.choice(
            [("supervisor", [self.subject.pid]), ("worker", workers), ("zygote", sorted(zygotes(self.subject)))]
        )
        if several:
            pid = self.random.choice(several)
            self._tell(f"STOP {name}", pid)
            os.kill(pid, signal.SIGSTOP)
            time.sleep(self.random.uniform(*STOPPED))
            os.kill(pid, signal.SIGCONT)

    def _kill_zygote(self) -> None:
        for zygote in zygotes(self.subject):
            self._tell("KILL zygote", zygote)
            os.kill(zygote, signal.SIGKILL)

    def _kill_supervisor(self) -> None:
        self._tell("KILL supervisor")
        self.subject.end_supervisor()

    def _kill_both(self) -> None:
        self._kill_zygote()
        self._kill_supervisor()

    def _die_at_a_moment(self) -> None:
        moment: Moment = self.random.choice((*of_swap(self.subject.count), *of_roll(self.subject.count)))
        self._tell("KILL supervisor at a moment", f"({moment})")
        arm(self.subject, moment)
        self._hang_up()

    def _kill_worker(self) -> None:
        now = time.monotonic()
        workers = [
            (slot, pid) for slot, pid in sorted(self.subject.workers().items()) if pid and self._may_die(slot, now)
        ]
        if workers:
            slot, pid = self.random.choice(workers)
            self._tell("KILL worker", pid)
            self._kills.setdefault(slot, []).append(now)
            self.excused |= kill_and_name(pid, self.subject.address[1])

    def _kill_worker_unsupervised(self) -> None:
        if len(self.subject.workers()) < 2:
            return
        slots = self.subject.workers()
        self._kill_supervisor()
        now = time.monotonic()
        slot = self.random.choice(sorted(slots))
        if slots[slot] and self._may_die(slot, now):
            self._tell("KILL worker", slots[slot], "while nobody supervises")
            self._kills.setdefault(slot, []).append(now)
            self.excused |= kill_and_name(slots[slot], self.subject.address[1])

    def _may_die(self, slot: int, now: float) -> bool:
        return sum(now - at < PERIOD for at in self._kills.get(slot, ())) < KILLS


def _ask_for_roll(control: Client) -> None:
    with contextlib.suppress(NoAnswer, ProblemAnswered, WaitEnded):
        deque(control.stream("POST", "/v1/cutovers", CutoverBody(strategy=Strategy.ROLL), seconds=WAIT), maxlen=0)
