"""Feeds the supervisor's machine and performs its effects: the one loop of the control plane.

The driver decides nothing. Whatever takes time is done off the loop and comes back as an event.
"""

import asyncio
import logging
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from changeover.supervisor import unrestorable
from changeover.supervisor.addresses import Addresses, BindOverdue
from changeover.supervisor.artifacts.scanner import Past, Scanner
from changeover.supervisor.cohorts import Cohorts
from changeover.supervisor.core import effects, events
from changeover.supervisor.core.effects import Effect
from changeover.supervisor.core.entries import Held, Quarantined, SlotRefusal
from changeover.supervisor.core.events import Event, Timer
from changeover.supervisor.core.machine import Machine
from changeover.supervisor.core.outcome import Outcome, ScanRefused, ScanResult
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.journal.errors import JournalError
from changeover.supervisor.journal.journal import Journal
from changeover.supervisor.link.workers import WorkersLink
from changeover.supervisor.preflights import Preflights
from changeover.supervisor.process.stacks import NoStacks
from changeover.supervisor.replacement import Replacement
from changeover.supervisor.telemetry.shell import CellStored
from changeover.supervisor.weighing import Serving, weighed
from changeover.workers.generation.cell import CellWriter
from changeover.workers.protocol.feeder import Feeder
from changeover.workers.protocol.messages import WorkerMessage
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.runtime.settings import Birth

logger = logging.getLogger("changeover")

BIND = 10.0
"""Seconds in which the addresses of a candidate have to be bound: names may have to be looked up."""
TOLD_AFTER = 0.005
"""Seconds after which records are told, at the latest; an outcome is never known before what led to it was told."""


@dataclass(frozen=True, slots=True)
class Hands:
    """What the driver performs effects with.

    Attributes:
        cell: The commit cell.
        link: The wire to the workers.
        cohorts: Zygotes and workers.
        preflights: Has candidates rehearsed.
        addresses: What is listened on.
        journal: Where entries go.
        scanner: Reads what is on disk.
        scan_thread: Where that happens.
        serving: Who serves.
        held: What rollbacks set aside.
        quarantine: What was refused and is not tried again by itself.
        birth: What a new worker is told.
        replacement: Replaces our own program.
        upgraded: Takes how a wish for that ended, by ticket: why not, or nothing.
        tell: Takes records.
        resolve: Takes outcomes, by ticket.
        answer: Takes workers' answers, by ticket.
        counted: Takes what workers counted.
        exit: Takes the exit status and its reason, once.
        broken: Takes the error after which nothing more can be decided, once.
    """

    cell: CellWriter
    link: WorkersLink
    cohorts: Cohorts
    preflights: Preflights
    addresses: Addresses
    journal: Journal
    scanner: Scanner
    scan_thread: Executor
    serving: Callable[[], Serving]
    held: Callable[[], frozenset[Held]]
    quarantine: Callable[[], tuple[Quarantined, ...]]
    birth: Callable[[effects.Fork], Birth]
    replacement: Replacement
    upgraded: Callable[[int, str], None]
    tell: Callable[[Record], None]
    resolve: Callable[[int, Outcome], None]
    answer: Callable[[int, WorkerMessage | None], None]
    counted: Callable[[effects.TakeCounts], None]
    exit: Callable[[int, str], None]
    broken: Callable[[Exception], None]


