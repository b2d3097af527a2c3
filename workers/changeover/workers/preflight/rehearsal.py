"""Does with a candidate what workers will do: beside what serves it is loaded, swapped in, and what it replaces ends.

The very code of workers does it; only `on_activate` and `on_deactivate` do not run, as nothing is served here. Nothing
is beside the candidate of a roll, and its application's place is vacant: what served last, as it is, is loaded with it.
"""

import asyncio
import difflib
import sys
from collections.abc import Callable, Iterator, Set
from pathlib import Path

import msgspec

from changeover.workers.generation.switch import Generation, Switch
from changeover.workers.generation.workshop import Workshop
from changeover.workers.plugins import state
from changeover.workers.plugins.loaded import LoadedPlugin
from changeover.workers.plugins.opened import OPENED
from changeover.workers.plugins.rigid import never_swapped
from changeover.workers.plugins.witness import Witness
from changeover.workers.preflight.afresh import loads, unproved
from changeover.workers.preflight.audit import blamed
from changeover.workers.preflight.believing import short
from changeover.workers.preflight.endings import ends_as_it_served, of_what_serves
from changeover.workers.preflight.leaving_out import LeavingOut
from changeover.workers.preflight.page import Page, Part, Standing, Verdict
from changeover.workers.preflight.scarce import explained
from changeover.workers.preflight.selftests import UNTESTED, self_tested
from changeover.workers.protocol.refusal import Refusal
from changeover.workers.protocol.rehearsal import RehearsalOrder, RehearsalReport
from changeover.workers.protocol.snapshot import EMPTY, UnitKey, UnitRef
from changeover.workers.serving import attribution
from changeover.workers.serving.offering import here

ALIKE = 0.85
"""How much names of extension points are alike where one is written for the other, of 1."""


class Note(Witness):
    """Writes down what is going on, as it goes on.

    Args:
        page: Where.
        missing: What of the confinement could not be had.

    Attributes:
        left_behind: What did not end within its deadline.
        verdict: Says what is known of the candidate; asked where what ends may take the process with it.
    """

    def __init__(self, page: Page, missing: tuple[str, ...]) -> None:
        self.left_behind: list[Standing] = []
        self.verdict: Callable[[], Verdict] = Verdict
        self._page = page
        self._standing = Standing(missing=missing)
        page.write(self._standing)

    def part(self, part: Part) -> None:
        """Another part begins."""
        self._write(part, "", "")

    def begins(self, unit: str, hook: str) -> None:
        self._write(self._standing.part, unit, hook)

    def hung(self, unit: str, hook: str) -> None:
        self.left_behind.append(Standing(self._standing.part, unit, hook))

    def _write(self, part: Part, unit: str, hook: str) -> None:
        verdict = self.verdict() if part in (Part.ENDING, Part.AFRESH) else Verdict()
        self._standing = msgspec.structs.replace(self._standing, part=part, unit=unit, hook=hook, verdict=verdict)
        self._page.write(self._standing)


class _Cell:
    """A commit cell that nobody else reads."""

    def __init__(self) -> None:
        self.epoch = 0

    def read(self) -> int:
        return self.epoch


