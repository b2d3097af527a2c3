"""The parts of one supervisor, put together."""

import asyncio
import logging
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import msgspec
from msgspec.structs import replace

from changeover.supervisor.addresses import Addresses
from changeover.supervisor.api.app import application
from changeover.supervisor.api.server import ControlSocket, ControlSocketUnserved
from changeover.supervisor.artifacts.scanner import Scanner
from changeover.supervisor.chronicle import Chronicle
from changeover.supervisor.cohorts import Cohorts, Whereabouts
from changeover.supervisor.config.settings import Settings
from changeover.supervisor.core import events, shutdown
from changeover.supervisor.core.effects import Fork, TakeCounts
from changeover.supervisor.core.entries import Recovered
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.desk import Desk
from changeover.supervisor.driver import Driver, Hands
from changeover.supervisor.footing import Footing
from changeover.supervisor.host import Host
from changeover.supervisor.interpreters.asking import Interpreters
from changeover.supervisor.journal.journal import Journal
from changeover.supervisor.link.workers import WorkersLink
from changeover.supervisor.plans import policy, rehearsal_order, worker_settings, zygote_plan
from changeover.supervisor.preflights import Preflights
from changeover.supervisor.process.arrivals import Protection, end_all_arrivals
from changeover.supervisor.process.signals import SignalInbox
from changeover.supervisor.process.title import set_title
from changeover.supervisor.process.zygote_process import ZygotePlan
from changeover.supervisor.release import VERSION
from changeover.supervisor.replacement import Replacement
from changeover.supervisor.signalled import Signalled
from changeover.supervisor.telemetry.loop_lag import LoopLag
from changeover.supervisor.telemetry.shell import (
    ArrivalsUnprotected,
    CellStored,
    ControlUnserved,
    Finished,
    Listening,
)
from changeover.supervisor.telemetry.teller import Teller
from changeover.supervisor.telemetry.totals import Totals
from changeover.supervisor.telemetry.tracebacks import Tracebacks
from changeover.supervisor.upgrade.handed import Handed
from changeover.supervisor.upgrade.program import Program
from changeover.supervisor.watching.watching import Beginning, Watching
from changeover.supervisor.weighing import serving
from changeover.workers.plugins.artifact import get
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import WorkerMessage
from changeover.workers.protocol.snapshot import ApplicationSpec, Interpreter
from changeover.workers.runtime import counts
from changeover.workers.runtime.settings import Birth

logger = logging.getLogger("changeover")

BUG = 70
"""Exit status of a supervisor that found itself in a state that cannot be (EX_SOFTWARE)."""
STOP_ARRIVALS = 1.0
"""Seconds that handshakes under way have to complete before the accept queues are emptied."""