class Driver:
    """Runs one machine.

    Args:
        loop: The supervisor's loop.
        machine: Decides.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, machine: Machine) -> None:
        self._loop = loop
        self._machine = machine
        self._broken = False
        self._records: deque[Record] = deque()
        self._timers: dict[Timer, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def attach(self, hands: Hands) -> None:
        """Take the hands; before the first event."""
        self._hands = hands
        perform: dict[type[Effect], Callable[[Any], None]] = {
            effects.Persist: self._persist,
            effects.Reread: self._reread,
            effects.StoreCell: self._store_cell,
            effects.Broadcast: lambda effect: hands.link.broadcast(effect.message),
            effects.Unicast: lambda effect: hands.link.tell(effect.worker, effect.message),
            effects.Bind: self._bind,
            effects.Listen: lambda effect: hands.addresses.serve(effect.addresses),
            effects.Unbind: lambda effect: hands.addresses.drop(),
            effects.StartZygote: lambda effect: hands.cohorts.start(
                effect.cohort, effect.rolled, effect.application, effect.interpreter
            ),
            effects.AdoptZygote: lambda effect: hands.cohorts.adopt(effect.cohort),
            effects.StopZygote: lambda effect: hands.cohorts.stop(effect.cohort),
            effects.Hold: lambda effect: hands.cohorts.hold(effect.worker, effect.pid),
            effects.Fork: lambda effect: hands.cohorts.fork(hands.birth(effect)),
            effects.Signal: lambda effect: hands.cohorts.signal(effect.worker, effect.signal),
            effects.DumpStacks: self._dump_stacks,
            effects.Scan: self._scan,
            effects.Preflight: lambda effect: hands.preflights.begin(effect),
            effects.EndPreflight: lambda effect: hands.preflights.end(effect.epoch),
            effects.SetTimer: self._set_timer,
            effects.CancelTimer: lambda effect: self._forget(effect.timer),
            effects.RehearseImage: lambda effect: self._start(hands.replacement.rehearse(effect.python)),
            effects.ExecuteImage: lambda effect: hands.replacement.execute(effect.python),
            effects.UpgradeDecided: lambda effect: hands.upgraded(effect.ticket, effect.refused),
            effects.Resolve: self._resolve,
            effects.Answer: lambda effect: hands.answer(effect.ticket, effect.message),
            effects.TakeCounts: hands.counted,
            effects.Tell: lambda effect: self.tell(effect.record),
            effects.Exit: lambda effect: hands.exit(effect.code, effect.reason),
        }
        self._feeder = Feeder(self._machine, perform, self._loop.time)

    def feed(self, event: Event) -> None:
        """Let the machine handle an event; one that an effect causes waits until the effects before it are done.

        An error in between leaves effects undone that others rely on: nothing is decided any more after it.
        """
        if self._broken:
            return
        try:
            self._feeder.feed(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends the supervisor and is told by it
            self._broken = True
            self._hands.broken(error)

    def tell(self, record: Record) -> None:
        """Tell a record in a moment: wording it must not delay a commit, nor hearing that workers follow."""
        if not self._records:
            self._loop.call_later(TOLD_AFTER, self.tell_all)
        self._records.append(record)

    def close(self) -> None:
        """Stop: timers and tasks end, what is to be told is told."""
        for handle in self._timers.values():
            handle.cancel()
        self._timers.clear()
        for task in self._tasks:
            task.cancel()
        self.tell_all()

    def tell_all(self) -> None:
        """Tell now what waits to be told."""
        while self._records:
            record = self._records.popleft()
            try:
                self._hands.tell(record)
            except Exception:
                logger.exception("a bug in changeover: %s could not be told", type(record).__name__)

    def _resolve(self, effect: effects.Resolve) -> None:
        self.tell_all()
        self._hands.resolve(effect.ticket, effect.outcome)

    def _persist(self, effect: effects.Persist) -> None:
        async def persist() -> None:
            try:
                await self._hands.journal.append(effect.entry)
            except JournalError as error:
                self.feed(events.PersistFailed(effect.ticket, str(error)))
            except Exception as error:
                logger.exception("a bug in changeover: %s could not be written", type(effect.entry).__name__)
                self.feed(events.PersistFailed(effect.ticket, f"a bug in changeover: {error!r}"))
            else:
                self.feed(events.Persisted(effect.ticket))

        self._start(persist())

    def _reread(self, effect: effects.Reread) -> None:
        async def reread() -> None:
            try:
                decision = await self._hands.journal.reread(effect.epoch)
            except JournalError as error:
                self.feed(events.RereadFailed(effect.epoch, str(error)))
            else:
                self.feed(events.Reread(effect.epoch, decision))

        self._start(reread())

    def _scan(self, effect: effects.Scan) -> None:
        async def scan() -> None:
            try:
                result = await self._scanned(effect)
            except Exception as error:
                logger.exception("a bug in changeover: the scan for epoch %d failed", effect.epoch)
                result = ScanRefused((SlotRefusal(-1, 0, _bug(error)),))
            self.feed(events.Scanned(effect.epoch, result))

        self._start(scan())

    async def _scanned(self, effect: effects.Scan) -> ScanResult:
        try:
            hands, journal = self._hands, self._hands.journal
            told = (await journal.committed(), await journal.kept(), await journal.set_aside())
            past = Past(*told, hands.held(), hands.quarantine())
        except JournalError as error:
            return ScanRefused((SlotRefusal(-1, 0, Refusal(Stage.SCAN, Fault.RESOURCE, str(error))),))
        if (refused := unrestorable.refusal(effect.request, effect.current, past)) is not None:
            return refused
        serving = hands.serving()

        def scan() -> ScanResult:
            return weighed(hands.scanner.scan(effect.request, effect.epoch, effect.current, past), serving)

        return await self._loop.run_in_executor(hands.scan_thread, scan)

    def _bind(self, effect: effects.Bind) -> None:
        async def bind() -> None:
            try:
                await self._hands.addresses.prepare(effect.epoch, effect.addresses, BIND)
            except SupervisorError as error:
                fault = Fault.TIMEOUT if isinstance(error, BindOverdue) else Fault.RESOURCE
                self.feed(events.BindRefused(effect.epoch, Refusal(Stage.PREPARE, fault, str(error))))
            else:
                self.feed(events.Bound(effect.epoch))

        self._start(bind())

    def _store_cell(self, effect: effects.StoreCell) -> None:
        self._hands.cell.store(effect.epoch, effect.part)
        self.tell(CellStored(effect.epoch, time.monotonic_ns()))

    def _dump_stacks(self, effect: effects.DumpStacks) -> None:
        async def dump() -> None:
            try:
                stacks = await self._hands.cohorts.stacks(effect.worker)
            except NoStacks as error:
                self.feed(events.StacksDumped(effect.worker, "", missing=error.reason))
            else:
                self.feed(events.StacksDumped(effect.worker, stacks))

        self._start(dump())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._loop.call_exception_handler({"message": "an effect failed", "exception": error, "task": task})

    def _set_timer(self, effect: effects.SetTimer) -> None:
        self._forget(effect.timer)
        self._timers[effect.timer] = self._loop.call_later(effect.after, self._fire, effect.timer)

    def _forget(self, timer: Timer) -> None:
        if (handle := self._timers.pop(timer, None)) is not None:
            handle.cancel()

    def _fire(self, timer: Timer) -> None:
        del self._timers[timer]
        self.feed(events.TimerFired(timer))


def _bug(error: Exception) -> Refusal:
    lines = "".join(traceback.format_exception(error))
    return Refusal(Stage.SCAN, Fault.INTERNAL, f"a bug in changeover: {error!r}", traceback=lines)
