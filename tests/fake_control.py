"""A supervisor that only says what it was told to say, behind the real API on a real Unix socket."""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from changeover.supervisor.api.app import application
from changeover.supervisor.api.client import SOCKET_NAME
from changeover.supervisor.api.server import ControlSocket, ControlSocketUnserved
from changeover.supervisor.artifacts.survey import DiskState, DiskView
from changeover.supervisor.comparison import DiffView, UnitDifference, Version
from changeover.supervisor.control import (
    EpochState,
    Explanation,
    HistoryLine,
    Milestone,
    PluginView,
    QuarantineView,
    RefusedRequest,
    RegistryView,
    SlotState,
    SlotView,
    StatusView,
    UnitLine,
    ZygoteState,
    ZygoteView,
)
from changeover.supervisor.core.entries import Origin, SlotRefusal, Trigger
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import (
    Committed,
    CutoverRequest,
    Durations,
    ExtraMemory,
    Outcome,
    Planned,
    Refused,
    Unchanged,
)
from changeover.supervisor.core.records.cutover import (
    CommitDecided,
    CutoverAborted,
    CutoverBegan,
    CutoverCompleted,
    PhaseBegan,
    WorkerActivated,
    WorkerPrepared,
    WorkerRefused,
)
from changeover.supervisor.core.records.request import NothingChanged
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.core.retirement import State
from changeover.supervisor.draining import DrainingPlugin
from changeover.supervisor.operations import OnProgress
from changeover.supervisor.pipelines import (
    HandlerView,
    PipelineLine,
    PipelineRegistryView,
    PipelinesView,
    PipelineView,
    ServiceView,
    WorkerPipeline,
)
from changeover.supervisor.plugins import ListedPlugin, PluginCopy, PluginsView
from changeover.supervisor.remaining import LeaksView, LeasesView, SlotLeaks, SlotLeases
from changeover.supervisor.telemetry.stream import Told
from changeover.supervisor.telemetry.teller import Teller
from changeover.supervisor.unanswerable import (
    InParts,
    NoRoom,
    Stopping,
    UnknownEpoch,
    UnknownPipeline,
    UnknownSlot,
    UpgradeRefused,
    WorkerSilent,
)
from changeover.supervisor.upgrade.refused import RefusedUpgrade
from changeover.workers.protocol.counted import HandlerCounts, PipelineCounts, ServiceCounts
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import LeaseView, Phase
from changeover.workers.protocol.plugin_messages import LeakView
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.registry import Registry
from changeover.workers.protocol.snapshot import (
    HandlerRef,
    Interpreter,
    PipelineSpec,
    Route,
    UnitKey,
    UnitKind,
    UnitRef,
)

KEPT_UNTIL = 1_700_000_300.0
ENDED = "ended: slot 2, http /slow, 12 s old: more than 8 resident copies once epoch 15 served"
SUMMARY = ("pricing 1.4.0 -> 1.5.0", "app unchanged")
DURATIONS = Durations(scan=0.01, prepare=0.18, commit=0.0011, total=0.62)
DEPLOY = Origin(Trigger.COMMAND, user="deploy", uid=1001, label="pricing 1.5")
TRACEBACK = """Traceback (most recent call last):
  File "plugins/pricing/pricing/__init__.py", line 41, in on_load
    self.pool = await connect(self.config.dsn, timeout=5)
TimeoutError: no connection to db:5432 within 5 s"""
REFUSAL = SlotRefusal(
    slot=2,
    pid=4127,
    refusal=Refusal(
        stage=Stage.INITIALISE,
        fault=Fault.TIMEOUT,
        summary="TimeoutError: no connection to db:5432 within 5 s",
        unit="plugin pricing",
        hook="on_load",
        where="plugins/pricing/pricing/__init__.py:41",
        source="self.pool = await connect(self.config.dsn, timeout=5)",
        traceback=TRACEBACK,
    ),
)

AGAIN = "the reason may pass: watching and schedule try it again, less and less often"


SHOP = PipelineView(
    "shop",
    "9c41ab" * 10,
    7,
    (Route("shop", "/", "shop.example"),),
    (
        HandlerView("request-id", "inbound, outbound", "security", owner="changeover", settings='{"trust": true}'),
        HandlerView(
            "pricing:discount",
            "inbound",
            "app",
            owner="pricing",
            version="1.5.0",
            digest="77" * 32,
            since=7,
            counts=HandlerCounts(78, 156_000, 9_000_000, 5, 3),
        ),
    ),
    ServiceView("app", "55" * 32, 3, ServiceCounts(2, 1)),
    {"http": 9, "websocket": 1},
    PipelineCounts({"shop.example/": 1240}, {"2xx": 1237, "5xx": 3}),
)