class Service:
    """Everything that one supervisor consists of.

    Attributes:
        ended: The exit status, once the machine has decided it.
    """

    def __init__(
        self,
        settings: Settings,
        footing: Footing,
        journal: Journal,
        scanner: Scanner,
        interpreters: Interpreters,
        store: Path,
        beginning: Beginning,
        host: Host,
        program: Program,
        tracebacks: Tracebacks,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[int] = self._loop.create_future()
        self._settings, self._host = settings, host
        self._store = store
        self._footing = footing
        self._journal = journal
        scaled = -1 if program.handed is None else program.handed.slots
        self._slots = settings.slots(os.cpu_count() or 1) if scaled < 0 else scaled
        self._worker_settings = worker_settings(settings, footing.runtime.path, store, footing.belongings(()))
        linger = settings.drain.address
        bound, unserved = footing.listeners, footing.unserved
        self._addresses = Addresses(self._loop, bound, host.bind, linger, host.keep, self.tell, unserved)
        self._lag = LoopLag(self._loop)
        self._machine = Machine(policy(settings))
        self._driver = Driver(self._loop, self._machine)
        self._teller, self._chronicle = Teller(tracebacks), Chronicle()
        runtime = footing.runtime
        self._totals = Totals(footing.counted, runtime.keep_counted)
        self._link = WorkersLink(self._loop, runtime.path, self._subscribed, self._heard)
        self._counts = counts.Counts(footing.counts)
        self._cohorts = Cohorts(
            self._zygote_plan,
            Whereabouts(runtime.zygote, runtime.cell),
            self._driver.feed,
            self._bury,
            interpreters.require,
        )
        order = partial(rehearsal_order, settings, store)
        self._preflights = Preflights(self._loop, self._cohorts, order, self._driver.feed, self.tell)
        self._desk = Desk(
            settings.name,
            self._addresses,
            self._machine.view,
            self._driver.feed,
            self.stop,
            journal,
            self._teller.stream,
            self._driver.tell_all,
            lambda: self._teller.tally.counts(self._discarded(), self._lag.figure()),
            self._chronicle,
            self._totals,
            partial(get, store),
            scanner.survey,
            lambda: self._watching.due(),
        )
        inherited = -1 if program.handed is None else program.handed.control
        self._control = ControlSocket(application(self._desk), runtime.control, self._control_unserved, inherited)
        self._replacement = Replacement(program, self._handed, journal.copy, self._driver.feed, self.tell, host.beat)
        self._watching = Watching(self._loop, beginning, self._desk.request_cutover, self.tell)
        self._scan_thread = ThreadPoolExecutor(1, "scan")
        self._last_call: asyncio.Task[None] | None = None
        self._driver.attach(
            Hands(
                cell=footing.cell,
                link=self._link,
                cohorts=self._cohorts,
                preflights=self._preflights,
                addresses=self._addresses,
                journal=journal,
                scanner=scanner,
                scan_thread=self._scan_thread,
                serving=lambda: serving(self._machine.view()),
                held=lambda: self._machine.view().held,
                quarantine=lambda: self._machine.view().quarantine,
                birth=self._birth,
                replacement=self._replacement,
                upgraded=self._desk.upgraded,
                tell=self.tell,
                resolve=self._desk.resolve,
                answer=self._desk.answer,
                counted=self._counted,
                exit=self._exit,
                broken=self._broken,
            )
        )

    async def start(self, inbox: SignalInbox, recovered: Recovered, listen: tuple[str, ...]) -> None:
        """Bring everything up from what the journal says, listening on `listen`; signals are taken last."""
        set_title(self._settings.name, "booting")
        await self._chronicle.recall_all(recovered, self._journal.explain)
        self._watching.start()
        booted = self._footing.booted(recovered, self._slots, listen)
        self._cohorts.inherit(self._footing.estate)
        self._open_link()
        self._driver.feed(booted)
        self.tell(Listening(self._addresses.shown()))
        await self._control.start()
        self._host.began(self.tell)
        signalled = Signalled(self._loop, self._desk, self.stop, self._wanted, self._driver.feed, self.tell)
        inbox.attach(self._loop, signalled.take)

    def _open_link(self) -> None:
        """Hear workers; the first event has to come before anything that they say."""
        self._link.open()
        if self._host.account is not None:
            self._footing.runtime.share_links(self._host.account)

    def stop(self, urgency: Urgency) -> None:
        """End the service; gracefully means that nobody who was let in by the kernel is turned away."""
        self._replacement.call_off("the service is stopping")
        if urgency is Urgency.GRACEFUL and self._last_call is None:
            self._last_call = self._loop.create_task(self._stop_gracefully())
        else:
            self._driver.feed(events.StopRequested(urgency))

    def tell(self, record: Record) -> None:
        """Hand a record to everybody who hears of it."""
        if isinstance(record, CellStored):
            set_title(self._settings.name, f"epoch {record.epoch}")
        self._chronicle.hear(record)
        self._teller.tell(record)
        self._desk.hear(record)
        self._watching.hear(record)
        self._host.hear(record)
        self._replacement.hear(record)

    @property
    def taken_over(self) -> bool:
        """Whether no program before this one would come back."""
        return self._replacement.taken_over

    def tell_rest(self) -> None:
        """Tell what waits to be told."""
        self._driver.tell_all()

    async def close(self, inbox: SignalInbox) -> None:
        """Let go of everything, in reverse."""
        inbox.detach(self._loop)
        self._addresses.stop()
        self._host.give_back(self._addresses.all())
        self._lag.close()
        self._watching.close()
        self._driver.close()
        self._teller.stream.close()
        await self._control.stop()
        self._cohorts.close()
        self._link.close()
        self._counts.close()
        self._scan_thread.shutdown(wait=False, cancel_futures=True)

    async def name_holders(self) -> None:
        """Close what we listened on, and say who keeps an address from being listened on again."""
        await self._host.name_holders(self._addresses.all(), self.tell)
        self._footing.let_go(self._addresses.all())

    async def _stop_gracefully(self) -> None:
        set_title(self._settings.name, "stopping")
        try:
            for call in await end_all_arrivals(self._addresses.all().bound, STOP_ARRIVALS):
                if call.protection is Protection.NONE:
                    self.tell(ArrivalsUnprotected(call.address, call.reason))
        finally:
            # Whoever was in more of a hurry meanwhile is not to be hurried further by our being late.
            if self._machine.view().stopping is shutdown.State.RUNNING:
                self._driver.feed(events.StopRequested(Urgency.GRACEFUL))

    def _wanted(self) -> int:
        return self._machine.view().wanted

    def _subscribed(self, worker: WorkerId) -> None:
        self._driver.feed(events.Subscribed(worker))

    def _heard(self, message: WorkerMessage) -> None:
        self._driver.feed(events.Received(message))

    def _birth(self, order: Fork) -> Birth:
        overview = self._machine.view()
        held = self._cohorts.belongings(order.worker.cohort)
        accepted = replace(held, listeners=self._addresses.among(held.listeners, order.rolled))
        settings = replace(self._worker_settings, slots=max(1, len(overview.slots)), belongings=accepted)
        return Birth(
            order.worker, order.nonce, overview.journal, overview.term, settings, order.rolled, part=order.part
        )

    def _zygote_plan(
        self, cohort: int, rolled: int, application: ApplicationSpec | None, interpreter: Interpreter
    ) -> ZygotePlan:
        held = self._footing.belongings(self._addresses.for_workers(rolled))
        journal, account = self._journal.id, self._host.account
        store, runtime = self._store, self._worker_settings.runtime
        return zygote_plan(
            self._settings, cohort, rolled, application, store, runtime, held, journal, os.environ, account, interpreter
        )

    def _handed(self) -> Handed:
        footing = self._footing
        return Handed(
            VERSION,
            footing.runtime.lock,
            self._journal.lock,
            footing.belongings(self._addresses.all().for_workers()),
            self._cohorts.links(),
            self._control.descriptor,
            secret=footing.secret,
            slots=self._wanted(),
            settings=msgspec.json.encode(self._settings).decode(),
        )

    def _counted(self, effect: TakeCounts) -> None:
        take = self._totals.take_late if effect.late else self._totals.take
        take(effect.worker, effect.counts)

    def _bury(self, worker: WorkerId) -> None:
        self._totals.bury(worker)
        self._counts.vacate(worker.slot)
        self._footing.runtime.forget(worker)

    def _discarded(self) -> dict[str, int]:
        return {reason.value: count for reason, count in self._link.discarded.items()}

    def _control_unserved(self, error: ControlSocketUnserved) -> None:
        self._chronicle.unserved = str(error)
        self.tell(ControlUnserved(str(error.path), error.reason))

    def _broken(self, error: Exception) -> None:
        logger.critical("a bug in changeover: the supervisor leaves, its workers serve on", exc_info=error)
        self._exit(BUG, str(error))

    def _exit(self, code: int, reason: str) -> None:
        self._driver.tell(Finished(reason, code))
        if not self.ended.done():
            self.ended.set_result(code)
