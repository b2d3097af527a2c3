"""What operators can ask of a running supervisor: the API and everything behind it know it only by this."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from changeover.supervisor.comparison import DiffView
from changeover.supervisor.control import Explanation, HistoryLine, Milestone, RegistryView, StatusView
from changeover.supervisor.core.entries import Origin
from changeover.supervisor.core.events import Urgency
from changeover.supervisor.core.outcome import CutoverRequest, Outcome
from changeover.supervisor.pipelines import PipelineRegistryView, PipelinesView
from changeover.supervisor.plugins import PluginsView
from changeover.supervisor.remaining import LeaksView, LeasesView
from changeover.supervisor.telemetry.stream import Told
from changeover.workers.protocol.snapshot import PipelineSpec

OnProgress = Callable[[Told], None]


class Control(Protocol):
    """A running supervisor, as its operators reach it.

    Everything raises `ControlError` for what it cannot answer. Nothing here waits without a deadline,
    except `events`.
    """

    async def request_cutover(self, request: CutoverRequest, on_progress: OnProgress | None = None) -> Outcome:
        """Have something else served, or say why not; cancelling it gives up the wait, not the cutover.

        Args:
            request: What is wanted, by whom.
            on_progress: Hears everything that is told until the outcome; must not block or raise.

        Raises:
            Stopping: The server is being stopped.
        """
        ...

    def status(self) -> StatusView:
        """How the server fares now."""
        ...

    async def history(self, limit: int) -> tuple[HistoryLine, ...]:
        """The latest `limit` epochs that the journal keeps, newest first."""
        ...

    async def explain(self, epoch: int) -> Explanation:
        """All that is known of `epoch`.

        Raises:
            UnknownEpoch: The journal does not know it.
        """
        ...

    async def diff(self, before: int | None, after: int | None, origin: Origin) -> DiffView:
        """What differs between two generations.

        Args:
            before: The first epoch; None compares what serves with what is on disk.
            after: The second epoch; None for the one that serves.
            origin: Who wants to know what is on disk.

        Raises:
            UnknownEpoch: The journal does not know one of them.
            Stopping: The server is being stopped, and looks at the disk no more.
        """
        ...

    async def leases(self) -> LeasesView:
        """Ask every worker who holds which epoch."""
        ...

    async def leaks(self) -> LeaksView:
        """Ask every worker what it released that is not gone."""
        ...

    async def registry(self, slot: int) -> RegistryView:
        """Ask the worker in `slot` what it serves.

        Raises:
            UnknownSlot: There is no such slot.
            SlotEmpty: The slot has no serving worker.
            WorkerSilent: It did not answer in time.
        """
        ...

    def pipeline(self, name: str) -> PipelineSpec:
        """A pipeline of the generation that serves.

        Raises:
            UnknownPipeline: There is none of that name.
            HandlersInCode: It is a raw protocol's.
        """
        ...

    async def pipelines(self) -> PipelinesView:
        """What is meant to run, with what was counted, asked of every worker."""
        ...

    async def pipeline_registry(self, name: str) -> PipelineRegistryView:
        """Ask every worker what it really runs as the pipeline `name`.

        Raises:
            UnknownPipeline: Neither what serves nor any worker has one of that name.
        """
        ...

    async def plugins(self) -> PluginsView:
        """Every plugin: what serves, what lies on disk, and what every worker has of it."""
        ...

    async def settled(self, epoch: int, milestone: Milestone) -> None:
        """Return when `epoch`, which is committed, has come as far as `milestone`.

        What supersedes it counts as coming further. The caller sets the deadline by cancelling.

        Raises:
            UnknownEpoch: It was never committed.
        """
        ...

    def scale(self, slots: int) -> None:
        """Make it `slots` slots (at least 1); the oldest workers leave first.

        Raises:
            NoRoom: There are not enough slot numbers for so many.
            InParts: A roll in parts is under way.
            Stopping: The server is being stopped.
        """
        ...

    async def upgrade(self, origin: Origin, python: str) -> None:
        """Replace the supervisor's own program; returns when that is about to happen.

        Args:
            origin: Who asks.
            python: The interpreter that is to run the new one; empty for the one that runs now.

        Raises:
            UpgradeRefused: It does not come about.
        """
        ...

    def stop(self, urgency: Urgency) -> None:
        """Stop the server; a second, quicker stop overrides a graceful one."""
        ...

    def told(self, after: int) -> tuple[Told, ...]:
        """What is kept of what was told after event number `after`, oldest first."""
        ...

    def events(self, after: int | None) -> AsyncIterator[Told]:
        """Follow what the server tells, from the event after number `after` on (None: from now on)."""
        ...
