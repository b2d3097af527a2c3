"""What is reported of a rehearsal is read with care, and waited for no longer than it may last."""

import asyncio
from typing import cast

import msgspec
import pytest

from changeover.supervisor import preflights
from changeover.supervisor.cohorts import Cohorts
from changeover.supervisor.core.effects import Preflight
from changeover.supervisor.core.events import Event, PreflightPassed, PreflightRefused, PreflightSkipped
from changeover.supervisor.core.records.preflight import PreflightWeak
from changeover.supervisor.core.records.record import Record
from changeover.supervisor.preflights import Preflights
from changeover.supervisor.process.rehearsals import OnEnd
from changeover.supervisor.tries import TRIES
from changeover.workers.protocol.refusal import Fault, Refusal, Stage
from changeover.workers.protocol.rehearsal import Confinement, RehearsalOrder, RehearsalReport, encode
from changeover.workers.protocol.snapshot import PluginSpec, Snapshot, UnitKey, UnitKind, UnitRef
from tests.waits import until

CANDIDATE, SERVING = Snapshot(8, "new", rolled=1), Snapshot(7, "old", rolled=1)
GEO = PluginSpec(UnitKey(UnitRef(UnitKind.PLUGIN, "geo"), "1f", 7), "1.0", "1f")
SERVING_GEO = msgspec.structs.replace(SERVING, units=(GEO,))
COHORT = 3
FIRST = 8 * (TRIES + 1)
"""Number of the first rehearsal of the candidate."""


class Zygote:
    """Takes orders for rehearsals and does nothing about them."""

    def __init__(self, rehearses: bool = True) -> None:
        self.rehearses = rehearses
        self.threads = ("numpy",)
        self.asked: dict[int, RehearsalOrder] = {}
        self.on_end: OnEnd = lambda report, why: None
        self.given_up: list[int] = []
        self.full = False

    def rehearse(self, number: int, order: RehearsalOrder, on_end: OnEnd) -> None:
        if self.full:
            raise OSError("too many open files")
        self.asked[number] = order
        self.on_end = on_end

    def end_rehearsal(self, number: int) -> None:
        self.given_up.append(number)


class Zygotes:
    """Stands for the cohorts."""

    def __init__(self, known: dict[int, Zygote]) -> None:
        self.known = known

    def zygote(self, cohort: int) -> Zygote | None:
        return self.known.get(cohort)


class Supervisor:
    """Preflights with one zygote, and what was told of them."""

    def __init__(self, zygote: Zygote, deadline: float = 60.0) -> None:
        self.zygotes = {COHORT: zygote}
        self.zygote = zygote
        self.deadline = deadline
        self.heard: list[Event] = []
        self.told: list[Record] = []
        cohorts = cast(Cohorts, Zygotes(self.zygotes))
        loop = asyncio.get_running_loop()
        self.preflights = Preflights(loop, cohorts, self.order, self.heard.append, self.told.append)
        self.threads: tuple[str, ...] = ()

    def order(self, effect: Preflight, threads: tuple[str, ...]) -> RehearsalOrder:
        self.threads = threads
        return RehearsalOrder(effect.current, effect.candidate, Confinement(deadline=self.deadline), "/store")

    def begin(self, serving: Snapshot = SERVING) -> None:
        self.preflights.begin(Preflight(CANDIDATE, serving, COHORT))

    def report(self, report: RehearsalReport) -> None:
        self.zygote.on_end(encode(report), "")

    def refusal(self) -> Refusal:
        [refused] = self.heard
        assert isinstance(refused, PreflightRefused)
        assert refused.epoch == 8
        [refusal] = refused.refusals
        assert (refusal.slot, refusal.refusal.stage) == (-1, Stage.PREFLIGHT)
        return refusal.refusal


@pytest.fixture
async def supervisor() -> Supervisor:
    return Supervisor(Zygote())


async def test_one_that_went_well_says_what_it_did(supervisor: Supervisor) -> None:
    supervisor.begin()
    assert supervisor.zygote.asked[FIRST].candidate == CANDIDATE
    assert supervisor.threads == ("numpy",)
    supervisor.report(RehearsalReport(None, 4, 1, 2, 0.02, "hello", warnings=("leaks a thread",)))
    assert supervisor.heard == [PreflightPassed(8, 4, 1, 2, ("leaks a thread",))]


async def test_a_refusal_keeps_its_unit_and_hook_and_gets_what_was_written(supervisor: Supervisor) -> None:
    supervisor.begin()
    refusal = Refusal(Stage.INITIALISE, Fault.CRASH, "ended by SIGSEGV", "plugin geo", "on_load", "geo.py:3")
    supervisor.report(RehearsalReport(refusal, output="one\rtwo\x1b[31m\tred\n"))
    told = supervisor.refusal()
    assert (told.unit, told.hook, told.where, told.fault) == ("plugin geo", "on_load", "geo.py:3", Fault.CRASH)
    assert told.output == "one\ntwo\\x1b[31m\tred\n"


async def test_no_text_of_a_candidate_commands_a_terminal(supervisor: Supervisor) -> None:
    supervisor.begin()
    bad = "a\nb\x1b]0;c\x9b"
    refusal = Refusal(Stage.INITIALISE, Fault.CRASH, bad, bad, bad, bad, bad, bad, "of the keeper")
    supervisor.report(RehearsalReport(refusal, output=bad, missing=(bad,)))
    told, line = supervisor.refusal(), "a b\\x1b]0;c\\x9b"
    assert (told.summary, told.unit, told.hook, told.where, told.source) == (line,) * 5
    assert (told.traceback, told.output) == ("a\nb\\x1b]0;c\\x9b",) * 2
    assert supervisor.told == [PreflightWeak((line,))]
    supervisor.heard.clear()
    supervisor.begin()
    supervisor.report(RehearsalReport(warnings=(bad,)))
    assert supervisor.heard == [PreflightPassed(8, warnings=(line,))]


