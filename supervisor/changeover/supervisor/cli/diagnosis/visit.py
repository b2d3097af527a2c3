"""The examination itself: boots, asks, swaps, rolls, and writes down what it met. Judges nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import msgspec

from changeover.supervisor.api.started import Server
from changeover.supervisor.cli.diagnosis.display import Display
from changeover.supervisor.cli.diagnosis.looking import Observer
from changeover.supervisor.cli.diagnosis.measurements import Answered, Change, Look, Measured, Plan
from changeover.supervisor.cli.diagnosis.probe import ID, install
from changeover.supervisor.cli.outcomes import refusal_lines
from changeover.supervisor.cli.tour.answer import Answer, NoResponse
from changeover.supervisor.cli.tour.load import Asking, Load
from changeover.supervisor.control import Milestone, SlotState, StatusView
from changeover.supervisor.core.outcome import Committed, Outcome, Refused, Strategy
from changeover.supervisor.errors import SupervisorError
from changeover.supervisor.telemetry.amounts import seconds
from changeover.workers.protocol.examination import Examination

WARM = 1.0
"""Seconds of load before anything is measured: pools fill, caches too."""
KEEPING, LEAVING = 4, 2
"""Clients that keep their connection, and that make one for each request."""
PAUSE = 0.01
"""Seconds between two requests of a client."""
GONE = 60.0
"""Seconds that the processes which a roll replaced have to leave; more than their own deadline for requests."""
LOOK = 0.02
"""Seconds between two looks whether they have."""
TRACEBACK = 8
ERROR = 500


class NothingToExamine(SupervisorError):
    """There is nothing to examine: the path that was to be asked for is not answered."""


class Series(msgspec.Struct, frozen=True):
    """Changes one after the other, under load.

    Attributes:
        changes: All that were made, the last one failed if one did.
        load: What the load met.
        looks: What was there between the parts.
    """

    changes: tuple[Change, ...] = ()
    load: Answered = Answered()
    looks: tuple[Look, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether the last change did."""
        return bool(self.changes) and bool(self.changes[-1].failure)


