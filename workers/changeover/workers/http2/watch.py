"""Looks at a connection and at each of its streams: a stream has deadlines of its own."""

from collections.abc import Iterable

from changeover.workers.channel.limits import Limits
from changeover.workers.channel.phases import Overdue, Sight, Watch
from changeover.workers.http2.exchange import StreamExchange


class StreamsWatch(Watch):
    """The watch of a connection with streams.

    Args:
        streams: Those that there are, whenever looked at.
    """

    __slots__ = ("_streams",)

    def __init__(self, streams: Iterable[StreamExchange]) -> None:
        super().__init__()
        self._streams = streams

    def look(self, sight: Sight, now: float, limits: Limits) -> Overdue | None:
        """See `Watch`; a stream that is overdue is dealt with here."""
        for stream in self._streams:
            overdue = stream.watch.look(stream.sight(), now, limits)
            if overdue is not None:
                stream.overdue(overdue)
        return super().look(sight, now, limits)