async def test_where_what_serves_ends_the_rehearsal_the_candidate_is_rehearsed_without(supervisor: Supervisor) -> None:
    supervisor.begin(SERVING_GEO)
    supervisor.report(RehearsalReport(skipped="what serves cannot be loaded\x1b", barred="plugin geo"))
    assert supervisor.heard == []
    assert supervisor.zygote.asked[FIRST].left_out == ()
    assert supervisor.zygote.asked[FIRST + 1].left_out == (GEO.key.ref,)
    supervisor.report(RehearsalReport(None, 1, warnings=("leaks a thread",)))
    assert supervisor.heard == [
        PreflightPassed(8, 1, 0, 0, ("left out: what serves cannot be loaded\\x1b", "leaks a thread"))
    ]
    supervisor.preflights.end(8)
    assert supervisor.zygote.given_up == []


async def test_a_refusal_says_without_what_it_was_rehearsed(supervisor: Supervisor) -> None:
    supervisor.begin(SERVING_GEO)
    supervisor.report(RehearsalReport(skipped="what serves cannot be loaded", barred="plugin geo"))
    supervisor.report(RehearsalReport(Refusal(Stage.PREFLIGHT, Fault.TIMEOUT, "not done within 3 s")))
    assert supervisor.refusal().summary == "not done within 3 s; left out: what serves cannot be loaded"


async def test_a_refusal_says_what_the_same_process_left_out(supervisor: Supervisor) -> None:
    supervisor.begin()
    unfit = Refusal(Stage.PREFLIGHT, Fault.CONTRACT, "no table")
    supervisor.report(RehearsalReport(unfit, warnings=("left out: plugin geo", "leaks a thread")))
    assert supervisor.refusal().summary == "no table; left out: plugin geo"


async def test_the_rehearsal_that_goes_on_is_the_one_that_is_ended(supervisor: Supervisor) -> None:
    supervisor.begin(SERVING_GEO)
    supervisor.report(RehearsalReport(skipped="no"))
    supervisor.preflights.end(8)
    assert supervisor.zygote.given_up == [FIRST + 1]


async def test_what_ends_every_rehearsal_lets_nothing_through_and_may_pass(supervisor: Supervisor) -> None:
    supervisor.begin(SERVING_GEO)
    supervisor.report(RehearsalReport(skipped="no"))
    supervisor.report(RehearsalReport(skipped="never"))
    assert (supervisor.refusal().fault, supervisor.refusal().summary) == (Fault.RESOURCE, "never; left out: no")


async def test_what_cannot_be_confined_is_told_once_for_each_kind(supervisor: Supervisor) -> None:
    for missing in (("no landlock",), ("no landlock",), ("no seccomp",)):
        supervisor.begin()
        supervisor.report(RehearsalReport(missing=missing))
    assert supervisor.told == [PreflightWeak(("no landlock",)), PreflightWeak(("no seccomp",))]


async def test_a_report_that_means_nothing_is_a_refusal_that_may_pass(supervisor: Supervisor) -> None:
    supervisor.begin()
    supervisor.zygote.on_end(b"\xc1 hello", "")
    assert supervisor.refusal().fault is Fault.RESOURCE
    assert "its report means nothing" in supervisor.refusal().summary


async def test_without_a_report_the_reason_may_pass(supervisor: Supervisor) -> None:
    supervisor.begin()
    supervisor.zygote.on_end(b"", "its zygote died")
    assert (supervisor.refusal().fault, supervisor.refusal().summary) == (Fault.RESOURCE, "its zygote died")


async def test_one_that_says_nothing_is_ended_from_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflights, "LATE", 0.01)
    supervisor = Supervisor(Zygote(), deadline=0.01)
    supervisor.begin()
    await until(lambda: supervisor.heard, "the refusal")
    assert supervisor.zygote.given_up == [FIRST]
    assert supervisor.refusal().fault is Fault.TIMEOUT
    supervisor.report(RehearsalReport())
    assert len(supervisor.heard) == 1


async def test_one_that_is_ended_says_nothing_more(supervisor: Supervisor) -> None:
    supervisor.begin()
    supervisor.preflights.end(8)
    supervisor.report(RehearsalReport())
    supervisor.preflights.end(8)
    assert supervisor.zygote.given_up == [FIRST]
    assert supervisor.heard == []


async def test_a_zygote_of_an_older_program_is_asked_for_nothing() -> None:
    supervisor = Supervisor(Zygote(rehearses=False))
    supervisor.begin()
    assert supervisor.zygote.asked == {}
    assert supervisor.heard == [PreflightSkipped(8, preflights.OLDER)]


async def test_one_that_cannot_be_asked_for_may_be_had_later(supervisor: Supervisor) -> None:
    supervisor.zygote.full = True
    supervisor.begin()
    refusal = supervisor.refusal()
    assert (refusal.fault, refusal.summary) == (
        Fault.RESOURCE,
        "its order cannot be written down: too many open files",
    )


async def test_a_zygote_that_went_meanwhile_may_come_back(supervisor: Supervisor) -> None:
    supervisor.zygotes.clear()
    supervisor.begin()
    assert (supervisor.refusal().fault, supervisor.refusal().summary) == (
        Fault.RESOURCE,
        "the zygote of cohort 3 is gone",
    )