class Visit:
    """Examines one running server.

    Args:
        server: Serves the application, and the probe.
        plan: What to do.
        plugins: The folder that the probe lies in.
        display: Shows how far it is.
    """

    def __init__(self, server: Server, plan: Plan, plugins: Path, display: Display) -> None:
        self._server = server
        self._plan = plan
        self._plugins = plugins
        self._display = display
        self._observer = Observer(server)
        self._keeping = KEEPING
        self._number = 0

    async def measure(self, boot: float, alone: Examination | None) -> Measured:
        """Do all of it.

        Args:
            boot: Seconds that the server took to serve.
            alone: What came of importing the application by itself.

        Raises:
            NothingToExamine: The path is answered with an error of the server, or not at all.
            Disturbed: A worker ended, or does not answer.
            SupervisorError: The server ended, or fell silent.
        """
        status = await self._first_answer()
        first = await self._warm_up(status)
        swapped = await self._series("swaps", _halves(self._plan.swaps), self._swap)
        rolls = () if swapped.failed or not self._plan.rolls else (1, *_halves(self._plan.rolls))
        rolled = await self._series("rolls", rolls, self._roll)
        return Measured(
            plan=self._plan,
            boot=boot,
            status=status,
            alone=alone,
            swaps=swapped.changes,
            swaps_load=swapped.load,
            swaps_looks=(first, *swapped.looks),
            rolls=rolled.changes,
            rolls_load=rolled.load,
            rolls_looks=rolled.looks,
        )

    async def _first_answer(self) -> int:
        path = self._plan.path
        try:
            answer = await self._observer.ask(path)
        except (OSError, asyncio.IncompleteReadError, NoResponse) as error:
            raise NothingToExamine(
                f"GET {path} is not answered ({error!r}): name a path that is, with --path"
            ) from error
        if answer.status >= ERROR:
            raise NothingToExamine(f"GET {path} is answered with {answer.line}: name a path that works, with --path")
        if _closes(answer):
            self._keeping = 0
        return answer.status

    async def _warm_up(self, status: int) -> Look:
        self._display.begin("warm up", 1)
        async with self._load() as load:
            await asyncio.sleep(WARM)
        self._display.end(f"{len(load.samples):,} requests   GET {self._plan.path} is answered with {status}")
        return await self._observer.look(0)

    async def _series(self, name: str, goals: Iterable[int], change: Callable[[], Awaitable[Change]]) -> Series:
        """Make changes, and look around whenever so many are made."""
        series = Series()
        goals = sorted({goal for goal in goals if goal})
        if not goals:
            return series
        self._display.begin(name, goals[-1])
        for goal in goals:
            series = await self._part(series, goal, change)
            if series.failed:
                break
        self._display.end(_told(series, goals[-1]))
        return series

    async def _part(self, series: Series, goal: int, change: Callable[[], Awaitable[Change]]) -> Series:
        changes = list(series.changes)
        async with self._load() as load:
            while len(changes) < goal:
                changes.append(await change())
                self._display.step()
                if changes[-1].failure:
                    break
        answered = series.load + Answered(len(load.samples), tuple(load.failures), load.closes)
        look = await self._observer.look(answered.requests)
        return Series(tuple(changes), answered, (*series.looks, look))

    async def _swap(self) -> Change:
        self._number += 1
        await asyncio.to_thread(install, self._number, self._plugins)
        return await self._timed(
            self._server.reload(only=(ID,), strategy=Strategy.SWAP, until=Milestone.RETIRED, label=f"{self._number}")
        )

    async def _roll(self) -> Change:
        change = await self._timed(self._server.reload(strategy=Strategy.ROLL, force=True))
        if change.failure:
            return change
        began = time.monotonic()
        while not _alone(status := await self._server.status(), self._plan.workers):
            if time.monotonic() - began > GONE:
                there = ", ".join(f"slot {slot.slot} (pid {slot.pid}) {slot.state.value}" for slot in status.slots)
                return Change(change.took, GONE, (f"committed, and not settled {seconds(GONE)} later: {there}",))
            await asyncio.sleep(LOOK)
        return Change(change.took, time.monotonic() - began)

    async def _timed(self, asked: Awaitable[Outcome]) -> Change:
        began = time.monotonic()
        outcome = await asked
        took = time.monotonic() - began
        return Change(took, failure=() if isinstance(outcome, Committed) else _reason(outcome))

    def _load(self) -> Load:
        host, port = self._observer.address
        leaving = LEAVING if self._keeping else KEEPING + LEAVING
        asking = Asking(self._plan.path, lambda status: status < ERROR, PAUSE, kept=0)
        return Load(host, port, self._keeping, leaving, asking)


def _halves(count: int) -> tuple[int, int]:
    return (count + 1) // 2, count


def _closes(answer: Answer) -> bool:
    """Whether the application has connections closed of its own accord."""
    return answer.fields.get(b"connection", b"").lower() == b"close"


def _alone(status: StatusView, workers: int) -> bool:
    serving = [slot for slot in status.slots if slot.state is SlotState.SERVING and slot.epoch == status.epoch]
    return len(serving) == len(status.slots) == workers


def _reason(outcome: Outcome) -> tuple[str, ...]:
    if not isinstance(outcome, Refused):
        return (f"it ended as {type(outcome).__name__}",)
    shown = (line for refusal in outcome.refusals[:1] for line in refusal_lines(refusal, TRACEBACK))
    return (outcome.reason or "refused", *(line.removeprefix("  ") for line in shown))


def _told(series: Series, wanted: int) -> str:
    took = [change.took for change in series.changes]
    made = len(took) - series.failed
    return f"{made}/{wanted}  {seconds(sum(took) / len(took))} each   {series.load.requests:,} requests"
