"""Those who wait for one fact."""

import asyncio

import pytest

from changeover.workers.channel.waiters import Waiters


async def test_everybody_who_waits_goes_on_and_whoever_comes_later_does_not() -> None:
    waiters = Waiters()
    first, second = asyncio.ensure_future(waiters.wait()), asyncio.ensure_future(waiters.wait())
    waiters.wake()
    later = asyncio.ensure_future(waiters.wait())
    await asyncio.wait_for(asyncio.gather(first, second), 1)
    assert waiters
    assert not later.done()


async def test_whoever_gives_up_waits_no_longer() -> None:
    waiters = Waiters()
    for _ in range(1000):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waiters.wait(), 0)
    assert not waiters
    waiters.wake()
    for _ in range(1000):
        await asyncio.wait({asyncio.ensure_future(waiters.wait())}, timeout=0)
    assert waiters
    waiters.wake()
    assert not waiters


async def test_one_that_gives_up_takes_nobody_else_with_it() -> None:
    waiters = Waiters()
    stays = asyncio.ensure_future(waiters.wait())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiters.wait(), 0)
    waiters.wake()
    await asyncio.wait_for(stays, 1)
