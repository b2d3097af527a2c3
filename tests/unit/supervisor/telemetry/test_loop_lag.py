"""The loop's own delay, measured from within."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from changeover.supervisor.telemetry import loop_lag
from changeover.supervisor.telemetry.loop_lag import LoopLag
from tests.waits import until

BLOCKED = 1.0


@pytest.fixture
async def lag(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LoopLag]:
    monkeypatch.setattr(loop_lag, "INTERVAL", 0.01)
    monkeypatch.setattr(loop_lag, "RECENT", 0.5)
    looking = LoopLag(asyncio.get_running_loop())
    yield looking
    looking.close()


def block() -> None:
    """Keep the loop from everything else."""
    end = time.monotonic() + BLOCKED
    while time.monotonic() < end:
        continue


async def test_what_blocks_the_loop_is_its_lag(lag: LoopLag) -> None:
    block()
    assert lag.figure().recent >= BLOCKED - 0.05
    assert lag.figure().worst == pytest.approx(lag.figure().recent, abs=0.05)


async def test_the_recent_figure_forgets_and_the_worst_does_not(lag: LoopLag) -> None:
    block()
    await until(lambda: lag.figure().recent < BLOCKED / 2, "the block to be long ago")
    assert lag.figure().worst >= BLOCKED - 0.05


async def test_a_loop_that_was_never_blocked_is_hardly_late(lag: LoopLag) -> None:
    assert lag.figure().worst < BLOCKED
