"""What a thread tells the loop arrives in order, whole, and with few wake-ups."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from changeover.workers.serving.mailbox import Courier, Mailbox
from tests.waits import until


def attending() -> Courier:
    courier = Courier()
    courier.attend()
    return courier


async def attended(courier: Courier) -> None:
    courier.attend()


async def test_what_is_said_before_anybody_listens_wakes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    rung: list[Callable[[], None]] = []
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda hand_out, context: rung.append(hand_out))
    courier = attending()
    boxes: list[Mailbox[int]] = [Mailbox(), Mailbox()]
    for number in range(5):
        for box in boxes:
            courier.post(box, [number, -number])
    (hand_out,) = rung
    hand_out()
    assert [await box.take() for box in boxes] == [[0, 0, 1, -1, 2, -2, 3, -3, 4, -4]] * 2


async def test_everything_arrives_in_order_while_a_thread_goes_on() -> None:
    courier, box = attending(), Mailbox[int]()

    def say() -> None:
        for number in range(20_000):
            courier.post(box, [number])

    thread = threading.Thread(target=say)
    thread.start()
    taken: list[int] = []
    async with asyncio.timeout(10):
        while len(taken) < 20_000:
            taken += await box.take()
    thread.join(5)
    assert taken == list(range(20_000))


async def test_what_comes_after_it_was_diverted_is_told() -> None:
    courier, box = attending(), Mailbox[int]()
    box.put([1])
    told: list[int] = []
    box.divert(told.extend)
    assert told == [1]
    threading.Thread(target=courier.post, args=(box, [2, 3])).start()
    await until(lambda: told == [1, 2, 3])


async def test_one_that_goes_wrong_keeps_nothing_from_the_others() -> None:
    courier, told = attending(), list[int]()
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
    boxes: list[Mailbox[int]] = [Mailbox() for _ in range(3)]
    boxes[0].divert(told.extend)
    boxes[1].divert(lambda items: told.append(items[1]))
    boxes[2].divert(told.extend)
    for box in boxes:
        courier.post(box, [1])
    await until(lambda: told == [1, 1])
    assert [type(error["exception"]) for error in errors] == [IndexError]


async def test_it_may_be_taken_by_a_task_again() -> None:
    box = Mailbox[int]()
    told: list[int] = []
    box.divert(told.extend)
    box.put([1])
    box.divert(None)
    box.put([2])
    assert (told, await box.take()) == ([1], [2])


def test_nobody_listens_once_the_loop_is_closed() -> None:
    loop = asyncio.new_event_loop()
    courier = Courier()
    loop.run_until_complete(attended(courier))
    loop.close()
    courier.post(Mailbox[int](), [1])
