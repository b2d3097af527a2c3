"""What a thread tells the loop arrives in order, whole, and with few wake-ups."""

import asyncio
import threading

import pytest

from changeover.workers.serving.mailbox import Mailbox
from tests.waits import until


async def test_what_is_said_before_anybody_listens_wakes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    rung: list[object] = []
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *given: rung.append(given))
    box: Mailbox[int] = Mailbox(loop)
    for number in range(5):
        box.post([number, -number])
    assert await box.take() == [0, 0, 1, -1, 2, -2, 3, -3, 4, -4]
    assert len(rung) == 1


async def test_everything_arrives_in_order_while_a_thread_goes_on() -> None:
    box: Mailbox[int] = Mailbox(asyncio.get_running_loop())

    def say() -> None:
        for number in range(20_000):
            box.post([number])

    thread = threading.Thread(target=say)
    thread.start()
    taken: list[int] = []
    async with asyncio.timeout(10):
        while len(taken) < 20_000:
            taken += await box.take()
    thread.join(5)
    assert taken == list(range(20_000))


async def test_what_comes_after_it_was_diverted_is_told() -> None:
    box: Mailbox[int] = Mailbox(asyncio.get_running_loop())
    box.post([1])
    told: list[int] = []
    box.divert(told.extend)
    assert told == [1]
    threading.Thread(target=box.post, args=([2, 3],)).start()
    await until(lambda: told == [1, 2, 3])


def test_nobody_listens_once_the_loop_is_closed() -> None:
    loop = asyncio.new_event_loop()
    box: Mailbox[int] = Mailbox(loop)
    loop.close()
    box.post([1])