class Rehearsal:
    """One rehearsal, in a process of its own and on its loop.

    Args:
        order: What is to be rehearsed.
        note: Where it is written down how far it came.
        refused: Receives what plugins do and were not granted, where that is watched.
        warnings: What went wrong before it.
    """

    def __init__(
        self, order: RehearsalOrder, note: Note, refused: list[Refusal], warnings: tuple[str, ...] = ()
    ) -> None:
        self._refused = refused
        self._order = order
        self._note = note
        note.verdict = self._verdict
        self._afresh: frozenset[UnitRef] = frozenset()
        self._modules, self._tests = 0, UNTESTED
        self._late: list[Refusal] = []
        self._leaving_out = LeavingOut(order)
        self._warnings: list[str] = list(warnings)
        self._workshop = Workshop(
            Path(order.store),
            hook_deadline=order.settings.hook,
            on_drained=_drained,
            on_degraded=self._late.append,
            stage="preflight",
            witness=note,
        )
        self._cell = _Cell()
        self._switch = Switch(self._cell, self._workshop.activated)

    async def run(self) -> RehearsalReport:
        """Rehearse, up to what refuses the candidate."""
        self._note.part(Part.CURRENT)
        await self._serve_current()
        self._note.part(Part.CANDIDATE)
        built = await self._build_candidate()
        self._warnings += self._leaving_out.passed_over()
        if isinstance(built, Refusal):
            return self._report(built)
        serving = built.units.keys() - self._order.fresh()
        self._tests = await self_tested(built, serving)
        self._modules = _modules_of(built)
        refusal = self._tests.refusal or await self._lost(built, serving)
        if refusal is not None:
            return self._report(refusal)
        if self._order.current is None:
            self._warnings += _caveats(built)
        self._warnings += _unasked(built, serving)
        self._note.part(Part.RETIRING)
        self._afresh = unproved(built, self._order)
        await self._activate(built)
        del built
        await self._end()
        hung = self._hung()
        self._warnings += self._afterwards(hung)
        is_proved = hung is not None or await self._loads_afresh()
        return msgspec.structs.replace(self._report(hung), unproved=not is_proved)

    async def _loads_afresh(self) -> bool:
        if not self._afresh:
            return True
        self._note.part(Part.AFRESH)
        return await loads(self._afresh, self._leaving_out.candidate(), self._order, self._note, self._cell)

    def _verdict(self) -> Verdict:
        refusal = blamed(self._hung(), self._refused)
        known = None if refusal is None else short(refusal)
        return Verdict(known, bool(self._afresh), self._modules, self._tests.passed, self._tests.tests)

    def _report(self, refusal: Refusal | None) -> RehearsalReport:
        """Say how far it came, and what of all that happened refuses the candidate."""
        told = blamed(refusal, self._refused)
        told = None if told is None else explained(told, self._order.settings)
        tests = self._tests
        return RehearsalReport(told, self._modules, tests.passed, tests.tests, warnings=tuple(self._warnings))

    async def _serve_current(self) -> None:
        """Load what serves. Something of it may not load where it is confined: that is not the candidate's fault."""
        while (current := self._leaving_out.current()) is not None:
            built = await self._workshop.build(current)
            if not isinstance(built, Refusal):
                return await self._activate(built)
            self._tell_of(built)
            if not self._leaving_out.leave_out(built):
                return None

    async def _build_candidate(self) -> Generation | Refusal:
        """Load the candidate; of a roll's, what served last and does not load here is left out."""
        while (barred := self._leaving_out.barred()) is None:
            built = await self._workshop.build(self._leaving_out.candidate())
            if not isinstance(built, Refusal) or not self._order.served or not self._leaving_out.leave_out(built):
                return built
            self._tell_of(built)
        return barred

    def _tell_of(self, refused: Refusal) -> None:
        what = f"{refused.unit or 'what serves'} {refused.hook}".strip()
        self._warnings.append(f"left out: {what} serves, and does not load in a preflight: {refused.summary}")

    async def _lost(self, built: Generation, serving: Set[UnitKey]) -> Refusal | None:
        """Why something new could not be replaced again without losing its state; of what served that is told."""
        for plugin in _plugins_of(built):
            lost = None if plugin.spec.key in serving else await state.lost(plugin)
            if lost is not None and not self._order.goes_back:
                return lost
            if lost is not None:
                self._warnings.append(lost.line)
        return None

    async def _activate(self, built: Generation) -> None:
        old = self._switch.current
        self._switch.prepared = built
        self._cell.epoch = built.epoch
        self._switch.admit()
        await self._workshop.after_activation(old, built)

    async def _end(self) -> None:
        """End what was replaced, and then the candidate."""
        await self._workshop.release(self._workshop.draining())
        self._note.part(Part.ENDING)
        await self._workshop.close()
        self._switch = Switch(self._cell, self._workshop.activated)  # which holds nothing
        here.leave()

    def _hung(self) -> Refusal | None:
        """What of the candidate hangs where no worker could refuse it any more; what goes back has served before."""
        if self._order.goes_back:
            return None
        new = (each for each in self._note.left_behind if not _has_served(each, self._order))
        own = {(each.unit, each.hook) for each in new}
        return next((late for late in reversed(self._late) if (late.unit, late.hook) in own), None)

    def _afterwards(self, hung: Refusal | None) -> Iterator[str]:
        """What went wrong too late to refuse anything, in workers as here."""
        yield from (f"{late.unit} {late.hook}: {late.summary}" for late in self._late if late is not hung)
        never = self._never_released()
        yield from (f"leak: {leak}" for leak in self._workshop.leaks() if leak.unit not in never)

    def _never_released(self) -> Set[str]:
        """What no worker ever looks for: it goes with the process, and so does whatever outlives it."""
        snapshots = (self._order.current or EMPTY, self._order.candidate)
        return {str(key) for each in snapshots for key in never_swapped(each, Path(self._order.store))}


def _has_served(standing: Standing, order: RehearsalOrder) -> bool:
    return of_what_serves(standing, order) or ends_as_it_served(standing, order)


def _drained(units: tuple[UnitKey, ...]) -> None:
    """Nothing is leased here, so what drains is released at once."""


def _modules_of(built: Generation) -> int:
    """How many modules of its plugins are loaded."""
    keys = built.units.keys()
    own = [name for name, each in list(OPENED.items()) if any(user.spec.key in keys for user in each.users)]
    packages = tuple(f"{name}." for name in own)
    return sum(name.startswith(packages) for name in list(sys.modules))


def _plugins_of(built: Generation) -> list[LoadedPlugin]:
    return [unit for unit in built.units.values() if isinstance(unit, LoadedPlugin)]


def _caveats(built: Generation) -> Iterator[str]:
    for plugin in _plugins_of(built):
        yield from (f"{plugin.spec.key.ref}: {caveat}" for caveat in state.caveats(plugin))


def _unasked(built: Generation, serving: Set[UnitKey]) -> Iterator[str]:
    """Where a plugin that is new offers something and nobody asks, but at a point of nearly that name."""
    plugins = _plugins_of(built)
    asked = set().union(*here.points.values(), *(plugin.work.asks for plugin in plugins))
    for plugin in (each for each in plugins if each.spec.key not in serving):
        for point in plugin.extensions.keys() - asked:
            for meant in difflib.get_close_matches(point, asked, n=1, cutoff=ALIKE):
                fact = f"{plugin.spec.key.ref}: nobody asks {point!r}, where it offers something"
                yield f"{fact}; did you mean {meant!r}?"


async def rehearsed(
    order: RehearsalOrder, note: Note, refused: list[Refusal], warnings: tuple[str, ...] = ()
) -> RehearsalReport:
    """Rehearse on the running loop, of which this process needs nothing else."""
    attribution.install(asyncio.get_running_loop())
    return await Rehearsal(order, note, refused, warnings).run()
