"""One request to a WSGI application, in its thread: runs the application and tells the loop what it answers.

The thread goes to the loop only with what the client can have: a response that is at hand goes as
one. What comes in pieces is told piece by piece, as PEP 3333 demands. Where the client is too far
behind, the thread waits for a moment, and puts aside what it makes from then on.
"""

import contextvars
import enum
import io
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from types import TracebackType

from changeover.workers.serving.backlog import Backlog
from changeover.workers.serving.contract import CallContext, Request
from changeover.workers.serving.exchange import Disconnected
from changeover.workers.serving.lease import LeaseKind
from changeover.workers.serving.mailbox import Recipient
from changeover.workers.serving.pace import LOOK, TOO_LITTLE, Pace
from changeover.workers.serving.spool import Spool
from changeover.workers.serving.turn import Turn
from changeover.workers.serving.wsgi import WsgiApplication
from changeover.workers.serving.wsgi_environ import Environ, FileWrapper
from changeover.workers.serving.wsgi_head import WsgiHead, WsgiViolation, checked_head
from changeover.workers.serving.wsgi_input import give_whole

log = logging.getLogger("changeover.request")

AHEAD = 64 * 1024
"""Bytes that the application may be ahead of the client in memory."""
PATIENCE = 0.01
"""Seconds that a thread waits for a client that is further behind, before it puts aside what follows."""
_BODILESS = frozenset({204, 304})

ExcInfo = tuple[type[BaseException], BaseException, TracebackType]


class Sign(enum.Enum):
    """What a thread tells beside heads and pieces."""

    WANTED = "more of the request's body is wanted"
    ASIDE = "what follows was put aside"
    ASKS = "how much has the client taken?"
    END = "the response is complete"
    LEFT = "the thread has left the application"


class Failed:
    """The application raised.

    Attributes:
        error: What it raised.
    """

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


Mail = WsgiHead | bytes | Sign | Failed
_WANTED, _ASIDE, _ASKS, _END, _LEFT = Sign


