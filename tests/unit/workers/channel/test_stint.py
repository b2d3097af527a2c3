"""So many steps, then a rest until the next turn of the loop."""

import asyncio
from functools import partial

from changeover.workers.channel.stint import Stint


async def test_after_its_last_step_it_rests_for_a_turn_and_goes_on_once() -> None:
    stint, rests = Stint(3), []
    gone_on: list[str] = []
    for steps, words in ((2, "too soon"), (2, "after the rest"), (5, "once more")):
        stint.spend(steps, partial(gone_on.append, words))
        rests.append(stint.rests)
    await asyncio.sleep(0)
    assert rests == [False, True, True]
    assert not stint.rests
    assert gone_on == ["after the rest"]


async def test_each_stint_is_as_long_as_the_first() -> None:
    stint, done = Stint(3), []

    def work() -> None:
        done.append(0)
        while not stint.rests and sum(done) < 8:
            done[-1] += 1
            stint.spend(1, work)

    work()
    for _ in range(5):
        await asyncio.sleep(0)
    assert done == [3, 3, 2]
