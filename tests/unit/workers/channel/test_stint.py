"""So many steps, then a rest until the next turn of the loop."""

import asyncio

from changeover.workers.channel.stint import Stint


async def test_after_its_last_step_it_rests_for_a_turn_and_goes_on_once() -> None:
    stint, gone_on = Stint(3), []
    stint.spend(2, lambda: gone_on.append("too soon"))
    assert not stint.rests
    stint.spend(2, lambda: gone_on.append("after the rest"))
    stint.spend(5, lambda: gone_on.append("once more"))
    assert stint.rests
    await asyncio.sleep(0)
    assert gone_on == ["after the rest"]
    assert not stint.rests


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