class WsgiRun(Turn):
    """What a thread does for one request.

    Args:
        application: The application.
        request: What is asked.
        call: The request's context.
        recipient: Hears of it on the loop.
        context: Context variables of the application, the lease among them.

    Attributes:
        environ: To be set before it runs, unless the body is held already: then the thread makes it.
        body: The request's body, where it is not small; gone when the thread leaves.
        pieces: Where the loop puts what comes of the request's body, on demand: empty at its end, an error where there
            is none. None when the body is at hand.
        backlog: What was put aside of the response; None as long as nothing was.
    """

    __slots__ = (
        "_context",
        "_courier",
        "_ended",
        "_gone",
        "_head",
        "_left",
        "_over",
        "_pace",
        "_posted",
        "_recipient",
        "_request",
        "_room",
        "_started",
        "_taken",
        "backlog",
        "body",
        "environ",
        "pieces",
    )

    def __init__(
        self,
        application: WsgiApplication,
        request: Request,
        call: CallContext,
        recipient: Recipient[Mail],
        context: contextvars.Context,
    ) -> None:
        super().__init__(application, call)
        self.environ: Environ | None = None
        self.body: Spool | None = None
        self.pieces: SimpleQueue[bytes | Exception] | None = None
        self.backlog: Backlog | None = None
        self._request = request
        self._recipient = recipient
        self._courier = application.courier
        self._context = context
        self._head: WsgiHead | None = None
        self._left: int | None = None
        self._posted = self._taken = 0
        self._started = self._ended = self._over = self._gone = False
        self._room: threading.Event | None = None
        self._pace: Pace | None = None

    def call_off(self) -> None:
        """It will never run."""
        del self._recipient

    @property
    def is_unanswered(self) -> bool:
        """Whether no more than the beginning of a response came of it yet."""
        return not self._started or self.lease.kind is LeaseKind.HTTP

    def run(self) -> None:
        """Run the application; whatever it raises is told."""
        if not self._gone:
            try:
                self._context.run(self._respond)
            except BaseException as error:  # noqa: BLE001 - SystemExit of an application is its failure, not the thread's
                self._courier.post(self._recipient, [Failed(error)])
        self._over = True
        if self.body is not None:
            self.body.close()
        self._courier.post(self._recipient, [_LEFT])
        del self._recipient  # the two would keep each other

    def more(self) -> bytes:
        """The next piece of the request's body, empty at its end.

        Raises:
            Disconnected: The client went away before the end, or the request is over.
            BodyTooLarge: A handler has refused it.
        """
        if self._over or self._gone or self.pieces is None:
            raise Disconnected("the request is over")
        self._courier.post(self._recipient, [_WANTED])
        piece = self.pieces.get()
        if isinstance(piece, Exception):
            raise piece
        return piece

    def credit(self, taken: int) -> None:
        """The client has taken so many bytes of the body; on the loop."""
        self._taken = taken
        if self._room is not None:
            self._room.set()

    def measure(self, acknowledged: Callable[[], int]) -> None:
        """See `Pace.measure`; on the loop."""
        if self._pace is not None:
            self._pace.measure(acknowledged)

    def give_up(self) -> None:
        """Nobody takes the rest: let the application end as soon as it can be stopped; on the loop."""
        self._gone = True
        if self._room is not None:
            self._room.set()
        if self.pieces is not None:
            self.pieces.put(Disconnected("the client is gone"))

    def _respond(self) -> None:
        answer = self._application.call(self.environ or self._whole(), self._start_response)
        try:
            if type(answer) is list or type(answer) is tuple:
                self._send_all(answer)
            else:
                self._send_each(answer)
        finally:
            close = getattr(answer, "close", None)
            if close is not None:
                close()

    def _whole(self) -> Environ:
        """The environ of a request whose body is held."""
        environ = self._application.environs.make(self._request, self._call)
        if self._request.held_body and (body := self._request.take_held()):
            give_whole(environ, io.BytesIO(body), len(body))
        else:
            environ["wsgi.input"] = io.BytesIO()
        return environ

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is None:
            if self._head is not None:
                raise WsgiViolation("start_response was called twice; give it exc_info to replace what was not sent")
        elif self._started:
            try:
                raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        head = checked_head(status, headers)
        self._head = head
        bodiless = self._request.method == "HEAD" or head.status in _BODILESS
        self._left = None if bodiless else head.length
        return self._write

    def _write(self, data: bytes) -> None:
        piece = _octets(data)
        if self._over:
            raise Disconnected("the request is over")
        if self._gone:
            raise Disconnected("the client is gone")
        if self._left is not None and len(piece) > self._left:
            raise WsgiViolation("write() was given more than the response's Content-Length")
        if piece:
            self._send(piece)

    def _send_all(self, pieces: Sequence[bytes]) -> None:
        """Send what is at hand as one."""
        whole = _octets(pieces[0]) if len(pieces) == 1 else b"".join(map(_octets, pieces))
        if self._is_whole(whole):
            self._send_whole(whole)
            return
        fitting = self._fitting(whole)
        if fitting:
            self._send(fitting, last=True)
        self._end()

    def _send_each(self, pieces: Iterable[bytes]) -> None:
        for each in pieces:
            piece = each if type(each) is bytes else _octets(each)
            if self._is_whole(piece):
                self._send_whole(piece)
                continue
            fitting = self._fitting(piece)
            if fitting and not self._gone:
                self._send(fitting)
            if self._gone or len(fitting) < len(piece):
                break
            if type(pieces) is FileWrapper and not self._is_near() and self._lend_rest(pieces):
                break
        self._end()

    def _is_whole(self, piece: bytes) -> bool:
        """Whether that is all of the body, and nothing was sent."""
        return len(piece) == self._left and not self._started and not self._gone and piece != b""

    def _send_whole(self, piece: bytes) -> None:
        self._left, self._posted = 0, len(piece)
        self._ended = True
        self._courier.post(self._recipient, [self._begun(), piece, _END])

    def _lend_rest(self, wrapper: FileWrapper) -> bool:
        """Leave what is left of a file to the loop, for a client that is behind; whether that can be done with it."""
        file = wrapper.regular()
        if file is None or self.backlog is not None or self._is_body(file):
            return False
        start = file.tell()
        size = os.fstat(file.fileno()).st_size - start
        if size <= 0 or (self._left is not None and size < self._left):
            return False  # it has more than the kernel says (procfs), or will have when it is written
        if self._left is not None:
            size = self._left
        try:
            own = io.FileIO(os.dup(file.fileno()))
        except OSError:
            return False  # there is no descriptor free, nor one for a file of its own: it waits
        self.backlog = Backlog.lent(self._application.room, own, start, size)
        if self._left is not None:
            self._left -= size
        self._posted += size
        self._courier.post(self._recipient, [_ASIDE])
        return True

    def _is_body(self, file: io.FileIO | io.BufferedReader) -> bool:
        """Whether it is what the request's body was kept in, which gives its room back when the thread leaves."""
        return self.body is not None and self.body.has(file.fileno())

    def _fitting(self, piece: bytes) -> bytes:
        """As much of it as the Content-Length allows."""
        if self._left is None or len(piece) <= self._left:
            return piece
        request = self._request
        log.warning(
            "%s %s: the application sent more than its Content-Length; the rest was dropped",
            request.method,
            request.raw_path.decode("latin-1"),
        )
        return piece[: self._left]

    def _send(self, piece: bytes, *, last: bool = False) -> None:
        if self._left is not None:
            self._left -= len(piece)
            last = self._left == 0
        keeps_up = self._is_near() and self._is_taken()
        if keeps_up:
            mail: list[Mail] = [piece] if self._started else [self._begun(), piece]
        else:
            self._put_aside(piece)
            mail = []
        self._posted += len(piece)
        if last and not self._gone:  # what was cut off is not complete
            self._ended = True
            mail.append(_END)
        if mail:
            self._courier.post(self._recipient, mail)
        if keeps_up and not last and not self._is_near():
            self._wait(self._is_near, PATIENCE)

    def _put_aside(self, piece: bytes) -> None:
        """Keep a piece for a client that is behind; wait for it only where there is no more room."""
        if self.backlog is None:
            self.backlog = Backlog(self._application.room)
        rest = memoryview(piece)
        while rest and not self._gone:
            size, begins = self.backlog.put(rest)
            rest = rest[size:]
            if begins:
                self._courier.post(self._recipient, [_ASIDE])
            if not size and self.backlog.under_way:
                self._wait(self._is_taken)
            elif not size:
                self._wait(self._is_near)
                self._courier.post(self._recipient, [bytes(rest)])
                return

    def _is_near(self) -> bool:
        return self._posted - self._taken <= AHEAD

    def _is_taken(self) -> bool:
        return self.backlog is None or not self.backlog.under_way

    def _end(self) -> None:
        if self._ended or self._gone:
            return
        mail: list[Mail] = [_END] if self._started else [self._begun(), _END]
        if self._left:
            raise WsgiViolation(f"the response ended {self._left} bytes before its Content-Length")
        self._ended = True
        self._courier.post(self._recipient, mail)

    def _begun(self) -> WsgiHead:
        if self._head is None:
            raise WsgiViolation("the application answered without calling start_response")
        self._started = True
        return self._head

    def _wait(self, is_enough: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until the client has taken enough, is too slow for those who wait, or nobody takes the rest."""
        if self._room is None:
            self._room = threading.Event()
        pace = self._pace = Pace()
        while not self._may_go_on(is_enough):
            self._room.clear()
            # Room is made first and told then: asked again behind the clear, none is missed.
            if not self._may_go_on(is_enough) and not self._room.wait(seconds or LOOK) and seconds is not None:
                return
            if seconds is None and pace.asks(self._application.rounds):
                self._courier.post(self._recipient, [_ASKS])
            if pace.lags and self._application.waiting:
                self._cut_off()

    def _cut_off(self) -> None:
        """Make no more of the response: requests wait for the thread, and the client hardly takes what is there."""
        self._gone = True
        request = self._request
        log.warning(
            "%s %s: cut off: its client took %s, and other requests wait for a thread",
            request.method,
            request.raw_path.decode("latin-1"),
            TOO_LITTLE,
        )

    def _may_go_on(self, is_enough: Callable[[], bool]) -> bool:
        return self._gone or is_enough()


def _octets(piece: object) -> bytes:
    if isinstance(piece, bytes):
        return piece if type(piece) is bytes else bytes(piece)
    raise TypeError(f"the application gave a {type(piece).__name__} as a piece of its body; encode it to bytes")
