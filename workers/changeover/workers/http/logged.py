"""Exchanges that tell of themselves once they are over."""

from functools import partial

from changeover.workers.http.entry import AccessSink, Entry
from changeover.workers.http.exchange import WireExchange
from changeover.workers.http.faults import BadMessage, unfinished
from changeover.workers.http.head import Head
from changeover.workers.http.incoming import Incoming
from changeover.workers.http.stage import Stage
from changeover.workers.http.upgrade import MakeWebSocket, Switching, WireUpgrade
from changeover.workers.http.wire import Wire
from changeover.workers.serving.exchange import BODILESS, RawHeaders, Undone
from changeover.workers.serving.session import Session
from changeover.workers.websocket.logged import LoggedWebSocket

SWITCHED = 101


class _Telling(WireExchange):
    """Keeps its entry up to date."""

    __slots__ = ()

    _entry: Entry

    def start(self, status: int, headers: RawHeaders) -> None:
        """See `WireExchange`."""
        super().start(status, headers)
        if self.stage is not Stage.LOST:
            self._entry.begin(status, headers)

    def answer(self, status: int, headers: RawHeaders, body: bytes) -> None:
        """See `WireExchange`."""
        self._answer_by_steps(status, headers, body)

    def write(self, data: bytes) -> None:
        """See `WireExchange`."""
        super().write(data)
        if self.head.method != "HEAD" and self._entry.status not in BODILESS:
            self._entry.size += len(data)

    def end(self) -> None:
        """See `WireExchange`."""
        super().end()
        self._entry.tell(complete=self.stage is Stage.OVER)

    def end_after(self, data: bytes) -> None:
        """See `WireExchange`."""
        if data:
            self.write(data)
        self.end()

    def end_with(self, trailers: RawHeaders) -> None:
        """See `WireExchange`."""
        super().end_with(trailers)
        self._entry.tell(complete=self.stage is Stage.OVER)

    def abort(self, status: int = 500) -> Undone | None:
        """See `WireExchange`."""
        undone = super().abort(status)
        if undone is not None and undone.instead:
            self._answered_instead(unfinished(undone.instead))
        self._entry.tell(complete=undone is not None and undone.instead > 0)
        return undone

    def lose(self, error: BadMessage | None = None) -> None:
        """See `WireExchange`."""
        super().lose(error)
        if error is not None:
            self._answered_instead(error)
        self._entry.tell(complete=error is not None)

    def _answered_instead(self, error: BadMessage) -> None:
        self._entry.status = error.status
        self._entry.size = 0 if self.head.method == "HEAD" else len(error.body)


class LoggedExchange(_Telling):
    """See `WireExchange`.

    Args:
        access: Told of it, once.
        worker: The slot.
        wire: The connection.
        head: The request's head.
        incoming: The request's body; None when there is none, or it is held.
        held: The body that came with the head; empty for none.
    """

    __slots__ = ("_entry",)

    def __init__(
        self, access: AccessSink, worker: int, wire: Wire, head: Head, incoming: Incoming | None, held: bytes = b""
    ) -> None:
        super().__init__(wire, head, incoming, held)
        self._entry = Entry(access, worker, self.request)


class LoggedUpgrade(_Telling, WireUpgrade):
    """See `WireUpgrade`; a WebSocket is told of when it is over.

    Args:
        access: Told of it, once.
        worker: The slot.
        wire: The connection.
        head: The request's head.

    Raises:
        BadMessage: It cannot be accepted, whatever the application says.
    """

    __slots__ = ("_entry",)

    def __init__(self, access: AccessSink, worker: int, wire: Switching, head: Head) -> None:
        WireUpgrade.__init__(self, wire, head)
        self._entry = Entry(access, worker, self.request)

    def accept(self, headers: RawHeaders) -> Session:
        """See `Upgrade`."""
        session = super().accept(headers)
        self._entry.begin(SWITCHED, headers)
        return session

    @property
    def _make(self) -> MakeWebSocket:
        return partial(LoggedWebSocket, self._over)

    def _over(self, size: int, complete: bool) -> None:
        self._entry.size = size
        self._entry.tell(complete=complete)
