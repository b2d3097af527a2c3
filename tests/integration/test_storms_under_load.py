"""Operator mistakes under a mixed load: signals in a storm, and an end in the middle of a roll."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from benchmarks.load.process import running, total
from benchmarks.load.record import Fault, Kind, Mix, Trouble
from benchmarks.subject import Kind as Served
from benchmarks.subject import Subject, serving, until

from changeover.supervisor.control import SlotState

WORKERS = 2
MIX = Mix(busy=4, idle=4, fresh=2, silent=2, post=2, dribble=1, stream=2, long=2, pace=0.02)
STORM = 50
SECONDS = 5.0
SETTLED = 60.0
SLOW = """
quick = app

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await asyncio.sleep(2.0)
    await quick(scope, receive, send)
"""
"""An application whose processes take their time to start."""
LEFT = {Fault.REFUSED, Fault.EOF_IDLE, Fault.ANNOUNCED}
"""What a client meets of a server that ends: nobody listens, and its connection ends between two requests."""
CROSSING = {Kind.BUSY, Kind.IDLE, Kind.STREAM}
"""Who asks again on a connection that was not told of its end: such a request may cross it, and is not begun then."""


@pytest.fixture
def shop() -> Iterator[Subject]:
    with serving(WORKERS, Served.APPLICATION) as subject:
        yield subject


def crossed(trouble: Trouble) -> bool:
    return trouble.fault is Fault.EOF_WAITING and trouble.kind in CROSSING


async def storm(shop: Subject) -> None:
    """New code before each of many signals that do not wait for each other."""
    for _ in range(STORM):
        shop.contents.renew()
        shop.hang_up()
        await asyncio.sleep(SECONDS / STORM)


async def test_a_storm_of_hups_loses_nothing_mixes_nothing_and_ends_with_what_lies_on_disk(shop: Subject) -> None:
    with running(shop.address, MIX) as load:
        await storm(shop)
        until(lambda: shop.alone and shop.status().cutover == "idle", SETTLED, shop.words)
        first, last = shop.status(), shop.contents.marker
        found = load.stop()
    met = total(found)
    assert (met.faults, met.confused) == ({}, ()), met.troubles
    assert set(met.requests) == set(Kind)
    assert [marker for report in found for marker in report.markers[first.epoch]] == [last]


@pytest.mark.parametrize("moment", [SlotState.STANDBY, SlotState.YIELDING])
async def test_term_in_the_middle_of_a_roll_answers_whoever_asked(shop: Subject, moment: SlotState) -> None:
    with running(shop.address, MIX) as load:
        shop.contents.append("main.py", SLOW)
        shop.contents.renew()
        shop.hang_up()
        until(lambda: any(slot.state is moment for slot in shop.status().slots), SETTLED, shop.words)
        os.kill(shop.pid, signal.SIGTERM)
        until(lambda: not shop.alive, SETTLED, shop.words)
        met = total(load.stop())
    lost = [each for each in met.troubles if each.fault not in LEFT and not crossed(each)]
    assert (lost, set(met.faults) - LEFT - {Fault.EOF_WAITING}) == ([], set())
    assert met.confused == ()
    assert shop.exit_status == 0
