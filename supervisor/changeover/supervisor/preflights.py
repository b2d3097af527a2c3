"""Has candidates rehearsed: orders it of a zygote, waits no longer than it may last, and reads what is reported.

A report comes from below a process that ran the candidate's code: it is limited in size and decoded strictly, and the
worst that a lie in it does is that workers are asked.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from changeover.supervisor.cohorts import Cohorts
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.core.entries import SlotRefusal
from changeover.supervisor.core.events import Event, PreflightPassed, PreflightRefused, PreflightSkipped
from changeover.supervisor.core.records.preflight import PreflightWeak
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.process.zygote import Zygote
from changeover.supervisor.reported import shown
from changeover.supervisor.tries import Try
from changeover.workers.protocol.codec import MalformedFrame
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport, decode_report

LATE = 3.5
"""Seconds past its deadline that a rehearsal has to say where it stood still; then it is ended from here."""
OLDER = "what serves was started by an older program, whose zygotes rehearse nothing: roll once, and they do"

Order = Callable[[Preflight, tuple[str, ...]], RehearsalOrder]
"""Makes the order for a rehearsal, below a zygote in which these modules started threads when it preloaded."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    zygote: Zygote
    trying: Try
    deadline: asyncio.TimerHandle


class Preflights:
    """Every rehearsal of a candidate.

    Args:
        loop: The supervisor's loop.
        cohorts: Has the zygotes.
        order: Makes the order.
        feed: Takes how each of them ended, once.
        tell: Takes records.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        cohorts: Cohorts,
        order: Order,
        feed: Callable[[Event], None],
        tell: Callable[[Record], None],
    ) -> None:
        self._loop = loop
        self._cohorts = cohorts
        self._order = order
        self._feed = feed
        self._tell = tell
        self._under_way: dict[int, _UnderWay] = {}
        self._missing: set[tuple[str, ...]] = set()

    def begin(self, effect: Preflight) -> None:
        """Have a candidate rehearsed beside what serves."""
        epoch, zygote = effect.candidate.epoch, self._cohorts.zygote(effect.cohort)
        if zygote is None:
            self._refuse(epoch, Fault.RESOURCE, f"the zygote of cohort {effect.cohort} is gone")
        elif not zygote.rehearses:
            self._feed(PreflightSkipped(epoch, OLDER))
        else:
            self._rehearse(effect, zygote)

    def end(self, epoch: int) -> None:
        """Rehearse that candidate no further, and leave no process of it."""
        if (under_way := self._under_way.pop(epoch, None)) is not None:
            under_way.deadline.cancel()
            under_way.zygote.end_rehearsal(under_way.trying.number)

    def _rehearse(self, effect: Preflight, zygote: Zygote) -> None:
        order = self._order(effect, zygote.threads)
        self._try(zygote, Try(order, self._loop.time() + order.settings.deadline))

    def _try(self, zygote: Zygote, trying: Try) -> None:
        epoch, seconds = trying.order.candidate.epoch, trying.order.settings.deadline
        deadline = self._loop.call_later(seconds + LATE, self._overdue, epoch, seconds)
        self._under_way[epoch] = _UnderWay(zygote, trying, deadline)
        try:
            zygote.rehearse(trying.number, trying.order, lambda report, why: self._ended(epoch, report, why))
        except OSError as error:
            self._ended(epoch, b"", f"its order cannot be written down: {error}")

    def _overdue(self, epoch: int, seconds: float) -> None:
        self.end(epoch)
        self._refuse(epoch, Fault.TIMEOUT, f"it took over {seconds:g} s, and could not be asked where it stood")

    def _ended(self, epoch: int, report: bytes, why: str) -> None:
        if (under_way := self._under_way.pop(epoch, None)) is None:
            return
        under_way.deadline.cancel()
        if why:
            self._refuse(epoch, Fault.RESOURCE, why)
        else:
            self._read(epoch, under_way, report)

    def _read(self, epoch: int, under_way: _UnderWay, written: bytes) -> None:
        try:
            report = shown(decode_report(written))
        except MalformedFrame as error:
            self._refuse(epoch, Fault.RESOURCE, f"its report means nothing: {error}")
            return
        trying = under_way.trying
        if (following := trying.after(report, self._loop.time())) is not None:
            self._try(under_way.zygote, following)
            return
        report = trying.outcome(report)
        if report.missing and report.missing not in self._missing:
            self._missing.add(report.missing)
            self._tell(PreflightWeak(report.missing))
        self._feed(_told(epoch, report, trying.before))

    def _refuse(self, epoch: int, fault: Fault, summary: str) -> None:
        self._feed(PreflightRefused(epoch, (SlotRefusal(-1, 0, Refusal(Stage.PREFLIGHT, fault, summary)),)))


def _told(epoch: int, report: RehearsalReport, before: tuple[str, ...]) -> Event:
    left_out = tuple(f"left out: {why}" for why in before)
    if report.refusal is not None:
        # What was left out may be what the candidate lacks, and has taken some of its time.
        missing = (each for each in report.warnings if each.startswith("left out: "))
        summary = "; ".join((report.refusal.summary, *left_out, *missing))
        refusal = msgspec.structs.replace(report.refusal, summary=summary)
        return PreflightRefused(epoch, (SlotRefusal(-1, 0, refusal),))
    if report.skipped:
        barred = Refusal(Stage.PREFLIGHT, Fault.RESOURCE, "; ".join((report.skipped, *left_out)))
        return PreflightRefused(epoch, (SlotRefusal(-1, 0, barred),))
    warnings = (*left_out, *report.warnings)
    return PreflightPassed(epoch, report.modules, report.tests_passed, report.tests, warnings)
