"""Hears what became of every handshake: the one place from which it is told on."""

import logging
from collections import Counter
from collections.abc import Callable

from changeover.workers.channel.handshake import HandshakeEnd

logger = logging.getLogger("changeover.handshake")

PAUSE = 1.0
"""Seconds in which one thing at one address is told once; how often it happened meanwhile is told with the next."""
QUIET = frozenset({HandshakeEnd.DONE, HandshakeEnd.GONE})
"""What is no reason to tell anybody: all is well, or a client changed its mind."""


class Handshakes:
    """A witness who tells the log.

    Args:
        clock: Seconds.

    Attributes:
        counts: How many ended how, by address.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.counts: Counter[tuple[str, HandshakeEnd]] = Counter()
        self._clock = clock
        self._told: dict[tuple[str, HandshakeEnd], tuple[float, int]] = {}

    def ended(self, channel: str, end: HandshakeEnd, detail: str) -> None:
        """See `Witness`."""
        key = channel, end
        self.counts[key] += 1
        if end in QUIET:
            return
        now = self._clock()
        last, count = self._told.get(key, (now - PAUSE, 0))
        if now - last < PAUSE:
            return
        self._told[key] = now, self.counts[key]
        self._tell(channel, end, detail, self.counts[key] - count - 1)

    def _tell(self, channel: str, end: HandshakeEnd, detail: str, unsaid: int) -> None:
        logger.warning(
            "a connection at %s: %s%s%s",
            channel,
            end.value,
            f" ({detail})" if detail else "",
            f"; {unsaid} more since this was told last" if unsaid else "",
            extra={"channel": channel, "handshake": end.name.lower(), "detail": detail, "unsaid": unsaid},
        )
