"""One client connection that knows how it ended, and at which point."""

import asyncio
from collections.abc import Callable

from benchmarks.load.answer import Answer, AnswerReader, Malformed
from benchmarks.load.record import Fault

IDLE, WAITING, INSIDE = 0, 1, 2
ENDINGS = {
    False: (Fault.EOF_IDLE, Fault.EOF_WAITING, Fault.EOF_INSIDE),
    True: (Fault.RESET_IDLE, Fault.RESET_WAITING, Fault.RESET_INSIDE),
}
"""Whether it was a reset -> what that is between requests, before an answer, inside one."""


class Cut(Exception):
    """The answer will never be whole.

    Attributes:
        fault: Why.
        detail: For people.
    """

    def __init__(self, fault: Fault, detail: str) -> None:
        self.fault = fault
        self.detail = detail
        super().__init__(f"{fault.value}: {detail}")


class Connection(asyncio.Protocol):
    """Sends requests one after the other, and tells every end that it did not ask for.

    Args:
        on_end: Told when the connection ends between two requests, unasked.

    Attributes:
        port: Our own, once connected.
    """

    def __init__(self, on_end: Callable[[Cut], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._reader: AnswerReader | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self._ending = False
        self.port = 0

    @property
    def usable(self) -> bool:
        """Whether another request can be sent."""
        return self._transport is not None and not self._transport.is_closing() and not self._ending

    @property
    def begun(self) -> bool:
        """Whether a part of the expected answer came."""
        return self._reader is not None and self._reader.begun

    def expect(self) -> "asyncio.Future[Answer]":
        """Make ready for one answer; the future raises `Cut` when it will not come."""
        self._reader = AnswerReader()
        self._answer = asyncio.get_running_loop().create_future()
        return self._answer

    def write(self, data: bytes) -> None:
        """Send; nothing happens once the connection has ended."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def allow_end(self) -> None:
        """From here on the server may close: it was asked to."""
        self._ending = True

    def close(self) -> None:
        """End the connection ourselves."""
        self._ending = True
        if self._transport is not None:
            self._transport.close()

    def give_up(self, cut: Cut) -> None:
        """Let the pending answer fail, and close."""
        self._fail(cut)
        self.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Keep the transport."""
        self._transport = transport
        _, self.port, *_ = transport.get_extra_info("sockname")

    def data_received(self, data: bytes) -> None:
        """Feed the answer that is expected."""
        if self._reader is None:
            self._unasked(Cut(Fault.MALFORMED, f"bytes that nobody asked for: {data[:40]!r}"))
            self.close()
            return
        try:
            answer = self._reader.feed(data)
        except Malformed as error:
            self.give_up(Cut(Fault.MALFORMED, str(error)))
            return
        if answer is not None:
            self._reader = None
            pending, self._answer = self._answer, None
            if pending is not None and not pending.done():
                pending.set_result(answer)

    def eof_received(self) -> bool:
        """The server sends no more."""
        self._ended(reset=False, detail="")
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, one way or the other."""
        self._ended(reset=error is not None, detail=repr(error) if error else "")

    def _ended(self, *, reset: bool, detail: str) -> None:
        place = IDLE if self._reader is None else INSIDE if self.begun else WAITING
        cut = Cut(ENDINGS[reset][place], detail)
        if place == IDLE:
            self._unasked(cut)
        else:
            self._fail(cut)
        self._ending = True

    def _unasked(self, cut: Cut) -> None:
        if not self._ending:
            self._on_end(cut)

    def _fail(self, cut: Cut) -> None:
        self._reader = None
        pending, self._answer = self._answer, None
        if pending is not None and not pending.done():
            pending.set_exception(cut)
