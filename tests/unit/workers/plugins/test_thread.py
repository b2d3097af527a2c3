"""What loads beside the loop lets the loop have the processor."""

import sys

from changeover.workers.plugins.thread import SWITCH_INTERVAL, LoaderThread


async def test_while_it_works_the_loop_gets_its_turn_sooner_and_afterwards_as_ever() -> None:
    before, thread = sys.getswitchinterval(), LoaderThread()
    try:
        assert (await thread.run(sys.getswitchinterval, 10)).take() == SWITCH_INTERVAL < before
    finally:
        thread.close()
    assert sys.getswitchinterval() == before
