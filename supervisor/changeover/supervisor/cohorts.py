"""The zygotes of a service and the workers they forked, by cohort."""

import signal
from collections.abc import Callable
from pathlib import Path

from changeover.supervisor.core import events
from changeover.supervisor.core.effects import ProcessSignal
from changeover.supervisor.core.events import Event
from changeover.supervisor.process.zygote import Zygote
from changeover.supervisor.process.zygote_process import ZygoteNotStarted, ZygotePlan
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.snapshot import ApplicationSpec
from changeover.workers.runtime.settings import Birth

SIGNALS = {
    ProcessSignal.TERM: signal.SIGTERM,
    ProcessSignal.QUIT: signal.SIGQUIT,
    ProcessSignal.KILL: signal.SIGKILL,
}


class Cohorts:
    """Starts, orders and ends zygotes.

    Args:
        plan: What the zygote of a cohort is to be.
        socket: Where the socket of a cohort's zygote is.
        feed: Takes every fact about zygotes and workers.
        vacate: Told the slot of every worker that is confirmed dead, before anybody else.
    """

    def __init__(
        self,
        plan: Callable[[int, ApplicationSpec | None], ZygotePlan],
        socket: Callable[[int], Path],
        feed: Callable[[Event], None],
        vacate: Callable[[int], None],
    ) -> None:
        self._plan = plan
        self._socket = socket
        self._feed = feed
        self._vacate = vacate
        self._zygotes: dict[int, Zygote] = {}

    def start(self, cohort: int, application: ApplicationSpec | None) -> None:
        """Start a cohort's zygote, which preloads the application; answered by ZygoteReady or ZygoteLost."""
        try:
            self._zygotes[cohort] = Zygote.start(self._plan(cohort, application), self._socket(cohort), self._hear)
        except ZygoteNotStarted as error:
            self._feed(events.ZygoteLost(cohort, str(error)))

    def stop(self, cohort: int) -> None:
        """End a zygote; answered by ZygoteLost."""
        zygote = self._zygotes.get(cohort)
        if zygote is None:
            self._feed(events.ZygoteLost(cohort, "it was not there"))
        else:
            zygote.stop()

    def fork(self, birth: Birth) -> None:
        """Have a worker forked; answered by WorkerForked or ForkFailed."""
        zygote = self._zygotes.get(birth.worker.cohort)
        if zygote is None:
            self._feed(events.ForkFailed(birth.worker, f"cohort {birth.worker.cohort} has no zygote"))
        else:
            zygote.fork(birth)

    def signal(self, worker: WorkerId, what: ProcessSignal) -> None:
        """Signal a worker, if it lives."""
        if (zygote := self._zygotes.get(worker.cohort)) is not None:
            zygote.signal(worker, SIGNALS[what])

    async def stacks(self, worker: WorkerId) -> str:
        """The stacks of all threads of a worker; empty when it cannot write them."""
        zygote = self._zygotes.get(worker.cohort)
        return await zygote.stacks(worker) if zygote is not None else ""

    def close(self) -> None:
        """Let go of all zygotes; none is touched."""
        for zygote in self._zygotes.values():
            zygote.close()
        self._zygotes.clear()

    def _hear(self, event: Event) -> None:
        self._feed(event)
        if isinstance(event, events.WorkerExited):
            self._vacate(event.worker.slot)
