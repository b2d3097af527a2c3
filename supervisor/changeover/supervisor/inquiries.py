"""What workers are asked for whoever looks: leases, leaks, registries, pipelines, plugins."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence

from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.chronicle import Chronicle
from changeover.supervisor.control import RegistryView
from changeover.supervisor.core import child, events
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.supervisor.core.events import Event, Question
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.core.records.worker import WorkerExited
from changeover.supervisor.core.view import Overview, SlotPicture
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
from changeover.supervisor.raw_pipelines import raw_lines, raw_spec, raw_views
from changeover.supervisor.remaining import LeaksView, LeasesView, SlotLeaks, SlotLeases
from changeover.supervisor.surveying import Surveying
from changeover.supervisor.telemetry.totals import Totals
from changeover.supervisor.unanswerable import SlotEmpty, UnknownPipeline, UnknownSlot, WorkerSilent
from changeover.supervisor.views import plugin_views, serving_of, slot_state
from changeover.workers.protocol.identity import WorkerId
from changeover.workers.protocol.messages import TellLeases, TellPipelines, TellRegistry, WorkerMessage
from changeover.workers.protocol.plugin_messages import TellLeaks, TellPlugins
from changeover.workers.protocol.snapshot import Snapshot

ANSWER = 2.0
"""Seconds that a worker has to answer a question."""

Found = Sequence[tuple[SlotPicture, WorkerMessage | None]]
"""Who was asked, with the answer; None where there is none."""


def _serves(slot: SlotPicture) -> bool:
    return slot.state is child.State.SERVING


def _may_hold(slot: SlotPicture) -> bool:
    """Whether requests may have begun in a worker, whatever becomes of it: they live on while it leaves."""
    return slot.worker is not None and (slot.epoch > 0 or slot.adopted)


class Inquiries:
    """Asks workers, and lays out what they answer.

    Args:
        picture: Reads the core.
        feed: Puts an event to the core.
        tickets: Numbers for questions.
        chronicle: The latest of what was told.
        totals: What workers counted.
        survey: Looks at what lies on disk; blocks on it.
        due: Policy -> seconds until the next look by it.
    """

    def __init__(
        self,
        picture: Callable[[], Overview],
        feed: Callable[[Event], None],
        tickets: Iterator[int],
        chronicle: Chronicle,
        totals: Totals,
        survey: Callable[[Snapshot | None, frozenset[Held], tuple[Quarantined, ...]], Survey],
        due: Callable[[], dict[str, float]],
    ) -> None:
        self._picture = picture
        self._feed = feed
        self._tickets = tickets
        self._chronicle = chronicle
        self._totals = totals
        self._surveying = Surveying(picture, survey)
        self._due = due
        self._waiting: dict[int, _Waiting] = {}

    def answer(self, ticket: int, message: WorkerMessage | None) -> None:
        """Hand a worker's answer to whoever waits for it."""
        if ticket in self._waiting:
            self._waiting[ticket].hear(message)

    def hear(self, record: Record) -> None:
        """Let nobody wait for a worker that is dead."""
        if isinstance(record, WorkerExited):
            for waiting in self._waiting.values():
                if waiting.worker == record.worker:
                    waiting.hear(None)

    async def leases(self) -> LeasesView:
        """See `Control`."""
        found = await self._ask_all(Question.LEASES, _may_hold)
        return LeasesView(
            self._picture().epoch,
            tuple(
                SlotLeases(slot.slot, slot.pid, answer.leases, slot_state(slot))
                for slot, answer in found
                if isinstance(answer, TellLeases)
            ),
            self._silent(found),
        )

    async def leaks(self) -> LeaksView:
        """See `Control`."""
        found = await self._ask_all(Question.LEAKS, _may_hold)
        return LeaksView(
            self._picture().epoch,
            tuple(
                SlotLeaks(slot.slot, slot.pid, answer.leaks, answer.resident, answer.unnamed, slot_state(slot))
                for slot, answer in found
                if isinstance(answer, TellLeaks)
            ),
            self._silent(found),
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

    async def pipelines(self) -> PipelinesView:
        """See `Control`."""
        found = await self._ask_all(Question.PIPELINES)
        overview, counts = self._picture(), self._totals.total()
        serving = serving_of(overview)
        told = [answer for _, answer in found if isinstance(answer, TellPipelines)]
        return PipelinesView(
            overview.epoch,
            (*pipeline_views(serving, counts, told), *raw_views(serving, counts, told)),
            counts.misses,
            counts.handshakes,
            counts.events,
            self._silent(found),
        )

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        """See `Control`."""
        found = await self._ask_all(Question.PIPELINES)
        overview = self._picture()
        serving = serving_of(overview)
        spec = pipeline_spec(serving, name) or raw_spec(serving, name)
        workers = tuple(
            worker_pipeline(slot.slot, slot.pid, answer, spec, name)
            for slot, answer in found
            if isinstance(answer, TellPipelines)
        )
        if spec is None and all(worker.pipeline is None for worker in workers):
            totals = self._totals.total()
            raise UnknownPipeline(
                name, [line.id for line in (*pipeline_lines(serving, totals), *raw_lines(serving, totals))]
            )
        digest = "" if spec is None else spec.key.digest
        return PipelineRegistryView(overview.epoch, name, digest, workers, self._silent(found))

    async def plugins(self) -> PluginsView:
        """See `Control`."""
        found, survey = await asyncio.gather(self._ask_all(Question.PLUGINS, _may_hold), self._surveying.look())
        overview, now = self._picture(), time.time()
        told = [
            PluginsTold(slot.slot, slot.pid, slot_state(slot), answer.plugins)
            for slot, answer in found
            if isinstance(answer, TellPlugins)
        ]
        return PluginsView(
            overview.epoch,
            listed(
                serving_of(overview),
                plugin_views(overview, self._chronicle.degraded),
                survey,
                told,
                {policy: now + seconds for policy, seconds in self._due().items()},
            ),
            self._silent(found),
            survey.problem,
        )

    async def _ask_all(self, question: Question, whom: Callable[[SlotPicture], bool] = _serves) -> Found:
        asked = [slot for slot in self._picture().slots if whom(slot)]
        told = await asyncio.gather(*(self._ask(slot, question) for slot in asked))
        return tuple(zip(asked, told, strict=True))

    async def _ask(self, slot: SlotPicture, question: Question) -> WorkerMessage | None:
        ticket, waiting = next(self._tickets), _Waiting(slot.worker)
        self._waiting[ticket] = waiting
        self._feed(events.Asked(ticket, slot.slot, question))
        try:
            async with asyncio.timeout(ANSWER):
                return await waiting.answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[ticket]

    def _silent(self, found: Found) -> tuple[int, ...]:
        """Who did not answer. Who is gone meanwhile has nothing to tell."""
        living = {slot.worker for slot in self._picture().slots}
        return tuple(slot.slot for slot, answer in found if answer is None and slot.worker in living)


class _Waiting:
    """Somebody waits for the answer of one worker."""

    __slots__ = ("answer", "worker")

    def __init__(self, worker: WorkerId | None) -> None:
        self.worker = worker
        self.answer: asyncio.Future[WorkerMessage | None] = asyncio.get_running_loop().create_future()

    def hear(self, message: WorkerMessage | None) -> None:
        """The worker answered, or never will; what comes later is not heard."""
        if not self.answer.done():
            self.answer.set_result(message)
