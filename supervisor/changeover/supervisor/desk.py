"""Where operators are served: their wishes become events, what is decided becomes their answers."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from importlib.metadata import version

from changeover.supervisor.addresses import Addresses
from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.chronicle import Chronicle, line
from changeover.supervisor.control import (
    Explanation,
    HistoryLine,
    LeasesView,
    Milestone,
    RegistryView,
    SlotLeases,
    StatusView,
    UnitLine,
)
from changeover.supervisor.core import child, cutover, events, retirement, shutdown
from changeover.supervisor.core.entries import Aborted, Held, Origin, Quarantined
from changeover.supervisor.core.events import Event, Question, Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.view import Overview, SlotPicture
from changeover.supervisor.journal.journal import Journal
from changeover.supervisor.operations import OnProgress
from changeover.supervisor.pipelines import (
    PipelineRegistryView,
    PipelinesView,
    pipeline_lines,
    pipeline_spec,
    pipeline_views,
    worker_pipeline,
)
from changeover.supervisor.plugins import PluginsView, listed
from changeover.supervisor.plugins import Told as PluginsTold
from changeover.supervisor.telemetry.counts import Counts
from changeover.supervisor.telemetry.stream import Stream, Told
from changeover.supervisor.telemetry.totals import Totals
from changeover.supervisor.unanswerable import (
    InParts,
    NoRoom,
    SlotEmpty,
    Stopping,
    UnknownEpoch,
    UnknownPipeline,
    UnknownSlot,
    UpgradeRefused,
    WorkerSilent,
)
from changeover.supervisor.views import (
    STOPPING,
    alarms,
    blindness,
    edited,
    failed_upgrade,
    journal_state,
    plugin_views,
    quarantine_views,
    rescued,
    slot_view,
    tried_again,
    unserved_disk,
    zygote_view,
)
from changeover.workers.protocol.messages import TellLeases, TellPipelines, TellRegistry, WorkerMessage
from changeover.workers.protocol.plugin_messages import TellPlugins
from changeover.workers.protocol.snapshot import OWN, PipelineSpec, PluginSpec, Snapshot, UnitSpec

ANSWER = 2.0
"""Seconds that a worker has to answer a question."""
SURVEY = 5.0
"""Seconds that the disk has to show what lies there."""


class Desk:
    """Implements `Control` over one machine.

    Args:
        name: The service's name.
        addresses: What is listened on.
        picture: Pictures the machine.
        feed: Takes events for it.
        stop: Ends the service, queues emptied first.
        journal: Answers what was.
        stream: Everything that is told.
        counts: Totals.
        chronicle: The latest of what was told.
        totals: What workers counted.
        survey: Looks at what lies on disk; blocks on it.
        due: Policy -> seconds until the next look by it.
    """

    def __init__(
        self,
        name: str,
        addresses: Addresses,
        picture: Callable[[], Overview],
        feed: Callable[[Event], None],
        stop: Callable[[Urgency], None],
        journal: Journal,
        stream: Stream,
        counts: Callable[[], Counts],
        chronicle: Chronicle,
        totals: Totals,
        survey: Callable[[Snapshot | None, frozenset[Held], tuple[Quarantined, ...]], Survey],
        due: Callable[[], dict[str, float]],
    ) -> None:
        self._name = name
        self._addresses = addresses
        self._picture = picture
        self._feed = feed
        self._stop = stop
        self._journal = journal
        self._stream = stream
        self._counts = counts
        self._chronicle = chronicle
        self._totals = totals
        self._survey = survey
        self._due = due
        self._started = time.time()
        self._tickets = itertools.count(1)
        self._outcomes: dict[int, asyncio.Future[Outcome]] = {}
        self._upgrades: dict[int, asyncio.Future[str]] = {}
        self._answers: dict[int, asyncio.Future[WorkerMessage | None]] = {}

    def resolve(self, ticket: int, outcome: Outcome) -> None:
        """Hand an outcome to whoever waits for it."""
        waiting = self._outcomes.pop(ticket, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(outcome)

    def upgraded(self, ticket: int, refused: str) -> None:
        """Hand on whether an upgrade comes about."""
        waiting = self._upgrades.pop(ticket, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(refused)

    def answer(self, ticket: int, message: WorkerMessage | None) -> None:
        """Hand a worker's answer to whoever waits for it."""
        waiting = self._answers.pop(ticket, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def request_cutover(self, request: CutoverRequest, on_progress: OnProgress | None = None) -> Outcome:
        """See `Control`."""
        if self._picture().stopping is not shutdown.State.RUNNING:
            raise Stopping
        ticket = next(self._tickets)
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._outcomes[ticket] = outcome
        with self._stream.heard_by(on_progress):
            self._feed(events.CutoverRequested(ticket, request))
            return await outcome

    def status(self) -> StatusView:
        """See `Control`."""
        now, wall, overview = asyncio.get_running_loop().time(), time.time(), self._picture()
        slots = tuple(slot_view(slot, now, wall) for slot in overview.slots)
        told = self._chronicle
        return StatusView(
            name=self._name,
            version=version("changeover"),
            pid=os.getpid(),
            term=overview.term,
            started=self._started,
            phase=overview.phase,
            epoch=overview.epoch,
            candidate=overview.candidate,
            serving=told.serving if overview.epoch else None,
            listen=self._addresses.shown(),
            leaving=self._addresses.leaving(),
            slots=slots,
            zygotes=tuple(zygote_view(zygote, now, wall) for zygote in overview.zygotes),
            interpreter=OWN if overview.committed is None else overview.committed.interpreter,
            plugins=plugin_views(overview, told.degraded),
            refused=told.refused,
            journal=journal_state(overview),
            held=tuple(sorted(set(map(str, overview.held)))),
            edited=edited(overview),
            automatic=told.automatic,
            quarantine=quarantine_views(overview, told.aborted) if told.automatic else (),
            stopping=STOPPING[overview.stopping],
            parted=overview.parted,
            part="" if overview.part is None else str(overview.part),
            alarms=(
                *alarms(overview, told.degraded, told.unserved),
                *rescued(told.serving),
                *blindness(told.blind),
                *unserved_disk(told.unserved_disk, overview.epoch),
                *failed_upgrade(told.fell_back),
            ),
            fell_back=told.fell_back,
            counts=self._counts(),
            pipelines=pipeline_lines(_serving(overview), self._totals.total()),
        )

    async def history(self, limit: int) -> tuple[HistoryLine, ...]:
        """See `Control`."""
        overview = self._picture()
        stories = await self._journal.history(limit)
        return tuple(line(story, overview.serving, frozenset(overview.unretired)) for story in stories)

    async def explain(self, epoch: int) -> Explanation:
        """See `Control`."""
        story = await self._journal.explain(epoch)
        if story is None:
            raise UnknownEpoch(epoch)
        overview, candidate = self._picture(), story.given.candidate
        return Explanation(
            line=line(story, overview.serving, frozenset(overview.unretired)),
            refusals=story.decision.refusals if isinstance(story.decision, Aborted) else (),
            units=tuple(_unit_line(unit) for unit in candidate.units),
            routes=candidate.routes,
            listen=candidate.listen,
            ended=tuple(words for held, words in self._chronicle.ended if held == epoch),
            again=tried_again(story.decision, overview) if self._chronicle.automatic else "",
        )

    async def leases(self) -> LeasesView:
        """See `Control`."""
        found = await self._ask_all(Question.LEASES)
        return LeasesView(
            self._picture().epoch,
            tuple(
                SlotLeases(slot.slot, slot.pid, answer.leases)
                for slot, answer in found
                if isinstance(answer, TellLeases)
            ),
            tuple(slot.slot for slot, answer in found if answer is None),
        )

    async def registry(self, slot: int) -> RegistryView:
        """See `Control`."""
        pictures = {picture.slot: picture for picture in self._picture().slots}
        if slot not in pictures:
            raise UnknownSlot(slot, sorted(pictures))
        if pictures[slot].worker is None:
            raise SlotEmpty(slot)
        answer = await self._ask(pictures[slot], Question.REGISTRY)
        if not isinstance(answer, TellRegistry):
            raise WorkerSilent(slot, ANSWER)
        return RegistryView(slot, pictures[slot].pid, answer.worker.incarnation, answer.registry)

    def pipeline(self, name: str) -> PipelineSpec:
        """See `Control`."""
        spec = pipeline_spec(_serving(self._picture()), name)
        if spec is None:
            raise UnknownPipeline(name, [line.id for line in self.status().pipelines])
        return spec

    async def pipelines(self) -> PipelinesView:
        """See `Control`."""
        found = await self._ask_all(Question.PIPELINES)
        overview, counts = self._picture(), self._totals.total()
        told = [answer for _, answer in found if isinstance(answer, TellPipelines)]
        return PipelinesView(
            overview.epoch,
            pipeline_views(_serving(overview), counts, told),
            counts.misses,
            counts.handshakes,
            counts.events,
            tuple(slot.slot for slot, answer in found if answer is None),
        )

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        """See `Control`."""
        found = await self._ask_all(Question.PIPELINES)
        overview = self._picture()
        spec = pipeline_spec(_serving(overview), name)
        workers = tuple(
            worker_pipeline(slot.slot, slot.pid, answer, spec, name)
            for slot, answer in found
            if isinstance(answer, TellPipelines)
        )
        if spec is None and all(worker.pipeline is None for worker in workers):
            raise UnknownPipeline(name, [line.id for line in self.status().pipelines])
        silent = tuple(slot.slot for slot, answer in found if answer is None)
        return PipelineRegistryView(overview.epoch, name, "" if spec is None else spec.key.digest, workers, silent)

    async def plugins(self) -> PluginsView:
        """See `Control`."""
        found, survey = await asyncio.gather(self._ask_all(Question.PLUGINS), self._surveyed())
        overview, now = self._picture(), time.time()
        told = [
            PluginsTold(slot.slot, slot.pid, answer.plugins)
            for slot, answer in found
            if isinstance(answer, TellPlugins)
        ]
        return PluginsView(
            overview.epoch,
            listed(
                _serving(overview),
                plugin_views(overview, self._chronicle.degraded),
                survey,
                told,
                {policy: now + seconds for policy, seconds in self._due().items()},
            ),
            tuple(slot.slot for slot, answer in found if answer is None),
            survey.problem,
        )

    async def _surveyed(self) -> Survey:
        overview = self._picture()
        try:
            async with asyncio.timeout(SURVEY):
                return await asyncio.to_thread(self._survey, _serving(overview), overview.held, overview.quarantine)
        except TimeoutError:
            return Survey(problem=f"the disk did not answer within {SURVEY:g} s")

    async def settled(self, epoch: int, milestone: Milestone) -> None:
        """See `Control`."""
        overview = self._picture()
        if epoch > overview.epoch:
            raise UnknownEpoch(epoch)
        async with aclosing(self._stream.follow()) as following:
            while not _reached(self._picture(), epoch, milestone):
                if await anext(following, None) is None:
                    raise Stopping

    def scale(self, slots: int) -> None:
        """See `Control`."""
        overview = self._picture()
        if overview.stopping is not shutdown.State.RUNNING:
            raise Stopping
        if overview.in_parts:
            raise InParts
        if slots > max(overview.most, overview.wanted):
            raise NoRoom(slots, overview.most)
        self._feed(events.ScaleRequested(slots))

    async def upgrade(self, origin: Origin, python: str) -> None:
        """See `Control`."""
        ticket = next(self._tickets)
        self._upgrades[ticket] = decided = asyncio.get_running_loop().create_future()
        self._feed(events.UpgradeRequested(ticket, origin, python))
        if refused := await decided:
            raise UpgradeRefused(refused)

    def stop(self, urgency: Urgency) -> None:
        """See `Control`."""
        self._stop(urgency)

    def told(self, after: int) -> tuple[Told, ...]:
        """See `Control`."""
        return self._stream.since(after)

    def events(self, after: int | None) -> AsyncIterator[Told]:
        """See `Control`."""
        return self._stream.follow(after)

    async def _ask_all(self, question: Question) -> list[tuple[SlotPicture, WorkerMessage | None]]:
        serving = [slot for slot in self._picture().slots if slot.state is child.State.SERVING]
        told = await asyncio.gather(*(self._ask(slot, question) for slot in serving))
        return list(zip(serving, told, strict=True))

    async def _ask(self, slot: SlotPicture, question: Question) -> WorkerMessage | None:
        ticket = next(self._tickets)
        answer: asyncio.Future[WorkerMessage | None] = asyncio.get_running_loop().create_future()
        self._answers[ticket] = answer
        self._feed(events.Asked(ticket, slot.slot, question))
        try:
            async with asyncio.timeout(ANSWER):
                return await answer
        except TimeoutError:
            return None
        finally:
            self._answers.pop(ticket, None)


def _serving(overview: Overview) -> Snapshot | None:
    return overview.committed if overview.epoch else None


def _reached(overview: Overview, epoch: int, milestone: Milestone) -> bool:
    if overview.epoch == epoch and overview.cutover is cutover.State.ACTIVATING:
        return False
    left = [leftover for leftover in overview.leftovers if leftover.epoch < epoch]
    match milestone:
        case Milestone.ACTIVE:
            return True
        case Milestone.DRAINED:
            return not any(leftover.state is retirement.State.DRAINING for leftover in left)
        case Milestone.RETIRED:
            return not left


def _unit_line(unit: UnitSpec) -> UnitLine:
    key = unit.key
    version = unit.version if isinstance(unit, PluginSpec) else ""
    handlers = tuple(map(str, unit.handlers)) if isinstance(unit, PipelineSpec) else ()
    edited = isinstance(unit, PipelineSpec) and unit.written != ""
    return UnitLine(str(key.ref), version, key.digest, key.since, handlers, edited)
