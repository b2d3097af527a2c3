"""Hears what became of every handshake: the one place from which it is told on."""

import logging
from collections import Counter
from collections.abc import Callable

from changeover.workers.channel.handshake import HandshakeEnd
from changeover.workers.serving.counters import Counters
from changeover.workers.serving.observation import PipelineEvent, PipelineEventKind

logger = logging.getLogger("changeover.handshake")

PAUSE = 1.0
"""Seconds in which one thing at one address is told once; how often it happened meanwhile is told with the next."""
QUIET = frozenset({HandshakeEnd.DONE, HandshakeEnd.PLAIN, HandshakeEnd.GONE})
"""What is no reason to tell anybody: all is well, or a client changed its mind."""
NOBODYS = frozenset({HandshakeEnd.UNMATCHED, HandshakeEnd.SAFE})
"""What no rule of its channel matched."""


class Handshakes:
    """A witness who counts, notes events, and tells the log.

    Args:
        clock: Seconds.
        counters: Of the worker; their observer hears of what did not go well.

    Attributes:
        counts: How many ended how, by address.
    """

    def __init__(self, clock: Callable[[], float], counters: Counters) -> None:
        self.counts: Counter[tuple[str, HandshakeEnd]] = Counter()
        self._counters = counters
        self._clock = clock
        self._told: dict[tuple[str, HandshakeEnd], tuple[float, int]] = {}

    def ended(self, channel: str, end: HandshakeEnd, detail: str) -> None:
        """See `Witness`."""
        key = channel, end
        self.counts[key] += 1
        self._counters.note_handshake(end.value)
        if end in QUIET:
            return
        kind = PipelineEventKind.INITIALIZER_UNMATCHED if end in NOBODYS else PipelineEventKind.HANDSHAKE_REFUSED
        self._counters.observer.note(PipelineEvent(kind, "", end.value, f"{channel}: {detail}" if detail else channel))
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
