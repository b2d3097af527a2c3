"""What workers are asked for whoever looks: leases, leaks, registries, pipelines, plugins."""

import asyncio
import time
from collections.abc import Callable, Iterator

from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.chronicle import Chronicle
from changeover.supervisor.control import LeaksView, LeasesView, RegistryView, SlotLeaks, SlotLeases
from changeover.supervisor.core import child, events
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.supervisor.core.events import Event, Question
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
from changeover.supervisor.surveying import Surveying
from changeover.supervisor.telemetry.totals import Totals
from changeover.supervisor.unanswerable import SlotEmpty, UnknownPipeline, UnknownSlot, WorkerSilent
from changeover.supervisor.views import plugin_views, serving_of
from changeover.workers.protocol.messages import TellLeases, TellPipelines, TellRegistry, WorkerMessage
from changeover.workers.protocol.plugin_messages import TellLeaks, TellPlugins
from changeover.workers.protocol.snapshot import Snapshot

ANSWER = 2.0
"""Seconds that a worker has to answer a question."""


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
        self._answers: dict[int, asyncio.Future[WorkerMessage | None]] = {}

    def answer(self, ticket: int, message: WorkerMessage | None) -> None:
        """Hand a worker's answer to whoever waits for it."""
        waiting = self._answers.pop(ticket, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

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

    async def leaks(self) -> LeaksView:
        """See `Control`."""
        found = await self._ask_all(Question.LEAKS)
        return LeaksView(
            self._picture().epoch,
            tuple(
                SlotLeaks(slot.slot, slot.pid, answer.leaks, answer.resident, answer.unnamed)
                for slot, answer in found
                if isinstance(answer, TellLeaks)
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
            tuple(slot.slot for slot, answer in found if answer is None),
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
        silent = tuple(slot.slot for slot, answer in found if answer is None)
        return PipelineRegistryView(overview.epoch, name, "" if spec is None else spec.key.digest, workers, silent)

    async def plugins(self) -> PluginsView:
        """See `Control`."""
        found, survey = await asyncio.gather(self._ask_all(Question.PLUGINS), self._surveying.look())
        overview, now = self._picture(), time.time()
        told = [
            PluginsTold(slot.slot, slot.pid, answer.plugins)
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
            tuple(slot.slot for slot, answer in found if answer is None),
            survey.problem,
        )

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
