"""What a hook does on the loop is timed step by step, and told when it keeps the loop from running."""

import asyncio
import time
from types import SimpleNamespace

import pytest

from changeover.workers.plugins.hooks import Hooks
from changeover.workers.plugins.refused import Refused, Site
from changeover.workers.plugins.stalls import LIMIT
from changeover.workers.plugins.witness import Witness
from changeover.workers.protocol.refusal import Fault, Stage
from tests.waits import until

SITE = Site(Stage.COMMIT, "plugin pricing", "on_activate")
TOLD = ("plugin pricing", "on_activate")


class Stalls(Witness):
    """Remembers what stalled."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.seconds: list[float] = []

    def stalled(self, unit: str, hook: str, seconds: float) -> None:
        self.told.append((unit, hook))
        self.seconds.append(seconds)


def block() -> None:
    """Keep the loop from running, once."""
    time.sleep(1.5 * LIMIT)


async def block_at_last() -> None:
    """Wait politely, and block then."""
    await asyncio.sleep(0)
    await asyncio.to_thread(lambda: None)
    block()


async def block_and_fail() -> None:
    """Block, and fail after that."""
    block()
    raise OSError("no")


async def wait() -> None:
    """Take longer, and block nobody."""
    for _ in range(4):
        await asyncio.sleep(LIMIT / 2)


@pytest.mark.parametrize("hook", [block, block_at_last])
async def test_a_hook_that_blocks_the_loop_is_told_with_its_name_and_for_how_long(hook: object) -> None:
    stalls = Stalls()
    await Hooks(5.0, stalls).on_loop(hook, site=SITE, work=None)  # type: ignore[arg-type]
    assert stalls.told == [TOLD]
    assert LIMIT < stalls.seconds[0] < 5.0


@pytest.mark.parametrize(("took", "told"), [(0.049, []), (0.051, [TOLD])])
async def test_what_is_told_takes_longer_than_fifty_milliseconds(
    monkeypatch: pytest.MonkeyPatch, took: float, told: list[tuple[str, str]]
) -> None:
    readings = iter((0.0, took))
    monkeypatch.setattr("changeover.workers.plugins.stalls.time", SimpleNamespace(perf_counter=lambda: next(readings)))
    stalls = Stalls()
    await Hooks(5.0, stalls).on_loop(lambda: None, site=SITE, work=None)
    assert stalls.told == told


async def test_a_hook_that_waits_is_not_told() -> None:
    stalls = Stalls()
    await Hooks(5.0, stalls).on_loop(wait, site=SITE, work=None)
    assert stalls.told == [] or max(stalls.seconds) < 2 * LIMIT  # a busy machine may stop us in the middle of a step


async def test_a_hook_that_blocks_and_fails_is_told_and_refused() -> None:
    stalls = Stalls()
    with pytest.raises(Refused):
        await Hooks(5.0, stalls).on_loop(block_and_fail, site=SITE, work=None)
    assert stalls.told == [TOLD]


async def test_what_blocks_in_the_thread_beside_the_loop_is_no_stall() -> None:
    stalls = Stalls()
    hooks = Hooks(5.0, stalls)
    await hooks.hook(block, site=SITE, work=None)
    assert stalls.told == []
    hooks.close()


async def test_a_timed_hook_is_cancelled_at_its_deadline_and_tells_where_it_waited() -> None:
    gate, seen = asyncio.Event(), []

    async def hang() -> None:
        try:
            await gate.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(Refused) as refused:
        await Hooks(0.05).on_loop(hang, site=SITE, work=None)
    assert refused.value.refusal.fault is Fault.TIMEOUT
    assert "await gate.wait()" in refused.value.refusal.traceback
    await until(lambda: seen == ["cancelled"], "the hook to be cancelled")
