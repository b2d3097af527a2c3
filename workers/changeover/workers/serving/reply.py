"""Sends one Response over an exchange: whole, or piece by piece while the client stays."""

import asyncio
import enum
from collections.abc import AsyncIterable
from typing import Any

import msgspec

from changeover.workers.serving import failure
from changeover.workers.serving.backpressure import drained
from changeover.workers.serving.contract import CallContext, Response
from changeover.workers.serving.event_stream import AT_REST, following, may_end
from changeover.workers.serving.exchange import Disconnected, Exchange, RawHeaders
from changeover.workers.serving.lease import Lease, LeaseKind
from changeover.workers.serving.message import TO_GIVE, given_headers


class Progress(enum.Enum):
    """How much of a response has been sent."""

    OPEN = "open"
    STARTED = "started"
    DONE = "done"


_OPEN, _STARTED, _DONE = Progress  # looking a member up costs at every request
_TASK = LeaseKind.TASK


class Reply(msgspec.Struct, eq=False):
    """One response on its way.

    Attributes:
        exchange: The way back to the client.
        stamp: Fields added to the response's own.
        call: Its lease becomes STREAM while pieces are sent, TASK after the last; None when nothing is leased.
        progress: How much has been sent; an error before STARTED can still be answered.
    """

    exchange: Exchange
    stamp: RawHeaders
    call: CallContext | None = None
    progress: Progress = _OPEN
    _fields: RawHeaders = ()
    _tail: bytes = AT_REST

    async def send(self, response: Response) -> None:
        """Send the whole response. Returns early when the client leaves.

        Raises:
            TypeError: Its body is none; nothing was sent.
        """
        if isinstance(response.body, bytes):
            self.send_whole(response, response.body)
        else:
            await self._send_pieces(response, _pieces(response.body))

    def send_whole(self, response: Response, body: bytes) -> None:
        """Send a response whose body is at hand."""
        send_whole(self.exchange, self.stamp, response, body, None if self.call is None else self.call.lease)
        self.progress = _DONE

    def send_problem(self, response: Response) -> None:
        """Send a response that `Response.problem` worded."""
        if not isinstance(response.body, bytes):
            raise AssertionError("bug: a problem whose body is a stream")
        self.send_whole(response, response.body)

    def hand_over(self) -> None:
        """Somebody else answers over the exchange: nothing is sent from here."""
        self.progress = Progress.DONE

    def abandon(self, status: int = 500) -> None:
        """Break the response off so that the client can tell; does nothing when it is complete.

        Args:
            status: Of the answer that the client gets where nothing of the response has left.
        """
        if self.progress is not Progress.DONE:
            self.progress = Progress.DONE
            if self.call is not None:
                self.call.break_off(status)
            else:
                self.exchange.abort(status)

    def end_early(self) -> None:
        """The server ends the response: with what was sent of it, where its client takes that for whole events."""
        if self.progress is Progress.STARTED and may_end(self._fields, self._tail):
            self._end()
        else:
            self.abandon(503)

    def _started(self, status: int) -> None:
        self.progress = Progress.STARTED
        if self.call is not None:
            self.call.lease.units.counters.responses[status // 100] += 1

    def _end(self) -> None:
        self.exchange.end()
        self.progress = Progress.DONE
        self._become(LeaseKind.TASK)

    def _end_with(self, trailers: RawHeaders) -> None:
        self.exchange.end_with(trailers)
        self.progress = Progress.DONE
        self._become(LeaseKind.TASK)

    def _become(self, kind: LeaseKind) -> None:
        if self.call is not None:
            self.call.lease.kind = kind

    async def _send_pieces(self, response: Response, body: AsyncIterable[bytes]) -> None:
        pump: asyncio.Task[BaseException | None] = asyncio.Task(
            self._pump(response, body), name="changeover: response body"
        )
        hung_up = asyncio.Task(self.exchange.wait_disconnected(), name="changeover: client watch")
        try:
            await asyncio.wait((pump, hung_up), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(pump, hung_up)
        error = None if pump.cancelled() else pump.result()
        if error is not None:
            raise error
        self.abandon()

    async def _pump(self, response: Response, body: AsyncIterable[bytes]) -> BaseException | None:
        """Send head, pieces and end; an error is handed back as a value, because SystemExit in a task ends the loop.

        What is there in one turn of the loop leaves in one system call: the head with the first pieces, the end with
        the last.
        """
        try:
            self._begin(response)
            self._started(response.status)
            await self._send_each(body)
            if self.exchange.connected:
                self._end_with(response.trailers.raw)
        except Disconnected:
            return None
        except BaseException as error:
            if failure.is_ending(error):
                raise
            if self.progress is Progress.OPEN or self.call is None:
                return error
            failure.report(error, self.exchange.request, self.call)
            self.abandon()  # in this turn of the loop: at its end the head leaves
        return None

    def _begin(self, response: Response) -> None:
        try:
            self._fields = [*response.headers.raw, *self.stamp]
            self.exchange.start(response.status, self._fields)
        except (AttributeError, TypeError, ValueError) as error:
            raise _misgiven(response.headers) or error from None

    async def _send_each(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for piece in body:
                self._become(LeaseKind.STREAM)
                if not self.exchange.connected:
                    return
                if piece:
                    self.exchange.write(piece)
                    self._tail = following(self._tail, piece)
                    if self.exchange.pressed():
                        await drained(self.exchange, self.call)
        finally:
            await close(body)


def send_whole(exchange: Exchange, stamp: RawHeaders, response: Response, body: bytes, lease: Lease | None) -> None:
    """Send a response whose body is at hand: of `Reply` what most requests need.

    Args:
        exchange: The way back to the client.
        stamp: Fields added to the response's own.
        response: What is sent.
        body: Its body.
        lease: Counts the response, and is TASK from then on; None when nothing is leased.
    """
    try:
        status, fields = response.status, response.headers.raw
        exchange.answer(status, [*fields, *stamp] if stamp else fields, body)
    except (AttributeError, TypeError, ValueError) as error:
        raise _misgiven(response.headers) or error from None
    if lease is not None:
        lease.units.counters.responses[status // 100] += 1
        lease.kind = _TASK


def _misgiven(headers: object) -> TypeError | None:
    """What is wrong with fields that could not be sent, for who gave them; None where it is something else."""
    try:
        raw: Any = given_headers(headers).raw
    except TypeError as error:
        return error
    for field in raw:
        if not isinstance(field, tuple) or [type(part) for part in field] != [bytes, bytes]:
            name = field[0] if isinstance(field, tuple) and field else field
            return TypeError(f"headers are given with {name!r:.80}, which is no pair of bytes; {TO_GIVE}")
    return None


def _pieces(body: object) -> AsyncIterable[bytes]:
    if isinstance(body, AsyncIterable):
        return body
    kind = type(body).__name__
    raise TypeError(f"the body of a Response is {kind}; give bytes, or an asynchronous iterator of bytes")


async def close(body: AsyncIterable[bytes]) -> None:
    """Close a body that is not read any further, so that its own clean-up runs now."""
    aclose = getattr(body, "aclose", None)
    if aclose is not None:
        await aclose()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, and wait for it."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
