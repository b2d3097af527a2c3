"""The zygotes of a service and the workers they forked, by cohort."""

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from changeover.supervisor.core import events
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.events import Event
from changeover.supervisor.interpreters.answer import InterpreterUnfit
from changeover.supervisor.interpreters.paths import OURS
from changeover.supervisor.process.estate import Estate, FoundZygote
from changeover.supervisor.process.held_worker import HeldWorker, hold_by_pid
from changeover.supervisor.process.stacks import NoStacks, StacksFile
from changeover.supervisor.process.zygote import Zygote
from changeover.supervisor.process.zygote_process import ZygoteNotStarted, ZygotePlan
from changeover.workers.protocol.belongings import Belongings
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.snapshot import ApplicationSpec, Interpreter
from changeover.workers.runtime.settings import Birth

SIGNALS = {
    ProcessSignal.TERM: signal.SIGTERM,
    ProcessSignal.QUIT: signal.SIGQUIT,
    ProcessSignal.KILL: signal.SIGKILL,
}

STACKS = 1.5
"""Seconds that a worker has to write its stacks: why there are none is to be known before `Deadlines.inquire` ends."""


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where the processes of a service are found.

    Attributes:
        zygote: The socket of a cohort's zygote.
        cell: The commit cell's file.
    """

    zygote: Callable[[int], Path]
    cell: Path


class Cohorts:
    """Starts, adopts, orders and ends zygotes.

    Args:
        plan: What the zygote of a cohort is to be, for which roll, with which application.
        whereabouts: Where they are found.
        feed: Takes every fact about zygotes and workers.
        bury: Told every worker that is confirmed dead.
        require: Raises InterpreterUnfit for an interpreter that cannot execute what it is to; blocks.
    """

    def __init__(
        self,
        plan: Callable[[int, int, ApplicationSpec | None, Interpreter], ZygotePlan],
        whereabouts: Whereabouts,
        feed: Callable[[Event], None],
        bury: Callable[[WorkerId], None],
        require: Callable[[Interpreter], object],
    ) -> None:
        self._plan = plan
        self._whereabouts = whereabouts
        self._feed = feed
        self._bury = bury
        self._require = require
        self._asked: dict[int, asyncio.Task[None]] = {}
        self._zygotes: dict[int, Zygote] = {}
        self._found: dict[int, FoundZygote] = {}
        self._alone: dict[WorkerId, HeldWorker] = {}
        """Workers that were adopted and have no zygote."""
        self._belongings: dict[int, Belongings] = {}

    def inherit(self, estate: Estate) -> None:
        """Take what a former supervisor left: its zygotes are adopted when that is ordered, its workers now."""
        zygotes, workers = estate.give_away()
        self._found = {found.ready.cohort: found for found in zygotes}
        for found in workers:
            self._watch(found.told.worker, found.told.pid, found.pidfd, found.stacks)

    def start(self, cohort: int, rolled: int, application: ApplicationSpec | None, interpreter: Interpreter) -> None:
        """Start a cohort's zygote, which preloads the application; answered by ZygoteReady or ZygoteLost.

        Another interpreter than ours is asked first whether it still is what it was.
        """
        plan = self._plan(cohort, rolled, application, interpreter)
        if plan.python == OURS:
            return self._execute(plan)
        self._asked[cohort] = asyncio.create_task(self._ask_and_execute(plan, interpreter))

    async def _ask_and_execute(self, plan: ZygotePlan, interpreter: Interpreter) -> None:
        try:
            await asyncio.to_thread(self._require, interpreter)
        except InterpreterUnfit as error:
            self._asked.pop(plan.cohort)
            self._feed(events.ZygoteLost(plan.cohort, str(error), _passing(str(error))))
        else:
            self._asked.pop(plan.cohort)
            self._execute(plan)

    def _execute(self, plan: ZygotePlan) -> None:
        try:
            self._zygotes[plan.cohort] = Zygote.start(plan, self._whereabouts.zygote(plan.cohort), self._hear)
        except ZygoteNotStarted as error:
            self._feed(events.ZygoteLost(plan.cohort, str(error), _passing(str(error))))
        else:
            self._belongings[plan.cohort] = plan.belongings

    def adopt(self, cohort: int) -> None:
        """Take over a former supervisor's zygote; answered by ZygoteReady or ZygoteLost."""
        found = self._found.pop(cohort, None)
        if found is None:
            self._feed(events.ZygoteLost(cohort, "it is gone"))
        else:
            self._belongings[cohort] = found.ready.belongings
            self._zygotes[cohort] = Zygote.adopt(found.handles, found.ready, self._hear)

    def stop(self, cohort: int) -> None:
        """End a zygote; answered by ZygoteLost."""
        if cohort in self._found:
            self.adopt(cohort)  # its workers may live on, and are held
        zygote, asked = self._zygotes.get(cohort), self._asked.pop(cohort, None)
        if asked is not None:
            asked.cancel()
            self._feed(events.ZygoteLost(cohort, "it was told to leave before it began"))
        elif zygote is None:
            self._feed(events.ZygoteLost(cohort, "it was not there"))
        else:
            zygote.stop()

    def hold(self, worker: WorkerId, pid: int) -> None:
        """Watch a worker that introduced itself, unless it is held; answered by WorkerExited."""
        if worker in self._alone or any(zygote.knows(worker) for zygote in self._zygotes.values()):
            return
        pidfd = hold_by_pid(pid, self._whereabouts.cell)
        if pidfd is None:
            self._hear(events.WorkerExited(worker, None))
        else:
            self._watch(worker, pid, pidfd, StacksFile(os.memfd_create(f"stacks of {worker}", os.MFD_CLOEXEC)))

    def fork(self, birth: Birth) -> None:
        """Have a worker forked; answered by WorkerForked or ForkFailed."""
        zygote = self._zygotes.get(birth.worker.cohort)
        if zygote is None:
            self._feed(events.ForkFailed(birth.worker, f"cohort {birth.worker.cohort} has no zygote"))
        else:
            zygote.fork(birth)

    def zygote(self, cohort: int) -> Zygote | None:
        """The zygote of a cohort, where there is one."""
        return self._zygotes.get(cohort)

    def links(self) -> dict[str, int]:
        """Every connection to a zygote, by the name of its socket."""
        links = (zygote.link for zygote in self._zygotes.values())
        return {name: fd for name, fd in links if fd >= 0}

    def belongings(self, cohort: int) -> Belongings:
        """What a cohort's zygote inherited, under its own numbers."""
        return self._belongings[cohort]

    def signal(self, worker: WorkerId, what: ProcessSignal) -> None:
        """Signal a worker, if it lives."""
        if (alone := self._alone.get(worker)) is not None:
            alone.signal(SIGNALS[what])
        elif (zygote := self._zygotes.get(worker.cohort)) is not None:
            zygote.signal(worker, SIGNALS[what])

    async def stacks(self, worker: WorkerId) -> str:
        """The stacks of all threads of a worker.

        Raises:
            NoStacks: It cannot write them.
        """
        if (alone := self._alone.get(worker)) is not None:
            return await alone.stacks(STACKS)
        zygote = self._zygotes.get(worker.cohort)
        if zygote is None:
            raise NoStacks("it is gone")
        return await zygote.stacks(worker, STACKS)

    def close(self) -> None:
        """Let go of all zygotes and workers; none is touched."""
        for asked in self._asked.values():
            asked.cancel()
        for zygote in self._zygotes.values():
            zygote.close()
        for found in self._found.values():
            found.close()
        for alone in self._alone.values():
            alone.close()
        for held in (self._zygotes, self._found, self._alone):
            held.clear()

    def _watch(self, worker: WorkerId, pid: int, pidfd: int, stacks: StacksFile) -> None:
        held = HeldWorker(asyncio.get_running_loop(), worker, pid, pidfd, stacks, self._alone_died)
        held.expect_no_status()
        self._alone[worker] = held

    def _alone_died(self, held: HeldWorker) -> None:
        del self._alone[held.worker]
        held.close()
        self._hear(events.WorkerExited(held.worker, held.status))

    def _hear(self, event: Event) -> None:
        self._feed(event)
        if isinstance(event, events.WorkerExited):
            self._bury(event.worker)


def _passing(reason: str) -> Refusal:
    """What was taken could be executed when it was scanned: its content is not to blame, and may be tried again."""
    return Refusal(Stage.PREPARE, Fault.RESOURCE, reason)
