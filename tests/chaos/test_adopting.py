"""The supervisor that adopts dies as well, is told to leave, or is slow."""

import signal
import sys

import pytest
from benchmarks.killing.moments import ADOPTION, Moment, Side
from benchmarks.killing.premises import disquiet
from benchmarks.killing.trial import DYING, arm
from benchmarks.subject import residents, serving, until

from tests.chaos.ordeal import ordeal

STARTS = ("before TermBegun written", "before AdoptZygote", "after hear Hello")
SLOW = """
import asyncio
from changeover.supervisor.cli import main
from changeover.supervisor.journal.journal import Journal
recover = Journal.recover
async def slowly(self):
    await asyncio.sleep(3)
    return await recover(self)
Journal.recover = slowly
main(prog_name="changeover")
"""


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_supervisors_that_die_while_they_adopt_lose_nobody(every_moment: bool) -> None:
    deaths = [moment for moment in ADOPTION if every_moment or str(moment) in STARTS]
    assert len(deaths) >= len(STARTS)
    with ordeal() as service:
        workers = service.workers
        service.subject.end_supervisor()
        for moment in deaths:
            arm(service.subject, moment)
            service.subject.start()
            service.await_death(moment)
        service.revive()
        service.quiet()
        assert service.workers == workers
        assert service.subject.status().term == len(deaths) + 2 - sum(m.step == "write TermBegun" for m in deaths)
        service.reload()
        assert service.workers == workers


@pytest.mark.slow
def test_a_cutover_in_doubt_is_settled_by_the_third_supervisor_when_the_second_dies_too() -> None:
    with ordeal() as service:
        epoch, workers = service.quiet(), service.workers
        service.subject.contents.renew()
        arm(service.subject, Moment(Side.BEFORE, "Committed written"))
        service.subject.hang_up()
        service.await_death(Moment(Side.BEFORE, "Committed written"))
        before_store = Moment(Side.BEFORE, "StoreCell")
        arm(service.subject, before_store)
        service.subject.start()
        service.await_death(before_store)
        assert service.subject.cell.read() == epoch
        service.revive()
        assert service.quiet(epoch + 1) == epoch + 1
        assert service.workers == workers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "step"),
    [
        (Side.BEFORE, "AdoptZygote"),
        (Side.AFTER, "hear Hello"),
        pytest.param(Side.AFTER, "AdoptZygote", marks=pytest.mark.every_moment),
        pytest.param(Side.BEFORE, "hear Hello", marks=pytest.mark.every_moment),
    ],
    ids=lambda each: each.value if isinstance(each, Side) else each,
)
def test_told_to_leave_while_it_adopts_it_ends_everybody(side: Side, step: str) -> None:
    with serving(2, command=DYING) as subject:
        subject.end_supervisor()
        arm(subject, Moment(side, step, signal=signal.SIGTERM))
        subject.start()
        until(lambda: not subject.alive, 30.0, subject.words)
        assert subject.exit_status == 0
        until(lambda: not residents(subject.folder), 10.0, subject.words)
        assert not list((subject.folder / "run").glob("*.sock"))


@pytest.mark.slow
def test_workers_that_speak_while_the_journal_is_still_being_read_are_adopted() -> None:
    with serving(2, command=(sys.executable, "-c", SLOW)) as subject:
        workers = subject.workers()
        subject.end_supervisor()
        subject.start()
        subject.await_serving()
        until(lambda: not disquiet(subject, 1), 30.0, subject.words)
        assert subject.workers() == workers