API = "shop.example/api"
"""The pipeline that was edited; what it is made of changes with the epoch."""


DIFFERENCES = (
    UnitDifference("plugin geo", None, Version("0.9.0", "77aa00" * 10, 7)),
    UnitDifference(
        "plugin pricing",
        Version("1.4.0", "9c41ab" * 10, 3),
        Version("1.5.0", "5d02fe" * 10, 7),
        ("configuration: currency",),
        ("+ rules.toml", "pricing/__init__.py"),
    ),
)


class FakeControl:
    """Four workers at epoch 7; what a cutover comes to is chosen by the test.

    Attributes:
        most: How many workers there is room for.
        parted: Whether slot 1 serves another epoch than the others, as part 1 of 4.
        refusing: Whether the next cutover is refused by slot 2.
        dying: Whether slot 2's worker dies of what it refuses.
        changed: Whether there is anything new on disk.
        summary: What every epoch changes and leaves out.
        memory: What a cutover needs.
        held: What rollbacks set aside.
        gate: A cutover waits in prepare until it is set.
        settling: Waiting for a milestone waits until it is set.
        pid: Of the supervisor.
        requests: What was asked for.
        stopped: How it was stopped.
        term: Of the supervisor.
        upgrades: Who asked for an upgrade, and by which interpreter.
        upgrade_refused: Why the next upgrade is refused.
        fell_back: Why it went back.
        last_refused_upgrade: What status says of an earlier one.
        last_refused_request: What status says of an earlier one.
        edited: Pipelines that were edited.
        outrunning: Whether somebody else is quicker than the next cutover.
    """

    def __init__(self) -> None:
        self.teller = Teller()
        self.pid = 811
        self.epoch = 7
        self.last_epoch = 7
        self.slots = 4
        self.most = 100
        self.parted = False
        self.refusing = False
        self.dying = False
        self.changed = True
        self.alarms: tuple[str, ...] = ()
        self.summary: tuple[str, ...] = SUMMARY
        self.memory: ExtraMemory | None = None
        self.held: tuple[str, ...] = ()
        self.gate = threading.Event()
        self.gate.set()
        self.settling = threading.Event()
        self.settling.set()
        self.requests: list[CutoverRequest] = []
        self.stopped: Urgency | None = None
        self.silent: frozenset[int] = frozenset()
        self.term = 3
        self.upgrades: list[tuple[Origin, str]] = []
        self.upgrade_refused = ""
        self.fell_back = ""
        self.last_refused_upgrade: RefusedUpgrade | None = None
        self.last_refused_request: RefusedRequest | None = None
        self.edited: tuple[str, ...] = ()
        self.outrunning = False

    async def request_cutover(self, request: CutoverRequest, on_progress: OnProgress | None = None) -> Outcome:
        if self.stopped is not None:
            raise Stopping
        self.requests.append(request)
        if self.outrunning:
            self.outrunning, self.epoch = False, self.epoch + 1
            return Refused(self.epoch, DURATIONS, "somebody was quicker")
        with self.teller.stream.heard_by(on_progress):
            return await self._cut_over(request)

    async def _cut_over(self, request: CutoverRequest) -> Outcome:
        tell, previous = self.teller.tell, self.epoch
        if not self.changed and not request.force:
            tell(NothingChanged(request.origin, self.epoch, action=request.action))
            return Unchanged(serving=self.epoch, action=request.action)
        if request.dry_run:
            return Planned(serving=self.epoch, summary=self.summary, memory=self.memory)
        self.last_epoch += 1
        epoch = self.last_epoch
        tell(CutoverBegan(epoch, request.origin, self.summary, previous, self.slots, memory=self.memory))
        tell(PhaseBegan(epoch, "preparing"))
        await asyncio.to_thread(self.gate.wait, 10)
        if self.dying:
            tell(WorkerExited(WorkerId(1, REFUSAL.slot, REFUSAL.slot + 1), REFUSAL.pid, -11, False))
        for slot in range(self.slots):
            if self.refusing and slot == REFUSAL.slot:
                tell(WorkerRefused(WorkerId(1, slot, slot + 1), REFUSAL.pid, epoch, REFUSAL.refusal))
            else:
                tell(WorkerPrepared(WorkerId(1, slot, slot + 1), 4121 + slot, epoch, 0.17))
        if self.refusing:
            tell(CutoverAborted(epoch, "slot 2 refused", (REFUSAL,), request.origin, previous))
            return Refused(previous, DURATIONS, "slot 2 refused", epoch, (REFUSAL,), self.summary)
        tell(CommitDecided(epoch, previous))
        self.epoch = epoch
        for slot in range(self.slots):
            tell(WorkerActivated(WorkerId(1, slot, slot + 1), 4121 + slot, epoch, 1))
        tell(CutoverCompleted(epoch, previous, request.origin, self.slots, self.summary, 0.18, 0.0011, 0.62))
        return Committed(epoch, DURATIONS, previous, self.slots, self.summary)

    def status(self) -> StatusView:
        return StatusView(
            name="shop",
            version="0.1.0",
            pid=self.pid,
            term=self.term,
            started=1_700_000_000.0,
            phase=Phase.IDLE,
            epoch=self.epoch,
            candidate=None,
            serving=self._line(self.epoch),
            listen=("127.0.0.1:8000", "unix:/run/shop/web.sock"),
            slots=tuple(self._slot(slot) for slot in range(self.slots)),
            zygotes=(ZygoteView(1, ZygoteState.KEPT, 1, KEPT_UNTIL), ZygoteView(2, ZygoteState.READY, self.epoch)),
            interpreter=Interpreter("/srv/shop/venv/bin/python", "3.12.1"),
            plugins=(PluginView("pricing", "1.5.0", 7),),
            draining=(
                DrainingPlugin("geo", 2, State.RETIRING, (3,)),
                DrainingPlugin("pricing", 5, State.DRAINING, (0, 2)),
            ),
            held=self.held,
            edited=self.edited,
            automatic=("on-change",),
            quarantine=(QuarantineView("pricing 1.6.0", 6, 1_700_000_001.0),),
            stopping=self.stopped,
            parted=self.epoch + 1 if self.parted else None,
            part="part 1 of 4" if self.parted else "",
            alarms=self.alarms,
            fell_back=self.fell_back,
            refused_upgrade=self.last_refused_upgrade,
            refused_request=self.last_refused_request,
            counts=self.teller.tally.counts({}),
            pipelines=(
                PipelineLine("shop", 1240, 3, "app"),
                PipelineLine("quote", 12, 0, "pricing:quote", 2, 1),
            ),
        )

    def _slot(self, slot: int) -> SlotView:
        if slot in self.silent:
            return SlotView(slot, SlotState.PARKED, "5 exits in 60 s (SIGSEGV); next try in 4 min")
        return SlotView(
            slot,
            SlotState.SERVING,
            pid=4121 + slot,
            incarnation=slot + 1,
            cohort=1,
            epoch=self.epoch + (self.parted and slot == 1),
            started=1_700_000_000.0,
            leases={self.epoch: 9, self.epoch - 1: 1},
            connections=12,
            requests=3110,
            rss=142 * 1024 * 1024,
        )

    def _line(self, epoch: int) -> HistoryLine:
        state = EpochState.SERVING if epoch == self.epoch else EpochState.DRAINING
        return HistoryLine(epoch, state, 1_700_000_000.0, 1_700_000_001.0, DEPLOY, self.summary)

    async def history(self, limit: int) -> tuple[HistoryLine, ...]:
        return tuple(self._line(epoch) for epoch in range(self.epoch, 0, -1))[:limit]

    async def explain(self, epoch: int) -> Explanation:
        if epoch == 6:
            line = msgspec.structs.replace(self._line(6), state=EpochState.ABORTED, reason="slot 2 refused")
            return Explanation(line, (REFUSAL,), again=AGAIN)
        if not 0 < epoch <= self.epoch:
            raise UnknownEpoch(epoch)
        return Explanation(
            self._line(epoch), units=(UnitLine("plugin pricing", "1.5.0", "9c41ab" * 10, 7),), ended=(ENDED,)
        )

    async def diff(self, before: int | None, after: int | None, origin: Origin) -> DiffView:
        other = self.epoch if after is None else after
        if before is None and self.refusing:
            return DiffView(self.epoch, None, refused="1 thing is wrong", refusals=(REFUSAL,))
        if before is None:
            return DiffView(self.epoch, None, same=7, notes=("not taken: geo (disabled, changed on disk)",))
        for epoch in (before, other):
            if not 0 < epoch <= self.epoch:
                raise UnknownEpoch(epoch)
        return DiffView(before, other, DIFFERENCES, 1, (Route("geo", "/geo"),), (), ("address: + :80",))

    async def leases(self) -> LeasesView:
        live = LeaseView("websocket", self.epoch - 1, "/live", 240.0)
        return LeasesView(self.epoch, (SlotLeases(1, 4122, (live,), SlotState.YIELDING),), silent=(3,))

    async def leaks(self) -> LeaksView:
        chain = ("module shop.HOOKS", "list", "function stop")
        held = LeakView("plugin pricing 1a2b3c since epoch 6", "module pricing.py is alive", chain)
        runs = LeakView("plugin pricing 1a2b3c since epoch 6", "thread poller still runs")
        leaves = SlotLeaks(1, 4122, (held, runs), unnamed=3, state=SlotState.YIELDING)
        slots = (SlotLeaks(0, 4121, (held,), {"plugin pricing": 2}), leaves)
        return LeaksView(self.epoch, slots, silent=(3,))

    async def registry(self, slot: int) -> RegistryView:
        if slot >= self.slots:
            raise UnknownSlot(slot, range(self.slots))
        if slot in self.silent:
            raise WorkerSilent(slot, 5.0)
        return RegistryView(slot, 4121 + slot, slot + 1, Registry(self.epoch, handlers={"/": ("pricing:discount",)}))

    def pipeline(self, name: str) -> PipelineSpec:
        if name != API:
            raise UnknownPipeline(name, [SHOP.id, API])
        key = UnitKey(UnitRef(UnitKind.PIPELINE, name), f"digest of {self.epoch}", self.epoch)
        return PipelineSpec(key, (HandlerRef("pricing", "discount"),), written="before")

    async def pipelines(self) -> PipelinesView:
        misses, handshakes, events = {"not_found": 7}, {"http/1.1": 31}, {"handler failed": 2}
        silent = tuple(sorted(self.silent))
        return PipelinesView(self.epoch, (SHOP, self._api()), misses, handshakes, events, silent)

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        if name not in (SHOP.id, API):
            raise UnknownPipeline(name, [SHOP.id, API])
        workers = tuple(
            WorkerPipeline(slot, 4121 + slot, slot + 1, self.epoch, counts=PipelineCounts({"/": 310}))
            for slot in range(self.slots)
            if slot not in self.silent
        )
        strange = msgspec.structs.replace(workers[-1], deviation="it is 111111 of epoch 6 and not 9c41ab of epoch 7")
        digest = SHOP.digest if name == SHOP.id else self._api().digest
        return PipelineRegistryView(self.epoch, name, digest, (*workers[:-1], strange), tuple(self.silent))

    async def plugins(self) -> PluginsView:
        disk = DiskView(DiskState.CHANGED, "1.6.0", "88" * 32, "/srv/shop/plugins/pricing")
        broken = DiskView(DiskState.BROKEN, path="/srv/shop/plugins/tax.py", note="/srv/shop/plugins/tax.py: no id")
        copies = tuple(
            PluginCopy(slot, 4121 + slot, self.epoch, "Active", 1_700_000_000.0)
            for slot in range(self.slots)
            if slot not in self.silent
        )
        old = PluginCopy(0, 4121, self.epoch - 1, "Draining", 1_600_000_000.0, worker=SlotState.YIELDING)
        serving = PluginView("pricing", "1.5.0", self.epoch)
        pricing = ListedPlugin(
            *("pricing", "1.5.0", "77" * 32, self.epoch, serving, disk, "every 60s", 1_700_000_060.0, (old, *copies))
        )
        tax = ListedPlugin("tax", disk=broken, policy="on-change")
        return PluginsView(self.epoch, (pricing, tax), tuple(sorted(self.silent)))

    def _api(self) -> PipelineView:
        spec = self.pipeline(API)
        handlers = tuple(HandlerView(str(handler)) for handler in spec.handlers)
        return PipelineView(API, spec.key.digest, spec.key.since, handlers=handlers, edited=True)

    async def settled(self, epoch: int, milestone: Milestone) -> None:
        if not await asyncio.to_thread(self.settling.wait, 10):
            raise AssertionError(f"nobody let epoch {epoch} come as far as {milestone}")

    def scale(self, slots: int) -> None:
        if self.parted:
            raise InParts
        if slots > self.most:
            raise NoRoom(slots, self.most)
        self.slots = slots

    async def upgrade(self, origin: Origin, python: str) -> None:
        if self.upgrade_refused:
            raise UpgradeRefused(self.upgrade_refused)
        self.upgrades.append((origin, python))
        self.term += 1

    def stop(self, urgency: Urgency) -> None:
        self.stopped = urgency

    def told(self, after: int) -> tuple[Told, ...]:
        return self.teller.stream.since(after)

    def events(self, after: int | None) -> AsyncIterator[Told]:
        return self.teller.stream.follow(after)


@contextmanager
def serving(control: FakeControl, runtime: Path) -> Iterator[Path]:
    """Serve `control` below the folder `runtime`, from a loop in a thread of its own."""
    path = runtime / SOCKET_NAME
    alarms: list[ControlSocketUnserved] = []
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def call(work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    socket = ControlSocket(application(control), path, alarms.append)
    try:
        call(socket.start())
        assert alarms == []
        yield path
    finally:
        control.gate.set()
        control.settling.set()
        loop.call_soon_threadsafe(control.teller.stream.close)
        call(socket.stop())
        call(loop.shutdown_default_executor())
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
