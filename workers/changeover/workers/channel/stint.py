"""How long a connection goes on with what its client sends before the loop does something else.

A loop reads from one client again and again as long as its buffer comes back full, and a message may be a few bytes:
who sends many small ones would have all others wait for seconds.
"""

import asyncio
from collections.abc import Callable


class Stint:
    """So many steps, then a rest until the next turn of the loop.

    Args:
        most: Steps between two rests.

    Attributes:
        rests: Whether nothing more is looked at in this turn.
    """

    __slots__ = ("_left", "_most", "rests")

    def __init__(self, most: int) -> None:
        self._left = self._most = most
        self.rests = False

    def spend(self, steps: int, go_on: Callable[[], None]) -> None:
        """Count steps that were done; `go_on` is called after the rest, if they were the last."""
        self._left -= steps
        if self._left <= 0 and not self.rests:
            self.rests = True
            asyncio.get_running_loop().call_soon(self._begin, go_on)

    def _begin(self, go_on: Callable[[], None]) -> None:
        self._left, self.rests = self._most, False
        go_on()
