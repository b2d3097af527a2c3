"""`retry`: tries a request again while what is behind is not ready."""

import asyncio
import random
from collections.abc import Callable

from changeover.plugin import CallContext, CallNext, NotReady, Request, Response, around
from changeover.workers.handlers.settings import Retry


class Backoff:
    """How long to wait between attempts, so that clients which came together do not come back together. Pure.

    Args:
        settings: As configured.
        chance: A number from 0 to 1 at each call.
    """

    def __init__(self, settings: Retry, chance: Callable[[], float]) -> None:
        self._settings = settings
        self._chance = chance

    def wait(self, failed: int, remaining: float, retry_after: float) -> float | None:
        """Seconds to wait before the next attempt; None when there is to be none.

        Args:
            failed: Attempts so far.
            remaining: Seconds within which an answer is wanted.
            retry_after: Seconds until it is worth it, as what is behind says: beyond what remains there is no point.
        """
        if failed >= self._settings.attempts or retry_after > remaining:
            return None
        longest = min(self._settings.longest, self._settings.first * 2 ** (failed - 1))
        wait = longest * (0.5 + self._chance() / 2)
        return wait if wait < remaining else None


class _Body:
    """Notices when a request's body was begun to be read: then it cannot be sent again, unless it is held."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._begun = False
        if request.held_body != b"":
            request.watch_body(self._see)

    def _see(self, _: bytes) -> None:
        self._begun = True

    @property
    def is_whole(self) -> bool:
        """Whether another attempt sees all of it."""
        return not self._begun or self._request.held_body is not None


class Retries:
    """Calls what is behind until it is ready, within the request's budget.

    Args:
        settings: As configured.
        chance: A number from 0 to 1 at each call.
    """

    def __init__(self, settings: Retry, chance: Callable[[], float] = random.random) -> None:
        self._budget = settings.budget
        self._backoff = Backoff(settings, chance)

    @around
    async def again(self, request: Request, call_next: CallNext, call: CallContext) -> Response:
        """Answer with what comes of the first attempt for which it was ready.

        Raises:
            NotReady: As the last attempt said.
        """
        body = _Body(request)
        loop = asyncio.get_running_loop()
        due = call.deadline or loop.time() + self._budget
        failed = 0
        while True:
            try:
                return await call_next(request)
            except NotReady as error:
                failed += 1
                wait = self._backoff.wait(failed, due - loop.time(), error.retry_after)
                if wait is None or call.cancelled or not body.is_whole:
                    raise
            await asyncio.sleep(wait)
