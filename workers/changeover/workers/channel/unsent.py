"""What becomes of a client to whom something could not be sent at the end of a turn of the loop."""

import asyncio
from collections.abc import Callable


def give_up(error: Exception, cut: Callable[[], object]) -> None:
    """Tell what went wrong, and cut that one client off; raises nothing, so that the others of this turn get theirs.

    Args:
        error: Why it could not be sent.
        cut: Cuts the client off, in the next turn.
    """
    loop = asyncio.get_running_loop()
    told = "what was written for a client could not be sent: its connection is cut off"
    loop.call_exception_handler({"message": told, "exception": error})
    loop.call_soon(cut)
