"""`concurrency-limit`: bounds the requests that are under way at once, in each worker."""

import asyncio
from collections import deque
from functools import partial

from changeover.plugin import CallContext, CallNext, NotReady, Request, Response, around
from changeover.workers.handlers.settings import ConcurrencyLimit


class ConcurrencyLimits:
    """Lets so many requests through at once, until their responses are complete and nothing works on them any more.

    Args:
        settings: As configured.

    Attributes:
        free: How many more could begin now.
    """

    def __init__(self, settings: ConcurrencyLimit) -> None:
        self.free = settings.limit
        self._queue = settings.queue
        self._wait = settings.wait
        self._waiting: deque[asyncio.Future[None]] = deque()

    @around
    async def bound(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Take a place, and hold it until the response is complete, or what was ended really has.

        Raises:
            NotReady: There is none, nor comes one free in time.
        """
        if self.free:
            self.free -= 1
        elif not await self._queued(call):
            raise NotReady
        try:
            response = await call_next(request)
        except BaseException:
            call.when_idle(self._leave)
            raise
        call.when_answered(partial(call.when_idle, self._leave))
        return response

    async def _queued(self, call: CallContext) -> bool:
        """Wait for a place; whether one was given."""
        if len(self._waiting) >= self._queue:
            return False
        given: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(given)
        remaining = call.remaining()
        try:
            await asyncio.wait(
                (given,), timeout=self._wait if remaining is None else min(self._wait, max(0, remaining))
            )
        except asyncio.CancelledError:
            if given.done():
                self._leave()
            raise
        finally:
            if not given.done():
                self._waiting.remove(given)
        return given.done()

    def _leave(self) -> None:
        """Give the place to who waits for longest."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.free += 1
