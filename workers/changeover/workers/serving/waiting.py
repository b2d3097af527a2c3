"""What one request waits for, and when it last came: a lease tells by it what hangs from what has to wait."""

from time import monotonic_ns

import msgspec


class Waiting(msgspec.Struct, eq=False, gc=False):
    """Of one request; it holds no units, so that who keeps the request, which times its body here, keeps none.

    Attributes:
        calls: How many calls of an application wait for a thread.
        readers: How many readers of its body wait for a piece.
        resumed: When a thread or a piece came last, CLOCK_MONOTONIC in nanoseconds; 0 = none did.
    """

    calls: int = 0
    readers: int = 0
    resumed: int = 0

    def begin_call(self) -> None:
        """A call waits for a thread from now on."""
        self.calls += 1

    def end_call(self) -> None:
        """It has one, or waits for none any more."""
        self.calls -= 1
        self.resume()

    def resume(self) -> None:
        """What was waited for has come."""
        self.resumed = monotonic_ns()
