"""When what is seen of the files is worth telling: once it is seen twice alike, or after long enough."""

import time
from collections.abc import Callable

from changeover.supervisor.watching.lookout import differing
from changeover.supervisor.watching.places import Places
from changeover.supervisor.watching.sight import Sight, look, look_again

LONGEST = 2500
"""Milliseconds: files that go on changing are looked at after so long all the same, and told after as long again."""
STEP = 50
"""Milliseconds without a further change after which files are looked at, and told where another look sees the same.

The kernel's teller counts changed files and not changes, so one file that is being written looks like one that was.
"""


def settled(
    places: Places, told: Sight, wait: Callable[[float], bool], now: Callable[[], float] = time.monotonic
) -> Sight:
    """Look until what is new is seen twice alike, or for long enough. Blocks on the disk.

    A look at everything takes its time where that is much. So while what is new goes on changing it is looked at alone,
    and where something else is new each time, everything is looked at less and less often.

    Args:
        places: What is looked at.
        told: What was told last.
        wait: Waits so many seconds; whether to give up.
        now: A clock that does not jump.
    """
    sight, until, pause = look(places), now() + LONGEST / 1000, STEP / 1000
    while sight.files != told.files and now() < until and not wait(pause):
        if look_again(sight, differing(told.files, sight.files)):
            continue
        before, sight = sight, look(places)
        if sight.files == before.files:
            break
        pause *= 2
    return sight
