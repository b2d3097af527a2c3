"""A disk that hangs costs one thread, and whoever asks is told in time."""

import asyncio
import threading

import pytest

from changeover.supervisor import surveying
from changeover.supervisor.artifacts.survey import Survey
from changeover.supervisor.core.entries import Held, Quarantined
from changeover.supervisor.surveying import Surveying
from changeover.workers.protocol.snapshot import Snapshot
from tests.machines import Bench
from tests.waits import DEADLINE, until

ASKERS = 40
"""More than the loop has threads."""
SHORT = 0.2
SILENT = Survey(problem=f"the disk did not answer within {SHORT:g} s")


class Disk:
    """A disk that answers nothing while it hangs.

    Attributes:
        begun: How many looks at it began.
        serving: The epoch that each of them was to compare with.
        answers: Whether it does.
    """

    def __init__(self) -> None:
        self.begun = 0
        self.serving: list[int] = []
        self.answers = threading.Event()

    def survey(self, current: Snapshot | None, held: frozenset[Held], quarantine: tuple[Quarantined, ...]) -> Survey:
        self.begun += 1
        self.serving.append(current.epoch if current else 0)
        number = self.begun
        assert self.answers.wait(DEADLINE)
        return Survey(policies={"look": str(number)})


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    monkeypatch.setattr(surveying, "SURVEY", DEADLINE)
    return Disk()


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.come_up()
    return made


def number(found: Survey) -> str:
    return found.policies["look"]


async def test_a_disk_that_hangs_keeps_no_more_than_one_thread_from_what_else_needs_one(
    disk: Disk, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "SURVEY", SHORT)
    looks = Surveying(lambda: bench.view, disk.survey)
    told = await asyncio.gather(*(looks.look() for _ in range(ASKERS)))
    assert told == [SILENT] * ASKERS
    assert await looks.look() == SILENT
    assert (disk.begun, disk.serving) == (1, [bench.view.epoch])
    async with asyncio.timeout(DEADLINE):
        assert await asyncio.to_thread(lambda: "another thread")
    disk.answers.set()


async def test_whoever_asks_while_it_is_looked_at_shares_one_look_that_began_later(disk: Disk, bench: Bench) -> None:
    looks = Surveying(lambda: bench.view, disk.survey)
    first = asyncio.ensure_future(looks.look())
    await until(lambda: disk.begun)
    later = asyncio.gather(looks.look(), looks.look())
    disk.answers.set()
    assert number(await first) == "1"
    assert list(map(number, await later)) == ["2", "2"]


async def test_whoever_gives_up_leaves_the_look_to_the_others(disk: Disk, bench: Bench) -> None:
    looks = Surveying(lambda: bench.view, disk.survey)
    disk.answers.set()
    await looks.look()
    disk.answers.clear()
    impatient, patient = asyncio.ensure_future(looks.look()), asyncio.ensure_future(looks.look())
    await until(lambda: disk.begun == 2)
    impatient.cancel()
    await asyncio.wait([impatient])
    disk.answers.set()
    assert number(await patient) == "2"


async def test_what_a_look_raises_is_told_to_whoever_asked_and_keeps_nobody_from_the_next(bench: Bench) -> None:
    failures = [OSError("gone")]

    def survey(current: Snapshot | None, held: frozenset[Held], quarantine: tuple[Quarantined, ...]) -> Survey:
        if failures:
            raise failures.pop()
        return Survey()

    looks = Surveying(lambda: bench.view, survey)
    with pytest.raises(OSError, match="gone"):
        await looks.look()
    assert await looks.look() == Survey()
