"""A stream's request and answer that tell of themselves once the last of the answer has left."""

from changeover.workers.http.entry import LEFT, AccessSink, Entry
from changeover.workers.http.stage import Stage
from changeover.workers.http2.exchange import StreamExchange
from changeover.workers.http2.head import StreamHead
from changeover.workers.http2.line import Line
from changeover.workers.serving.exchange import RawHeaders


class LoggedStream(StreamExchange):
    """See `StreamExchange`.

    Args:
        access: Told of it, once.
        worker: The slot.
        line: The connection.
        number: The stream's.
        head: The request's head.
        ended: Whether it has no body.
        limit: Most bytes of the request's body; 0 for any number.
    """

    __slots__ = ("_entry",)

    def __init__(
        self,
        access: AccessSink,
        worker: int,
        line: Line[StreamExchange],
        number: int,
        head: StreamHead,
        *,
        ended: bool,
        limit: int = 0,
    ) -> None:
        super().__init__(line, number, head, ended=ended, limit=limit)
        self._entry = Entry(access, worker, self.request)

    def start(self, status: int, headers: RawHeaders) -> None:
        """See `StreamExchange`."""
        super().start(status, headers)
        self._entry.begin(status, headers)

    def opening(self, extra: RawHeaders) -> list[tuple[bytes, bytes]]:
        """See `StreamExchange`."""
        fields = super().opening(extra)
        self._tell_if_last()
        return fields

    def cut(self, room: int) -> bytes:
        """See `StreamExchange`."""
        piece = super().cut(room)
        self._entry.size += len(piece)
        self._tell_if_last()
        return piece

    def feed(self, data: bytes, size: int) -> bool:
        """See `StreamExchange`."""
        wanted = super().feed(data, size)
        if not wanted:
            self._tell(complete=False)
        return wanted

    def _conclude(self, stage: Stage) -> None:
        super()._conclude(stage)
        self._tell(complete=False)

    def _tell_if_last(self) -> None:
        if self.complete and not self.outflow.size:
            self._tell(complete=True)

    def _tell(self, *, complete: bool) -> None:
        self._entry.status = LEFT if self.response is None else self.response.status
        self._entry.tell(complete=complete)
