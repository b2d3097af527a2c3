"""Where operators are served: their wishes become events, what is decided becomes their answers."""

import asyncio
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial

from changeover.supervisor.addresses import Addresses
from changeover.supervisor.artifacts.difference import ReadFiles, file_changes
from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.chronicle import Chronicle, line
from changeover.supervisor.comparison import DiffView, compare, compare_disk
from changeover.supervisor.control import Explanation, HistoryLine, Milestone, RegistryView, StatusView, UnitLine
from changeover.supervisor.core import events, shutdown
from changeover.supervisor.core.entries import Aborted, Held, Origin, Quarantined
from changeover.supervisor.core.events import Event, Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.view import Overview
from changeover.supervisor.draining import draining
from changeover.supervisor.inquiries import Inquiries
from changeover.supervisor.journal.journal import Journal
from changeover.supervisor.milestones import reached
from changeover.supervisor.operations import OnProgress
from changeover.supervisor.pipelines import (
    PipelineRegistryView,
    PipelinesView,
    pipeline_lines,
    pipeline_spec,
)
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.raw_pipelines import raw_lines, raw_spec
from changeover.supervisor.release import VERSION
from changeover.supervisor.remaining import LeaksView, LeasesView
from changeover.supervisor.telemetry.counts import Counts
from changeover.supervisor.telemetry.stream import Stream, Told
from changeover.supervisor.telemetry.totals import Totals
from changeover.supervisor.unanswerable import (
    HandlersInCode,
    InParts,
    NoRoom,
    Stopping,
    UnknownEpoch,
    UnknownPipeline,
    UpgradeRefused,
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
    serving_of,
    slot_view,
    tried_again,
    unserved_disk,
    zygote_view,
)
from changeover.workers.protocol.messages import WorkerMessage
from changeover.workers.protocol.snapshot import EMPTY, OWN, PipelineSpec, PluginSpec, Snapshot, UnitSpec


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
        tell_rest: Tells at once what waits to be told: who asks is answered with all that happened before.
        counts: Totals.
        chronicle: The latest of what was told.
        totals: What workers counted.
        read_files: Reads an artifact.
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
        tell_rest: Callable[[], None],
        counts: Callable[[], Counts],
        chronicle: Chronicle,
        totals: Totals,
        read_files: ReadFiles,
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
        self._tell_rest = tell_rest
        self._counts = counts
        self._chronicle = chronicle
        self._totals = totals
        self._read_files = read_files
        self._started = time.time()
        self._tickets = itertools.count(1)
        self._outcomes: dict[int, asyncio.Future[Outcome]] = {}
        self._upgrades: dict[int, asyncio.Future[str]] = {}
        self._inquiries = Inquiries(picture, feed, self._tickets, chronicle, totals, survey, due)

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
        self._inquiries.answer(ticket, message)

    def hear(self, record: Record) -> None:
        """Take note of a record."""
        self._inquiries.hear(record)

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
        self._tell_rest()
        now, wall, overview = asyncio.get_running_loop().time(), time.time(), self._picture()
        slots = tuple(slot_view(slot, now, wall) for slot in overview.slots)
        told, serving, totals = self._chronicle, serving_of(overview), self._totals.total()
        return StatusView(
            name=self._name,
            version=VERSION,
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
            draining=draining(overview),
            refused=told.refused,
            journal=journal_state(overview),
            held=tuple(sorted(set(map(str, overview.held)))),
            edited=edited(overview),
            resident=len(overview.serving.union(overview.unretired)),
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
            refused_upgrade=told.refused_upgrade,
            refused_request=told.refused_request,
            cutover=overview.cutover.value,
            counts=self._counts(),
            pipelines=(*pipeline_lines(serving, totals), *raw_lines(serving, totals)),
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

    async def diff(self, before: int | None, after: int | None, origin: Origin) -> DiffView:
        """See `Control`."""
        if before is None:
            outcome = await self.request_cutover(CutoverRequest(origin, dry_run=True))
            return compare_disk(self._picture().committed or EMPTY, outcome)
        one = await self._candidate(before)
        other = await self._candidate(self._picture().epoch if after is None else after)
        return await asyncio.to_thread(compare, one, other, partial(file_changes, read=self._read_files))

    async def _candidate(self, epoch: int) -> Snapshot:
        story = await self._journal.explain(epoch)
        if story is None:
            raise UnknownEpoch(epoch)
        return story.given.candidate

    async def leases(self) -> LeasesView:
        """See `Control`."""
        return await self._inquiries.leases()

    async def leaks(self) -> LeaksView:
        """See `Control`."""
        return await self._inquiries.leaks()

    async def registry(self, slot: int) -> RegistryView:
        """See `Control`."""
        return await self._inquiries.registry(slot)

    async def pipelines(self) -> PipelinesView:
        """See `Control`."""
        return await self._inquiries.pipelines()

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        """See `Control`."""
        return await self._inquiries.pipeline_registry(name)

    async def plugins(self) -> PluginsView:
        """See `Control`."""
        return await self._inquiries.plugins()

    def pipeline(self, name: str) -> PipelineSpec:
        """See `Control`."""
        serving = serving_of(self._picture())
        spec = pipeline_spec(serving, name)
        if spec is None and raw_spec(serving, name) is not None:
            raise HandlersInCode(name)
        if spec is None:
            raise UnknownPipeline(name, [line.id for line in pipeline_lines(serving, self._totals.total())])
        return spec

    async def settled(self, epoch: int, milestone: Milestone) -> None:
        """See `Control`."""
        overview = self._picture()
        if epoch > overview.epoch:
            raise UnknownEpoch(epoch)
        async with aclosing(self._stream.follow()) as following:
            while not reached(self._picture(), epoch, milestone):
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
        self._tell_rest()
        return self._stream.since(after)

    def events(self, after: int | None) -> AsyncIterator[Told]:
        """See `Control`."""
        return self._stream.follow(after)


def _unit_line(unit: UnitSpec) -> UnitLine:
    key = unit.key
    version, artifact = (unit.version, unit.artifact) if isinstance(unit, PluginSpec) else ("", "")
    handlers = tuple(map(str, unit.handlers)) if isinstance(unit, PipelineSpec) else ()
    edited = isinstance(unit, PipelineSpec) and unit.written != ""
    return UnitLine(str(key.ref), version, key.digest, key.since, handlers, edited, artifact)
